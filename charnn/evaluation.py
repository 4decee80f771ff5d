"""Exact loss of a model over a text."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from charnn.errors import DivergenceError
from charnn.network.arrays import Array, Resets
from charnn.network.network import Network, Reader
from charnn.text.encoding import Ids

_MAX_NUMBERS = 1_000_000  # states or logits held at a time, so that they stay in the cache
_MIN_COLUMNS = 64  # of V h at a time: fewer make a large V slow, which is read for each product
_BLOCKS = 64  # blocks of limited context that are read side by side


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
        """exp(nats per character): as uncertain as a fair choice among this many.

        Infinite if no float is as large.
        """
        try:
            return math.exp(self.nats_per_char)
        except OverflowError:
            return math.inf

    @property
    def accuracy(self) -> float:
        """Share of predictions whose most probable character came."""
        return self.correct / self.predictions


_NOTHING = Evaluation(0.0, 0, 0, 0)


def evaluate(
    model: Network, ids: Ids, *, segments: int = 1, context: int | None = None
) -> Evaluation:
    """Return the loss of a model over a text.

    The text is read from the zero state, and the state is carried to the end: the loss is exact.

    Example:
        checkpoint = charnn.load("run.best.npz")
        ids = checkpoint.vocabulary.encode(text)
        print(charnn.evaluate(checkpoint.model, ids).bits_per_char)

    Args:
        model: the network.
        ids: (N,) character ids, N at least 2.
        segments: more than 1 is many times faster: so many parts of the text are read side by side,
            each after 128 characters that are read first and not scored. The mean differs by less
            than 1e-4 nats as long as a part is much longer than what the model remembers.
        context: the longest context of a prediction, at least 1: the state is reset after every so
            many predictions. None carries it on.

    Raises:
        DivergenceError: if the loss is not a finite number.
    """
    *_, result = evaluating(model, ids, segments=segments, context=context)
    return result


def evaluating(
    model: Network,
    ids: Ids,
    *,
    segments: int = 1,
    warmup: int = 128,
    context: int | None = None,
    part: int = 0,
    parts: int = 1,
    threads: int = 1,
) -> Iterator[Evaluation]:
    """Evaluate as `evaluate` does, yielding the sums so far; the last ones are the result.

    With one segment the text is read from the zero state, and the state is carried to the end: the
    loss is exact. With more, the text is cut into segments that are read side by side, each warmed
    up on the `warmup` characters before it. That is many times faster. The mean differs by less
    than 1e-4 nats as long as a segment is much longer than what the model remembers.

    With a context the state is reset after every so many predictions, so that they are made from 1,
    2, … `context` characters. That is exact, too, and as fast as segments.

    Args:
        model: the network.
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
        passes = _blocks(model, total, context)
    nats, correct, done = 0.0, 0, 0
    for read, state, starts, length, reset in passes:
        for places, resets in _windows(read, starts, length, reset):
            targets = ids[places + 1].reshape(-1)
            with np.errstate(all="ignore"):  # the check below reports an overflow
                o = read(ids[places], state, resets).reshape(places.size, -1)
                right, lost = _scored(o, targets)
            nats += lost
            correct += right
            done += places.size
            if not math.isfinite(nats):
                raise DivergenceError("the loss over the text is not finite: the model overflows")
            yield Evaluation(nats, correct, done, total)


def _side_by_side(shares: list[Iterator[Evaluation]]) -> Iterator[Evaluation]:
    """Advance all shares at once, each in a thread; yield their sums."""
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


class _Pass(NamedTuple):
    """Some pieces of the text, all of one length, to be read side by side."""

    read: Reader
    state: Array  # (S, B, H), before the pieces
    starts: NDArray[np.intp]  # (B,), where each piece begins
    length: int
    reset: NDArray[np.bool_] | None  # (B,), whether a piece is read from the zero state


def _windows(
    read: Reader,
    starts: NDArray[np.intp],
    length: int,
    reset: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[NDArray[np.intp], Resets | None]]:
    """Yield the places of the characters in pieces of a text, and the resets, window by window."""
    for at in range(0, length, read.seq_length):
        places = starts + np.arange(at, min(at + read.seq_length, length))[:, None]
        resets = None
        if at == 0 and reset is not None:
            resets = np.zeros(places.shape, bool)
            resets[0] = reset
        yield places, resets


def _share(
    total: int, segments: int, warmup: int, part: int, parts: int
) -> tuple[NDArray[np.intp], int, int]:
    """Return where a part's segments begin, their length, and what is left after the very last."""
    S = max(1, min(segments, total // (4 * warmup)))
    length = total // S
    # Rounded up: an only segment belongs to the first part.
    begin, end = -(-S * part // parts), -(-S * (part + 1) // parts)
    return np.arange(begin, end) * length, length, total - S * length if begin < end == S else 0


def _carried(
    model: Network, ids: Ids, starts: NDArray[np.intp], length: int, rest: int, warmup: int
) -> Iterator[_Pass]:
    """Each segment side by side; then the last one goes on with what is left of the text."""
    if not len(starts):
        return
    state = model.zero_state(len(starts))
    read = _reader(model, len(starts))
    if starts[-1] > 0:
        # Nothing comes before the first segment: it reads anything, and is reset after that.
        for places, _ in _windows(read, np.maximum(0, starts - warmup), warmup):
            with np.errstate(all="ignore"):
                read.read(ids[places], state)
    yield _Pass(read, state, starts, length, starts == 0)
    yield _Pass(Reader(model, 1, 1), state[:, -1:], starts[-1:] + length, rest, None)


def _blocks(model: Network, total: int, context: int) -> Iterator[_Pass]:
    """Blocks of `context` predictions, some side by side; then what is left of the text."""
    whole = total // context
    for first in range(0, whole, _BLOCKS):
        starts = np.arange(first, min(first + _BLOCKS, whole)) * context
        yield _from_zero(model, starts, context)
    yield _from_zero(model, np.array([whole * context]), total - whole * context)


def _from_zero(model: Network, starts: NDArray[np.intp], length: int) -> _Pass:
    state, reset = model.zero_state(len(starts)), np.ones(len(starts), bool)
    return _Pass(_reader(model, len(starts)), state, starts, length, reset)


def _reader(model: Network, batch_size: int) -> Reader:
    width = max(model.vocab_size, model.spec.state_shape(1)[0] * model.hidden_size)
    most, least = _MAX_NUMBERS // (batch_size * width), _MIN_COLUMNS // batch_size
    return Reader(model, max(1, least, min(512, most)), batch_size)
