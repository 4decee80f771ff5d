"""TODO."""

import hashlib
import math
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 1


_MEMBER = re.compile(
    r"format_version|checksum|config|progress|vocabulary|[UWb][0-9]{1,4}|V|c|hidden_state"
    r"|optimizer\.[a-z]+"
)


_MAX_DIRECTORY = 1_000_000  # bytes of the zip's list of members: room for thousands of them


_MAX_TEXT = 250_000  # characters of the config: room for thousands of paths


# What a damaged or hostile zip makes zipfile raise, besides our own ValueErrors.
_UNREADABLE = (
    ValueError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
)


def _checksum(members: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(members):
        array = members[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        if array.nbytes:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # no copy
    return digest.hexdigest()


def _read_members(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """Read every array of an npz whose headers agree with the size of the file."""
    limited = _Limited(file, _MAX_DIRECTORY)
    with zipfile.ZipFile(cast(IO[bytes], limited)) as archive:
        limited.limit = size  # the list of members is read; now the members
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name in entries:
                raise ValueError(f"member {name!r:.60} is there twice")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ValueError(f"member {name!r:.60} is compressed or encrypted")
            entries[name] = entry
        if sum(entry.file_size for entry in entries.values()) > size:
            raise ValueError("its members claim more bytes than the file has")
        members: dict[str, NDArray[Any]] = {}
        # The version first: a later one may have other members.
        for name in sorted(entries, key=lambda name: name != "format_version"):
            if not _MEMBER.fullmatch(name):
                raise ValueError(f"unexpected member {name!r:.60}")
            members[name] = _read_array(name, archive.read(entries[name]))
            if name == "format_version":
                _check_version(members)
        return members


class _Limited:
    """A file whose reads are refused when they are longer than they can have reason to be."""

    def __init__(self, file: IO[bytes], limit: int):
        self._file = file
        self.limit = limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, or all that is left."""
        content = self._file.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(content) > self.limit:
            raise ValueError("its list of members, or one of them, is longer than it can be")
        return content


def _check_version(members: Mapping[str, NDArray[Any]]) -> None:
    version = int(_take(dict(members), "format_version", "i", ()))
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version}; this charnn reads version {FORMAT_VERSION}")


# A .npy header, version 1.0, as numpy writes it: a plain type, C order, a shape of sane lengths.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>[<|>][iufU][0-9]{1,7})', 'fortran_order': False, "
    rb"'shape': \((?P<shape>|[0-9]{1,18},|[0-9]{1,18}(?:, [0-9]{1,18}){1,9})\), \} *\n",
    re.DOTALL,
)


def _read_array(name: str, raw: bytes) -> NDArray[Any]:
    """Read one `.npy` member; the header must account for every byte."""
    header = _HEADER.match(raw)
    if not header or int.from_bytes(header["length"], "little") != header.end() - 10:
        raise ValueError(f"member {name} has a type or layout that is not allowed")
    try:
        dtype = np.dtype(header["dtype"].decode())
    except TypeError as error:
        raise ValueError(f"member {name}: {error}") from None
    shape = tuple(int(length) for length in header["shape"].split(b",") if length)
    if math.prod(shape) * dtype.itemsize != len(raw) - header.end():
        raise ValueError(f"member {name} does not have the size its header claims")
    return np.frombuffer(raw, dtype, math.prod(shape), header.end()).reshape(shape)


def _take_text(members: dict[str, NDArray[Any]], name: str) -> str:
    """Take a member of JSON text out, if it is there and not longer than any that is saved."""
    array = _take(members, name, "U", ())
    if array.itemsize > 4 * _MAX_TEXT:
        raise ValueError(f"{name} is longer than {_MAX_TEXT:,} characters")
    return str(array)


def _take(
    members: dict[str, NDArray[Any]],
    name: str,
    dtype: np.dtype[Any] | str,
    shape: tuple[int, ...],
) -> NDArray[Any]:
    """Take a member out, if it is there with this dtype (or kind) and shape and is finite."""
    if name not in members:
        raise ValueError(f"{name} is missing")
    array = members.pop(name)
    right = array.dtype.kind == dtype if isinstance(dtype, str) else array.dtype == dtype
    if not right or array.shape != shape:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}, expected {np.dtype(dtype).name} {shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array
