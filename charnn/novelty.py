"""What a text copies, word for word, from the text a model was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.text.encoding import Ids

RUN = 20  # characters; a shorter run in common need not be copied
_BLOCK = 1 << 20  # characters of the source searched at a time, at least

_Series = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Copies:
    """What some texts have in common with a source.

    Attributes:
        characters: how many there are in all the texts.
        inside: how many of them lie inside runs of `RUN` or more that the source holds, too.
        longest: (n,) ids of the longest such run, of any length; of several the first.
    """

    characters: int
    inside: int
    longest: Ids

    @property
    def share(self) -> float:
        """Share of the characters inside copied runs; 0 of no characters."""
        return self.inside / max(1, self.characters)


def copies(texts: Sequence[Ids], source: Ids) -> Copies:
    """Find the runs of characters that occur in a text and, the same, in a source.

    Exact. A run ends where its text does. The memory grows with the texts, not with the source.

    Args:
        texts: (N,) ids each.
        source: (M,) ids of the same vocabulary.
    """
    mark = 1 + max((int(ids.max()) for ids in (source, *texts) if len(ids)), default=0)
    # After each text comes what no source has.
    ended = [np.append(text.astype(np.int64), mark) for text in texts]
    sample = np.concatenate([np.empty(0, np.int64), *ended])
    inside, first, longest = np.zeros(len(sample), bool), 0, 0
    overlap = max(map(len, texts), default=0)  # a run may go on into the next block
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
    """Mark in `inside` what lies in copied runs; return where the longest begins, and its length.

    A few characters of so many bits are one number. Once all n-grams in common have numbers, an
    (n + d)-gram, d ≤ n, is a pair of them, d apart. So n doubles for as long as there are any
    in common; then what is between n and too long is halved.
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
    """Return each n-gram as one number."""
    end = len(ids) - n + 1
    codes = ids[:end]
    for place in range(1, n):
        codes = codes << bits | ids[place : place + end]
    return codes


def _pairs(numbers: _Series, d: int) -> _Series:
    """Return each pair of numbers, d apart, as one; -1 where either is -1."""
    left, right = numbers[:-d], numbers[d:]
    return np.where((left >= 0) & (right >= 0), left << 32 | right, -1)


def _common(sample: _Series, source: _Series) -> tuple[_Series, _Series]:
    """Number what two series have in common; all else, and -1, becomes -1."""
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
