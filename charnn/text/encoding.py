"""Encoding: a text becomes character ids, with a known vocabulary or with its own."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charnn.errors import CorpusError
from charnn.ranks import ALONE, Ranks
from charnn.showing import BOUNDARY, show_character
from charnn.text.blocks import spans
from charnn.text.fingerprint import Fingerprint
from charnn.text.spool import Numbers, Spool, map_file

Ids = NDArray[np.unsignedinteger[Any]]
CodePoints = NDArray[np.unsignedinteger[Any]]
Unknown = Literal["error", "skip"]


class UnknownCharactersError(CorpusError):
    """A text has characters that are not in the vocabulary."""


def code_points_of(text: str) -> CodePoints:
    """Return the code points of a text of N characters: (N,), uint8 if all are ASCII, or uint32."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def text_of(code_points: CodePoints) -> str:
    """Return the text that code points spell (any shape, read in C order)."""
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


class Encoder:
    """Encodes a text in one pass, even if its vocabulary is known only at its end.

    First, each character becomes a number: its place in `code_points`, which grows with every
    new character. At the end the numbers are converted to ids.

    Attributes:
        code_points: (M,) uint32. First those of the expected characters, then those of other
            characters in the order in which they first appear.
        length: the number of characters read.
        fingerprint: of the text read so far.
    """

    def __init__(self, expected: NDArray[np.uint32]):
        """Begin an empty text with the code points of the expected characters."""
        self.code_points = expected
        self.length = 0
        self.fingerprint = Fingerprint()
        # The number of each code point. The largest value of the dtype stands for "none yet".
        self._table: Numbers
        self._tabulate(np.min_scalar_type(len(expected)))
        self._numbers = Spool(self._table.dtype)

    def read(self, pieces: Iterable[str]) -> None:
        """Append the pieces of a text.

        Raises:
            CorpusError: if the temporary file cannot be written.
        """
        for piece in pieces:
            self.fingerprint.update(piece.encode("utf-8", "surrogatepass"))
            points = code_points_of(piece)
            numbers = _look_up(self._table, points)
            new = numbers == np.iinfo(numbers.dtype).max
            if new.any():
                self._extend(points[new])
                numbers = _look_up(self._table, points)
            self._numbers.append(numbers)
            self.length += len(numbers)

    def _extend(self, points: CodePoints) -> None:
        """Give numbers to new code points. The given ones may repeat."""
        before = len(self.code_points)
        different = np.array(list(dict.fromkeys(points.tolist())), np.uint32)
        self.code_points = np.concatenate([self.code_points, different])
        after = len(self.code_points)
        if after > np.iinfo(self._table.dtype).max:
            self._widen(np.min_scalar_type(after))
        else:
            self._table[different] = np.arange(before, after)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        """Copy the numbers to a wider dtype."""
        wide = Spool(dtype)
        for numbers in self._numbers.blocks():
            wide.append(numbers.astype(dtype))
        self._numbers.close()
        self._numbers = wide
        self._tabulate(dtype)

    def _tabulate(self, dtype: np.dtype[Any]) -> None:
        self._table = np.full(sys.maxunicode + 1, np.iinfo(dtype).max, dtype)
        self._table[self.code_points] = np.arange(len(self.code_points))

    def merge(self, ranks: Ranks) -> None:
        """Replace this rank's part of the text by the parts of all ranks, in order.

        On each machine, the leading rank writes the numbers of the whole text to a file.
        """
        if ranks.size == 1:
            return
        parts = ranks.gather((self.code_points, self.length, self.fingerprint.blocks()))
        self.fingerprint = Fingerprint([block for _, _, blocks in parts for block in blocks])
        points = dict.fromkeys(np.concatenate([points for points, _, _ in parts]).tolist())
        numbers = {point: number for number, point in enumerate(points)}
        dtype = np.min_scalar_type(len(points))
        table = _table([numbers[point] for point in self.code_points.tolist()], dtype)
        whole = Spool(dtype, named=ranks.leads_node)
        for root, (_, length, _) in enumerate(parts):
            own = self._numbers.blocks() if ranks.rank == root else None
            for start, stop in spans(length):
                block = np.empty(stop - start, dtype)
                if own:
                    block[...] = _look_up(table, next(own))
                ranks.broadcast(block, root)
                if ranks.leads_node:
                    whole.append(block)
        self._numbers.close()
        self._numbers = whole
        self.code_points = np.array(list(points), np.uint32)
        self.length = sum(length for _, length, _ in parts)

    def ids(self, vocabulary: NDArray[np.uint32], unknown: Unknown, ranks: Ranks = ALONE) -> Ids:
        """Convert the numbers to ids and return them. The encoder can only be closed afterwards.

        Args:
            vocabulary: (K,) increasing code points. The id of a character is its place in them.
            unknown: the action for other characters: raise an error, or skip them.
            ranks: must have been merged. All ranks of a machine map the same file.

        Returns:
            (N,) ids in the smallest unsigned dtype for K of them. Many ids are mapped from a file.

        Raises:
            UnknownCharactersError: if the vocabulary lacks some characters.
            CorpusError: if the temporary file cannot be written or read.
        """
        if ranks.size == 1:
            return self._ids(vocabulary, unknown)
        ids: Ids = np.empty(0, np.uint8)
        with ranks.agreeing():
            if ranks.leads_node:
                ids = self._ids(vocabulary, unknown)
        name, size, dtype = ranks.from_leader((self._numbers.name, ids.nbytes, ids.dtype))
        with ranks.agreeing():
            if not ranks.leads_node:
                ids = map_file(name, size, dtype)
        return ids

    def _ids(self, vocabulary: NDArray[np.uint32], unknown: Unknown) -> Ids:
        K, M = len(vocabulary), len(self.code_points)
        id_of = np.minimum(np.searchsorted(vocabulary, self.code_points), K - 1)
        known = vocabulary[id_of] == self.code_points
        complete, dtype = bool(known.all()), np.min_scalar_type(K - 1)
        if not complete and unknown == "error":
            raise UnknownCharactersError(self._describe(np.flatnonzero(~known)))
        if not np.array_equal(id_of, np.arange(M)) or dtype != self._numbers.dtype:
            table = _table(id_of, dtype)
            self._numbers.rewrite(
                lambda numbers: _look_up(table, numbers if complete else numbers[known[numbers]]),
                dtype,
            )
        return self._numbers.array()

    def _describe(self, unknown: NDArray[np.intp]) -> str:
        """Describe unknown numbers: how often they occur, and the places of the first five.

        A text that begins with a boundary has documents. Others have lines.
        """
        to_name, named = unknown[:5].tolist(), list[str]()
        first = int(next(iter(self._numbers.blocks()))[0])
        divided = self.code_points[first] == ord(BOUNDARY)
        end = ord(BOUNDARY if divided else "\n")
        line_name, column_name = ("document", "character") if divided else ("line", "column")
        line, line_start, at, total = 0 if divided else 1, 0, 0, 0
        for numbers in self._numbers.blocks():
            total += int(np.isin(numbers, unknown).sum())
            breaks = np.flatnonzero(self.code_points[numbers] == end)
            while to_name and len(places := np.flatnonzero(numbers == to_name[0])):
                before = breaks[breaks < places[0]]
                start = at + before[-1] + 1 if len(before) else line_start
                character = chr(self.code_points[to_name.pop(0)])
                column = at + places[0] - start + 1
                place = f"at {line_name} {line + len(before)}, {column_name} {column}"
                if character == BOUNDARY:
                    place = "between documents"
                named.append(f"{show_character(character)} {place}")
            line += len(breaks)
            line_start = at + int(breaks[-1]) + 1 if len(breaks) else line_start
            at += len(numbers)
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        subject = "1 character is" if total == 1 else f"{total:,} characters are"
        different = f"not in the vocabulary ({len(unknown)} different)"
        return f"{subject} {different}: {'; '.join(named)}{more}"

    def close(self) -> None:
        """Close the temporary file. The ids that were returned stay valid."""
        self._numbers.close()


def in_pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces."""
    for start, stop in spans(len(text)):
        yield text[start:stop]


def _table(values: NDArray[Any] | list[int], dtype: np.dtype[Any]) -> Numbers:
    """Return values as a table for `_look_up`, with an entry for every byte."""
    table = np.zeros(max(len(values), 256), dtype)
    table[: len(values)] = values
    return table


def _look_up(table: Numbers, symbols: Numbers) -> Numbers:
    """Return table[symbols]. From bytes to bytes, the usual case, it takes a third of the time."""
    if table.itemsize == symbols.itemsize == 1:
        return np.frombuffer(symbols.tobytes().translate(table[:256].tobytes()), np.uint8)
    return table.take(symbols)
