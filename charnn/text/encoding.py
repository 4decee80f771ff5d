"""TODO."""

import mmap
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from charnn.errors import CorpusError
from charnn.ranks import Ranks
from charnn.showing import show_character
from charnn.text.fingerprint import Fingerprint

Ids = NDArray[np.unsignedinteger[Any]]
Unknown = Literal["error", "skip"]

BLOCK = 1 << 16  # bytes read, or ids worked on, at a time: few enough to stay in the cache
_IN_MEMORY = 1 << 26  # bytes of ids; more than that lie in a temporary file


class UnknownCharactersError(CorpusError):
    """A text holds characters that the vocabulary does not."""


def code_points_of(text: str) -> Ids:
    """Return the code points of a text, (N,)."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def text_of(code_points: NDArray[np.uint32]) -> str:
    """Return the text that some code points spell, read in C order."""
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


class Numbering:
    """A text being encoded before all of its vocabulary is known, in one pass.

    Its characters are numbered in the order in which they first come; the numbers are kept in
    memory, or in a temporary file when they become many, and turned into ids at the end.

    Attributes:
        code_points: (M,) uint32, of the characters expected, then of others as they first came.
        characters: N, how many there are so far.
        fingerprint: of their UTF-8 bytes.
    """

    def __init__(self, expected: NDArray[np.uint32]):
        self.code_points = expected
        self.characters = 0
        self.fingerprint = Fingerprint()
        # The number of each code point; the largest of the dtype stands for none yet.
        self._table: Ids = np.empty(0, np.uint8)
        self._file: IO[bytes] = _spool()
        self._widen(np.min_scalar_type(len(expected)))

    def read(self, text: str | Iterable[str]) -> None:
        """Number a text, given whole or in pieces.

        Raises:
            CorpusError: if the temporary file cannot be written.
        """
        for piece in _pieces(text) if isinstance(text, str) else text:
            self.fingerprint.update(piece.encode("utf-8", "surrogatepass"))
            points = code_points_of(piece)
            numbers = _look_up(self._table, points)
            new = numbers == np.iinfo(numbers.dtype).max
            if new.any():
                self._extend(points[new])
                numbers = _look_up(self._table, points)
            with _disk_errors():
                self._file.write(numbers.data)
            self.characters += len(numbers)

    def _extend(self, points: Ids) -> None:
        before = len(self.code_points)
        different = np.array(list(dict.fromkeys(points.tolist())), np.uint32)
        self.code_points = np.concatenate([self.code_points, different])
        after = len(self.code_points)
        if after > np.iinfo(self._table.dtype).max:
            self._widen(np.min_scalar_type(after))
        self._table[self.code_points[before:]] = np.arange(before, after)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        narrow = self._blocks()
        with _disk_errors(), self._file:
            wide = _spool()
            for numbers in narrow:
                wide.write(numbers.astype(dtype).data)
            self._file = wide
        self._tabulate(dtype)

    def _tabulate(self, dtype: np.dtype[Any]) -> None:
        self._table = np.full(sys.maxunicode + 1, np.iinfo(dtype).max, dtype)
        self._table[self.code_points] = np.arange(len(self.code_points))

    def _blocks(self) -> Iterator[Ids]:
        """Yield the numbers from the file, which may be written behind them."""
        file, dtype = self._file, self._table.dtype
        for at in range(0, self.characters, BLOCK):
            file.seek(at * dtype.itemsize)
            size = min(BLOCK, self.characters - at) * dtype.itemsize
            yield np.frombuffer(file.read(size), dtype)

    def encoded(self, vocabulary: NDArray[np.uint32], unknown: Unknown) -> Ids:
        """Return the ids of the text; many are read from the file where they lie.

        Raises:
            UnknownCharactersError: if the vocabulary lacks some characters.
            CorpusError: if the temporary file cannot be written.
        """
        K, M = len(vocabulary), len(self.code_points)
        id_of = np.minimum(np.searchsorted(vocabulary, self.code_points), K - 1)
        known = vocabulary[id_of] == self.code_points
        complete, dtype = bool(known.all()), np.min_scalar_type(K - 1)
        if not complete and unknown == "error":
            raise UnknownCharactersError(self._describe(np.flatnonzero(~known)))
        table = np.zeros(max(M, 256), dtype)
        table[:M] = id_of
        end = self.characters * dtype.itemsize
        with _disk_errors():
            if not np.array_equal(id_of, np.arange(M)) or dtype != self._table.dtype:
                end = 0
                for numbers in self._blocks():
                    ids = _look_up(table, numbers if complete else numbers[known[numbers]])
                    self._file.seek(end)
                    end += self._file.write(ids.data)
            self._file.flush()
            if end > _IN_MEMORY:
                in_file = mmap.mmap(self._file.fileno(), end, access=mmap.ACCESS_READ)
                return np.frombuffer(in_file, dtype)
            self._file.seek(0)
            return np.frombuffer(bytearray(self._file.read(end)), dtype)

    def _describe(self, unknown: NDArray[np.intp]) -> str:
        """Name the first few of some numbers, each with the first place of its character."""
        first, named = unknown[:5].tolist(), list[str]()
        line, line_start, at, total = 1, 0, 0, 0
        for numbers in self._blocks():
            total += int(np.isin(numbers, unknown).sum())
            breaks = np.flatnonzero(self.code_points[numbers] == ord("\n"))
            while first and len(places := np.flatnonzero(numbers == first[0])):
                before = breaks[breaks < places[0]]
                start = at + before[-1] + 1 if len(before) else line_start
                character = show_character(chr(self.code_points[first.pop(0)]))
                place = f"line {line + len(before)}, column {at + places[0] - start + 1}"
                named.append(f"{character} at {place}")
            line += len(breaks)
            line_start = at + int(breaks[-1]) + 1 if len(breaks) else line_start
            at += len(numbers)
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        subject = "1 character is" if total == 1 else f"{total:,} characters are"
        different = f"not in the vocabulary ({len(unknown)} different)"
        return f"{subject} {different}: {'; '.join(named)}{more}"

    def merge(self, ranks: Ranks) -> None:
        """Become the numbering of the whole text, of which each rank has read a part.

        What was read goes into a file of each machine, written by the rank that leads it.
        """
        parts = ranks.gather((self.code_points, self.characters, self.fingerprint.blocks()))
        self.fingerprint = Fingerprint([block for _, _, blocks in parts for block in blocks])
        # In the order in which they first come in the whole text.
        points = dict.fromkeys(np.concatenate([points for points, _, _ in parts]).tolist())
        dtype = np.min_scalar_type(len(points))
        numbers = {point: number for number, point in enumerate(points)}
        table = np.zeros(max(len(self.code_points), 256), dtype)
        table[: len(self.code_points)] = [numbers[point] for point in self.code_points.tolist()]
        with _disk_errors():
            whole = _spool(named=ranks.leads_node)
            for root, (_, characters, _) in enumerate(parts):
                own = self._blocks() if ranks.rank == root else None
                for at in range(0, characters, BLOCK):
                    block = np.empty(min(BLOCK, characters - at), dtype)
                    if own:
                        block[...] = _look_up(table, next(own))
                    ranks.broadcast(block, root)
                    if ranks.leads_node:
                        whole.write(block.data)
        self.close()
        self._file = whole
        self.code_points = np.array(list(points), np.uint32)
        self.characters = sum(characters for _, characters, _ in parts)
        self._tabulate(dtype)

    def shared(self, ranks: Ranks, vocabulary: NDArray[np.uint32], unknown: Unknown) -> Ids:
        """Return what `encoded` does, on each machine from the file of the rank that leads it.

        Raises:
            UnknownCharactersError: as there.
            CorpusError: as there.
        """
        ids: Ids = np.empty(0, np.uint8)
        with ranks.agreeing():
            if ranks.leads_node:
                ids = self.encoded(vocabulary, unknown)
        name, dtype, size = ranks.from_leader((self._file.name, ids.dtype, ids.nbytes))
        with ranks.agreeing(), _disk_errors():
            if size and not ranks.leads_node:
                with Path(name).open("rb") as file:
                    in_file = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
                ids = np.frombuffer(in_file, dtype)
        return ids

    def close(self) -> None:
        """Let go of the temporary file; the ids that were returned stay."""
        with suppress(OSError):  # of a last write that was reported already
            self._file.close()


def _pieces(text: str) -> Iterator[str]:
    for at in range(0, len(text), BLOCK):
        yield text[at : at + BLOCK]


def _spool(*, named: bool = False) -> IO[bytes]:
    return tempfile.NamedTemporaryFile() if named else tempfile.SpooledTemporaryFile(_IN_MEMORY)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"{tempfile.tempdir or 'TMPDIR'}: {error.strerror or error}; a long text takes room "
            "there while it is read: name another folder by TMPDIR"
        ) from None


def _look_up(table: Ids, symbols: Ids) -> Ids:
    """Return table[symbols]; from bytes to bytes, as with most texts, in a third of the time."""
    if table.itemsize == symbols.itemsize == 1:
        return np.frombuffer(symbols.tobytes().translate(table[:256].tobytes()), np.uint8)
    return table.take(symbols)
