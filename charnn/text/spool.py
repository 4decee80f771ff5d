"""A long series of small numbers, in memory or in a temporary file."""

import mmap
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from charnn.errors import CorpusError
from charnn.text.blocks import spans

Numbers = NDArray[np.unsignedinteger[Any]]

IN_MEMORY = 1 << 26  # Bytes of numbers. A longer series goes to a temporary file.


class Spool:
    """Numbers of one dtype. Append all of them first, then read them as often as needed.

    Every method raises a CorpusError if the temporary file cannot be written or read.

    Attributes:
        dtype: an unsigned integer type.
        length: the number of numbers.
    """

    def __init__(self, dtype: np.dtype[Any], *, named: bool = False):
        """Begin an empty series.

        Args:
            dtype: of the numbers.
            named: whether to use a file from the start. Other processes can open its `name`.
        """
        self.dtype = dtype
        self.length = 0
        self._file = _temporary_file(named)

    @property
    def name(self) -> str:
        """The path of the file of a named spool."""
        return self._file.name

    def append(self, numbers: Numbers) -> None:
        """Add numbers, (N,) of the spool's dtype, at the end."""
        with _disk_errors():
            self._file.write(numbers.data)
        self.length += len(numbers)

    def blocks(self) -> Iterator[Numbers]:
        """Yield all numbers, one block at a time."""
        dtype = self.dtype
        for start, stop in spans(self.length):
            with _disk_errors():
                self._file.seek(start * dtype.itemsize)
                block = np.frombuffer(self._file.read((stop - start) * dtype.itemsize), dtype)
            yield block

    def rewrite(self, convert: Callable[[Numbers], Numbers], dtype: np.dtype[Any]) -> None:
        """Replace the numbers of each block by their conversion, in the same file.

        Args:
            convert: takes a block and returns at most as many numbers, of the new dtype.
            dtype: the new dtype. It must not be wider, or unread numbers would be overwritten.
        """
        end = 0
        for block in self.blocks():
            with _disk_errors():
                self._file.seek(end)
                end += self._file.write(convert(block).data)
        self.dtype, self.length = dtype, end // dtype.itemsize

    def array(self) -> Numbers:
        """Return all numbers, (length,). A long series is mapped from its file, read-only."""
        size = self.length * self.dtype.itemsize
        with _disk_errors():
            self._file.flush()
            if size > IN_MEMORY:
                return _mapped(self._file, size, self.dtype)
            self._file.seek(0)
            return np.frombuffer(bytearray(self._file.read(size)), self.dtype)

    def close(self) -> None:
        """Close the temporary file. Arrays that were returned stay valid."""
        with suppress(OSError):  # A failed write has been reported already.
            self._file.close()


def _temporary_file(named: bool) -> IO[bytes]:
    return tempfile.NamedTemporaryFile() if named else tempfile.SpooledTemporaryFile(IN_MEMORY)


def map_file(name: str, size: int, dtype: np.dtype[Any]) -> Numbers:
    """Return the first `size` bytes of another process's named spool, mapped read-only.

    Raises:
        CorpusError: if the file cannot be read.
    """
    if not size:
        return np.empty(0, dtype)
    with _disk_errors(), Path(name).open("rb") as file:
        return _mapped(file, size, dtype)


def _mapped(file: IO[bytes], size: int, dtype: np.dtype[Any]) -> Numbers:
    return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), dtype)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"{tempfile.tempdir or 'TMPDIR'}: {error.strerror or error}; a long text needs "
            "space there; set TMPDIR to another folder"
        ) from None
