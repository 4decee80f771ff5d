"""Documents: a text consists of many, each read from the zero state after a boundary symbol.

With the boundary B, the documents d1, d2, … are stored as B d1 B d2 B … So a document begins with a
boundary, and the boundary after it is the last character that the model predicts.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from charnn.draws import Purpose, generator
from charnn.showing import BOUNDARY
from charnn.text.blocks import spans
from charnn.text.encoding import Ids
from charnn.text.spool import Spool

_RUNS = re.compile(BOUNDARY + "{2,}")
_BLANK_LINES = re.compile(rf"\n(?:[ \t]*\n)+|(?:\n[ \t]*)*{BOUNDARY}(?:[ \t]*\n)*")
_BLOCK = 1 << 20  # characters gathered or compared at a time


class Divider:
    """Divides a text into documents.

    Attributes:
        empty: the number of empty documents left out so far.
        separators: the number of separators found so far.
    """

    def __init__(self, documents: str):
        """Take `data.documents`: lines, blank-lines, files, or text:SEPARATOR."""
        self._kind, _, self._separator = documents.partition(":")
        self.empty = self.separators = 0

    def divide(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the pieces of a text with one boundary after each document, none before the first.

        Args:
            pieces: of the text. A piece that is a boundary is the end of a file, which also
                ends a document.
        """
        begins, held = True, ""  # whether a document begins here; a possible part of a separator
        for piece in chain(pieces, [BOUNDARY]):
            ends = piece == BOUNDARY
            text, held = self._marked(held + ("" if ends else piece), ends=ends, begins=begins)
            text = BOUNDARY + text if begins else text
            if ends and (self._kind == "files" or not text.endswith(BOUNDARY)):
                text += BOUNDARY
            whole = _RUNS.sub(BOUNDARY, text) if 2 * BOUNDARY in text else text
            self.empty += len(text) - len(whole)
            yield whole[begins:]
            begins = whole.endswith(BOUNDARY) if whole else begins

    def _marked(self, text: str, *, ends: bool, begins: bool) -> tuple[str, str]:
        """Return a text with a boundary for each separator, and the end of it that must wait."""
        rest = ""
        if self._kind in ("lines", "blank-lines"):
            if text.endswith("\r") and not ends:
                text, rest = text[:-1], "\r"
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if self._kind == "lines":
            self.separators += text.count("\n")
            return text.replace("\n", BOUNDARY), rest
        if self._kind == "blank-lines":
            return self._without_blank_lines(text, rest, ends=ends, begins=begins)
        if self._kind == "text":
            separator = self._separator
            self.separators += text.count(separator)
            text = text.replace(separator, BOUNDARY)
            lengths = range(0 if ends else len(separator) - 1, 0, -1)
            waits = next((n for n in lengths if text.endswith(separator[:n])), 0)
            return text[: len(text) - waits], text[len(text) - waits :]
        return text, ""

    def _without_blank_lines(
        self, text: str, rest: str, *, ends: bool, begins: bool
    ) -> tuple[str, str]:
        if not ends:  # a line end at the end waits, because a blank line may follow
            blanks = len(text.rstrip(" \t\n"))
            # At the beginning of a document, blanks alone may be a blank line.
            waits = 0 if begins and not blanks else text.find("\n", blanks)
            if waits >= 0:
                text, rest = text[:waits], text[waits:] + rest
        marked = _BLANK_LINES.sub(BOUNDARY, BOUNDARY * begins + text + BOUNDARY * ends)
        self.separators += marked.count(BOUNDARY) - begins - ends
        return marked[begins : len(marked) - ends], rest


class Packing:
    """Documents end to end in some order, as a series of predictions.

    Attributes:
        total: the number of their predictions.
    """

    def __init__(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]):
        """Take the starts and lengths of the documents, (D,) each, in this order."""
        self._ends = np.cumsum(lengths)
        self._shifts = starts - (self._ends - lengths)
        self.total = int(self._ends[-1]) if len(lengths) else 0

    def find(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the number of the document and the place of the input for some predictions."""
        document = np.searchsorted(self._ends, numbers, side="right")
        return document, numbers + self._shifts[document]

    def blocks(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64]]]:
        """Yield the same for all predictions, block by block."""
        for start in range(0, self.total, _BLOCK):
            yield self.find(np.arange(start, min(start + _BLOCK, self.total)))


@dataclass(frozen=True)
class Documents:
    """The documents of a text, or some of them.

    Attributes:
        ids: (N,) the ids of the whole text, B d1 B d2 B …
        boundary: the id of the boundary.
        starts: (D,) the place of the boundary before each document.
        lengths: (D,) the predictions of each document: its characters and its end.
    """

    ids: Ids
    boundary: int
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def found(cls, ids: Ids, boundary: int) -> Self:
        """Find the documents in B d1 B d2 B … by the id of the boundary."""
        places = [a + np.flatnonzero(ids[a:b] == boundary) for a, b in spans(len(ids))]
        bounds = np.concatenate([np.empty(0, np.int64), *places])
        return cls(ids, boundary, bounds[:-1], np.diff(bounds))

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the documents that a mask, (D,), selects."""
        return replace(self, starts=self.starts[chosen], lengths=self.lengths[chosen])

    def shuffled(self, seed: int, epoch: int) -> Packing:
        """Pack the documents in the order of an epoch, counted from 0."""
        order = generator(seed, Purpose.SHUFFLE, step=epoch).permutation(len(self))
        return Packing(self.starts[order], self.lengths[order])

    @cached_property
    def contents(self) -> NDArray[np.uint64]:
        """A number for each document, (D,). Only equal documents have equal numbers."""
        sums = np.zeros(len(self), np.uint64)
        for document, places in Packing(self.starts, self.lengths).blocks():
            first = np.flatnonzero(np.diff(document, prepend=-1))
            within = (places - self.starts[document]).astype(np.uint64)
            values = _mixed(self.ids[places + 1].astype(np.uint64) << np.uint64(40) ^ within)
            sums[document[first]] += np.add.reduceat(values, first)
        return sums

    @property
    def different(self) -> int:
        """The number of different documents."""
        return len(np.unique(self.contents))

    def also_in(self, others: "Documents") -> NDArray[np.bool_]:
        """Return which of these documents equal one of some others, (D,)."""
        return np.isin(self.contents, others.contents)

    def sides(self, val_fraction: float, test_fraction: float, seed: int) -> NDArray[np.intp]:
        """Divide the documents at random; equal documents are in the same split.

        Args:
            val_fraction: share of the documents for validation. Above 0, there is at least one.
            test_fraction: share of the documents for the final test, with the same rule.
            seed: of the draw.

        Returns:
            (D,), 0 for training, 1 for validation, 2 for the test.
        """
        _, group, sizes = np.unique(self.contents, return_inverse=True, return_counts=True)
        order = generator(seed, Purpose.SPLIT).permutation(len(sizes))
        side = np.zeros(len(sizes), np.intp)
        for number, fraction in ((2, test_fraction), (1, val_fraction)):
            wanted = max(int(fraction * len(self) + 1e-9), fraction > 0)
            left = order[side[order] == 0]
            small = left[sizes[left] <= wanted]
            chosen = small[np.cumsum(sizes[small]) <= wanted]
            if fraction and not len(chosen):
                chosen = left[np.argsort(sizes[left], kind="stable")[:1]]
            side[chosen] = number
        return side[group]

    def text(self) -> Ids:
        """Return the ids of only these documents, B d B d B … Many ids are mapped from a file."""
        with closing(Spool(self.ids.dtype)) as spool:
            spool.append(np.full(min(1, len(self)), self.boundary, self.ids.dtype))
            for _, places in Packing(self.starts, self.lengths).blocks():
                spool.append(self.ids[places + 1])
            return spool.array()


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter numbers over all 64 bits (SplitMix64: Steele, Lea & Flood 2014)."""
    mixed: NDArray[np.uint64] = numbers * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ mixed >> np.uint64(shift)) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed
