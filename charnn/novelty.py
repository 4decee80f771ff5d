"""Novelty: how much of a text is copied from the training text, in runs or whole documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.text.documents import Documents
from charnn.text.encoding import Ids

RUN = 20  # characters: shorter common runs may be chance
_BLOCK = 1 << 20  # the fewest characters of the source searched at a time

_Series = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Copies:
    """The runs of characters that some texts have in common with a source.

    Attributes:
        characters: the number of characters in all texts.
        inside: how many of them are inside common runs of `RUN` characters or more.
        longest: (n,) the ids of the longest common run, of any length; the first of several.
    """

    characters: int
    inside: int
    longest: Ids

    @property
    def share(self) -> float:
        """The share of the characters inside copied runs, 0 to 1; 0 if there are no characters."""
        return self.inside / max(1, self.characters)


def copies(texts: Sequence[Ids], source: Ids) -> Copies:
    """Find the runs of characters that texts have in common with a source.

    The result is exact. No run crosses from one text into the next. The memory grows with the
    texts, not with the source.

    Args:
        texts: (N,) character ids each.
        source: (M,) character ids of the same vocabulary.
    """
    mark = 1 + max((int(ids.max()) for ids in (source, *texts) if len(ids)), default=0)
    # A mark that is not in the source follows each text, so that no run crosses it.
    ended = [np.append(text.astype(np.int64), mark) for text in texts]
    sample = np.concatenate([np.empty(0, np.int64), *ended])
    inside, first, longest = np.zeros(len(sample), bool), 0, 0
    overlap = max(map(len, texts), default=0)  # a run may continue in the next block
    block = max(_BLOCK, 4 * overlap)
    for at in range(0, len(source), block):
        part = source[at : at + block + overlap].astype(np.int64)
        start, length = _search(sample, part, mark.bit_length(), inside)
        if (length, -start) > (longest, -first):
            first, longest = start, length
    run = sample[first : first + longest].astype(source.dtype)
    return Copies(len(sample) - len(texts), int(inside.sum()), run)


def _search(
    sample: _Series, source: _Series, bits: int, inside: NDArray[np.bool_]
) -> tuple[int, int]:
    """Find the n-grams that a sample and a source have in common, for larger and larger n.

    The first n-grams are n characters packed into one number. Once all common n-grams have numbers,
    an (n + d)-gram with d ≤ n is a pair of these numbers, d places apart. So n doubles as long as
    there are common n-grams. A binary search then finds the largest n.

    Args:
        sample: (N,) the texts, with a mark after each.
        source: (M,) one block of the source.
        bits: the bits of an id.
        inside: (N,) True for characters inside copied runs. New ones are marked.

    Returns:
        The place in the sample where the longest common run starts, and its length.
    """
    series, n, start = (sample, source), 0, 0
    too_long = 1 + min(len(sample), len(source))
    while too_long - n > 1:
        longer = min(2 * n or 63 // bits, (n + too_long) // 2)
        if n < RUN:
            longer = min(longer, RUN)
        in_sample, in_source = _common(
            *(_pairs(x, longer - n) if n else _packed(x, longer, bits) for x in series)
        )
        starts = in_sample >= 0
        if not starts.any():
            too_long = longer
            continue
        series, n, start = (in_sample, in_source), longer, int(starts.argmax())
        if n == RUN:
            for place in range(RUN):
                inside[place : place + len(starts)] |= starts
    return start, n


def _packed(ids: _Series, n: int, bits: int) -> _Series:
    """Return each n-gram of ids as one number."""
    end = len(ids) - n + 1
    codes = ids[:end]
    for place in range(1, n):
        codes = codes << bits | ids[place : place + end]
    return codes


def _pairs(numbers: _Series, d: int) -> _Series:
    """Return each pair of numbers d places apart as one number, or -1 if one of them is -1."""
    left, right = numbers[:-d], numbers[d:]
    return np.where((left >= 0) & (right >= 0), left << 32 | right, -1)


def _common(sample: _Series, source: _Series) -> tuple[_Series, _Series]:
    """Replace the values that two series have in common by small numbers, all others by -1."""
    different, number = np.unique(sample, return_inverse=True)
    at = np.flatnonzero(source >= 0)
    place = np.searchsorted(different, source[at])
    found = different.take(place, mode="clip") == source[at]
    at, place = at[found], place[found]
    seen = np.zeros(len(different), bool)
    seen[place] = True
    in_source = np.full(len(source), -1)
    in_source[at] = place
    return np.where(seen[number], number, -1), in_source


class Seen:
    """Finds and counts documents that were drawn before or are in a text.

    Attributes:
        drawn: how many documents were checked.
        repeated: how many of them had been drawn before.
        copied: how many of them are in the text.
        left: how many remained after leaving some out.
    """

    def __init__(self, boundary: int, text: Ids | None, *, unique: bool = False, new: bool = False):
        """Take the text, (N,) ids B d B d B …, and the kinds to leave out: repeated, copied."""
        self._boundary, self._unique, self._new = boundary, unique, new
        found = np.empty(0, np.uint64) if text is None else Documents.found(text, boundary).contents
        self._known = np.append(np.sort(found), np.uint64(2**64 - 1))
        self._before = set[int]()
        self.drawn = self.repeated = self.copied = self.left = 0

    def __call__(self, ids: Ids) -> bool:
        """Return whether to keep a document, (n,) ids without boundaries."""
        text = np.empty(len(ids) + 2, np.uint32)
        text[1:-1], text[[0, -1]] = ids, self._boundary
        whole = np.array([len(text) - 1])
        (content,) = Documents(text, self._boundary, np.array([0]), whole).contents
        repeated = int(content) in self._before
        copied = bool(self._known[np.searchsorted(self._known, content)] == content)
        self._before.add(int(content))
        self.drawn += 1
        self.repeated += repeated
        self.copied += copied
        wanted = not ((self._unique and repeated) or (self._new and copied))
        self.left += wanted
        return wanted
