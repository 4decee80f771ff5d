"""Reading `.npz` files that may be damaged or hostile.

Every header is checked against the size of the file before memory is allocated for an array.
"""

import math
import re
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

_MAX_DIRECTORY = 1_000_000  # Bytes of the zip's list of members: enough for thousands of them.

# Errors of zipfile for a damaged or hostile file, and the ValueErrors of our own checks.
UNREADABLE = (
    ValueError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
)


def read_npz(
    file: IO[bytes], size: int, allowed: re.Pattern[str], first: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield (name, array) for every member of an uncompressed `.npz` file.

    Args:
        file: open for reading.
        size: of the file, in bytes.
        allowed: the pattern that the whole name of a member must match.
        first: name of the member to read first, if it is there.

    Raises:
        One of `UNREADABLE`: if the file is not such an archive.
    """
    limited = _Limited(file, _MAX_DIRECTORY)
    with zipfile.ZipFile(cast(IO[bytes], limited)) as archive:
        limited.limit = size  # ZipFile has read the list of members. Now it reads the members.
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
        for name in sorted(entries, key=lambda name: name != first):
            if not allowed.fullmatch(name):
                raise ValueError(f"unexpected member {name!r:.60}")
            yield name, _parse_npy(name, archive.read(entries[name]))


class _Limited:
    """A file that refuses to read more than `limit` bytes at a time."""

    def __init__(self, file: IO[bytes], limit: int):
        self._file = file
        self.limit = limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, or the rest of the file."""
        content = self._file.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(content) > self.limit:
            raise ValueError("its list of members, or one of them, is longer than it can be")
        return content


# A .npy header, version 1.0, as NumPy writes it: a plain dtype, C order, at most 10 dimensions.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>[<|>][iufU][0-9]{1,7})', 'fortran_order': False, "
    rb"'shape': \((?P<shape>|[0-9]{1,18},|[0-9]{1,18}(?:, [0-9]{1,18}){1,9})\), \} *\n",
    re.DOTALL,
)


def _parse_npy(name: str, raw: bytes) -> NDArray[Any]:
    """Return the array in the bytes of a `.npy` file. Its header must account for every byte."""
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
