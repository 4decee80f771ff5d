"""The members of a checkpoint file: its version, its checksum, and its checked arrays."""

import hashlib
import re
from collections.abc import Mapping
from typing import IO, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from charnn.checkpoint.npz import read_npz

VERSIONS = (1, 2)  # Version 2 has later config keys and their members.
MAX_TEXT = 250_000  # Characters of the config, or the progress: enough for thousands of paths.

# A parameter is a letter and, except for those of the output, the number of its layer.
_NAME = re.compile(
    r"format_version|checksum|config|progress|vocabulary|[A-Za-z][0-9]{0,4}|hidden_state"
    r"|optimizer\.[a-z]+"
)


def checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        if array.nbytes:
            # A view of the bytes, because tobytes() would copy the array.
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class Members:
    """The arrays of a checkpoint file, by name. Every check that fails raises a ValueError.

    Reading a checkpoint takes out every array, so that none remains unchecked.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]):
        self._arrays = arrays

    @classmethod
    def read(cls, file: IO[bytes], size: int) -> Self:
        """Read all members of a file of `size` bytes.

        Raises:
            One of `npz.UNREADABLE`: if the file is damaged, of another version, or of another kind.
        """
        arrays: dict[str, NDArray[Any]] = {}
        # The version comes first, because a later version may have members of other names.
        for name, array in read_npz(file, size, _NAME, first="format_version"):
            arrays[name] = array
            if name == "format_version":
                version = int(_checked(name, array, "i", ()))
                if version not in VERSIONS:
                    raise ValueError(
                        f"format version {version}; this charnn reads versions 1 and 2"
                    )
        return cls(arrays)

    def take_seal(self) -> str:
        """Take out the version and the checksum; check it against all other members."""
        seal = str(self.take("checksum", "U", ()))
        if seal != checksum(self._arrays):
            raise ValueError("the checksum does not match: the file was damaged or changed")
        self.take("format_version", "i", ())
        return seal

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a member, or () if there is no such member."""
        return self._arrays[name].shape if name in self._arrays else ()

    def take(self, name: str, dtype: np.dtype[Any] | str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Take out a member. It must exist, be finite, and have this dtype (or kind) and shape."""
        if name not in self._arrays:
            raise ValueError(f"{name} is missing")
        return _checked(name, self._arrays.pop(name), dtype, shape)

    def take_text(self, name: str) -> str:
        """Take out a member of JSON text, of at most `MAX_TEXT` characters."""
        array = self.take(name, "U", ())
        if array.itemsize > 4 * MAX_TEXT:
            raise ValueError(f"{name} is longer than {MAX_TEXT:,} characters")
        return str(array)

    def check_none_left(self) -> None:
        """Check that all members were taken out."""
        if self._arrays:
            raise ValueError(f"unexpected member {min(self._arrays)!r}")


def _checked(
    name: str, array: NDArray[Any], dtype: np.dtype[Any] | str, shape: tuple[int, ...]
) -> NDArray[Any]:
    right = array.dtype.kind == dtype if isinstance(dtype, str) else array.dtype == dtype
    if not right or array.shape != shape:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}, expected {np.dtype(dtype).name} {shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array


def write_members(file: IO[bytes], arrays: Mapping[str, NDArray[Any]], version: int) -> None:
    """Write arrays with a version and a checksum, and read them back.

    Args:
        file: empty, open for reading and writing.
        arrays: the members of a checkpoint by name, without version and checksum.
        version: of the format.

    Raises:
        OSError: if the file cannot be written, or its contents differ when read back.
        ValueError, or another of `npz.UNREADABLE`: if it cannot be read back.
    """
    arrays = {"format_version": np.array(version), **arrays}
    seal = checksum(arrays)
    np.savez(file, **cast(Any, {**arrays, "checksum": np.array(seal)}))
    file.flush()
    if Members.read(file, file.tell()).take_seal() != seal:
        raise OSError("the written file cannot be read back")
