"""Exact loss of a model over a text."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from charnn.errors import DivergenceError
from charnn.network.network import RNN, Reader
from charnn.network.products import Array
from charnn.text.encoding import Ids

_MAX_NUMBERS = 1_000_000  # hidden states or logits held at a time, so that they stay in the cache
_BLOCKS = 64  # of limited context, read side by side


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text of N characters: sums over its N − 1 predictions.

    Attributes:
        total_nats: Σ −log ŷ[next character], float64.
        correct: predictions whose most probable character came.
        predictions: how many were made so far.
        total: how many there are, N − 1, or of a part of the text as many.
    """

    total_nats: float
    correct: int
    predictions: int
    total: int

    @classmethod
    def sum(cls, parts: Iterable[Self]) -> Self:
        """Put the parts of a divided text together."""
        each = ((part.total_nats, part.correct, part.predictions, part.total) for part in parts)
        nats, correct, predictions, total = zip(*each, strict=True)
        return cls(sum(nats), sum(correct), sum(predictions), sum(total))

    @property
    def nats_per_char(self) -> float:
        """Mean loss in nats per character."""
        return self.total_nats / self.predictions

    @property
    def bits_per_char(self) -> float:
        """Mean loss in bits per character, nats / ln 2."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(nats per character): as uncertain as a fair choice among this many."""
        return math.exp(min(self.nats_per_char, 709))  # e^709 is about the largest float

    @property
    def accuracy(self) -> float:
        """Share of predictions whose most probable character came."""
        return self.correct / self.predictions


_NOTHING = Evaluation(0.0, 0, 0, 0)


def evaluate(model: RNN, ids: Ids, *, segments: int = 1, context: int | None = None) -> Evaluation:
    """Return the loss of a model over a text; see `evaluating`."""
    *_, result = evaluating(model, ids, segments=segments, context=context)
    return result


def evaluating(
    model: RNN,
    ids: Ids,
    *,
    segments: int = 1,
    warmup: int = 128,
    context: int | None = None,
    part: int = 0,
    parts: int = 1,
    threads: int = 1,
) -> Iterator[Evaluation]:
    """Evaluate a model over a text, yielding the sums so far; the last ones are the result.

    With one segment the text is read from the zero state, which is carried to the end: the exact
    loss. With more, the text is cut into segments read side by side, each warmed up on the
    `warmup` characters before it. That is many times faster, and the mean differs by less than
    1e-4 nats as long as a segment is much longer than what the model remembers.

    With a context the state is zero again after every so many predictions, so that they are made
    from 1, 2, … `context` characters. That is exact, too, and as fast as segments.

    Args:
        model: the model.
        ids: (N,) character ids, N at least 2.
        segments: S; lowered where segments would be shorter than four times `warmup`.
        warmup: characters read, but not scored, before each segment.
        context: the longest context of a prediction, at least 1; None carries the state on.
        part: which share of the segments to read, from 0; one without any yields nothing.
        parts: into how many shares the segments are divided.
        threads: how many divide this share's segments among them, best with a BLAS of one thread.

    Raises:
        DivergenceError: if the loss is not a finite number.
    """
    if threads > 1 and context is None:
        mine = range(part * threads, (part + 1) * threads)
        divided = partial(evaluating, model, ids, segments=segments, warmup=warmup)
        yield from _side_by_side([divided(part=i, parts=parts * threads) for i in mine])
        return
    total = len(ids) - 1
    if context is None:
        starts, length, rest = _share(total, segments, warmup, part, parts)
        total = len(starts) * length + rest
        passes = _carried(model, ids, starts, length, rest, warmup)
    else:
        passes = _from_zero(model, total, context)
    nats, correct, done = 0.0, 0, 0
    for read, state, where, length in passes:
        for at in range(0, length, read.seq_length):
            places = where + np.arange(at, min(at + read.seq_length, length))[:, None]
            targets = ids[places + 1].reshape(-1)
            with np.errstate(all="ignore"):  # looked for below
                o = read(ids[places], state).reshape(places.size, -1)
                right, lost = _scored(o, targets)
            nats += lost
            correct += right
            done += places.size
            if not math.isfinite(nats):
                raise DivergenceError("the loss over the text is not finite: the model overflows")
            yield Evaluation(nats, correct, done, total)


def _side_by_side(shares: list[Iterator[Evaluation]]) -> Iterator[Evaluation]:
    """Advance all shares at once, a thread each; yield their sums."""
    latest = [_NOTHING] * len(shares)
    with ThreadPoolExecutor(len(shares)) as pool:
        while (now := list(pool.map(next, shares, latest))) != latest:
            latest = now
            yield Evaluation.sum(latest)


def _scored(o: Array, targets: Ids) -> tuple[int, float]:
    """Return how often the most probable character came, and Σ −log softmax(o)[target] in nats.

    Args:
        o: (N, K) logits, overwritten.
        targets: (N,) the characters that came.
    """
    rows, expected = np.arange(len(o)), o.argmax(axis=1)
    o -= o[rows, expected][:, None]
    at_target = o[rows, targets].sum(dtype=np.float64)
    np.exp(o, out=o)
    lost = np.log(o.sum(axis=1)).sum(dtype=np.float64) - at_target
    return int((expected == targets).sum()), float(lost)


# What to read with, the state before, (S,) places to begin at side by side, and how far to read.
_Pass = tuple[Reader, Array, NDArray[np.intp], int]


def _share(
    total: int, segments: int, warmup: int, part: int, parts: int
) -> tuple[NDArray[np.intp], int, int]:
    """Return where a part's segments begin, their length, and what is left after the very last."""
    S = max(1, min(segments, total // (4 * warmup)))
    length = total // S
    # Rounded up: it is the first part that has an only segment.
    begin, end = -(-S * part // parts), -(-S * (part + 1) // parts)
    return np.arange(begin, end) * length, length, total - S * length if begin < end == S else 0


def _carried(
    model: RNN, ids: Ids, starts: NDArray[np.intp], length: int, rest: int, warmup: int
) -> Iterator[_Pass]:
    """Each segment side by side; then what is left of the text, read on by the last one."""
    S = len(starts)
    if not S:
        return
    state = model.zero_state(S)
    read = _reader(model, S)
    if starts[-1] > 0:
        # The first segment has nothing before it: it reads anything, then starts from zero.
        before = np.maximum(0, starts - warmup)
        for at in range(0, warmup, read.seq_length):
            places = before + np.arange(at, min(at + read.seq_length, warmup))[:, None]
            with np.errstate(all="ignore"):
                read(ids[places], state)
        state[:, starts == 0] = 0
    yield read, state, starts, length
    yield Reader(model, 1, 1), state[:, -1:], starts[-1:] + length, rest


def _from_zero(model: RNN, total: int, context: int) -> Iterator[_Pass]:
    """Blocks of `context` predictions, some side by side; then what is left of the text."""
    whole = total // context
    for first in range(0, whole, _BLOCKS):
        starts = np.arange(first, min(first + _BLOCKS, whole)) * context
        yield _reader(model, len(starts)), model.zero_state(len(starts)), starts, context
    last = np.array([whole * context])
    yield _reader(model, 1), model.zero_state(), last, total - whole * context


def _reader(model: RNN, batch_size: int) -> Reader:
    width = max(model.vocab_size, model.num_layers * model.hidden_size)
    return Reader(model, max(1, min(512, _MAX_NUMBERS // (batch_size * width))), batch_size)
