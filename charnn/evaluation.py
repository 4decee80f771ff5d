"""Exact loss of a model over a text."""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from charnn.errors import DivergenceError
from charnn.network.arrays import Array, Resets
from charnn.network.network import Network, Reader
from charnn.showing import Shown, show_loss
from charnn.text.documents import Documents
from charnn.text.encoding import Ids

_MAX_NUMBERS = 1_000_000  # states or logits held at a time, so that they stay in the cache
_MIN_COLUMNS = 64  # of V h at a time; each product reads all of V, so fewer columns are slow
_PIECES = 256  # pieces of a text that are read side by side


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """How well a model predicts a text of N characters: sums over its N − 1 predictions.

    Attributes:
        total_nats: Σ −log ŷ[next character], float64.
        correct: predictions whose most probable character was the actual one.
        predictions: the number of predictions so far.
        total: the number of all predictions, N − 1, or those of a part of the text.
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
        """exp(nats per character): equivalent to a uniform choice among so many characters.

        Infinite if no float is as large.
        """
        try:
            return math.exp(self.nats_per_char)
        except OverflowError:
            return math.inf

    @property
    def accuracy(self) -> float:
        """Share of predictions whose most probable character was the actual one."""
        return self.correct / self.predictions

    def __str__(self) -> str:
        of = "" if self.predictions == self.total else f" of {self.total:,}"
        made = f"{self.predictions:,}{of} predictions"
        if not self.predictions:
            return made
        loss = show_loss(self.nats_per_char)
        return f"{loss}, perplexity {self.perplexity:.4g}, {self.accuracy:.1%} correct, {made}"


# Takes the places (T, B) of the inputs, the logits (T·B, K) after them, which it may overwrite, and
# the actual next characters (T·B,). Returns how often the most probable one was right, and the sum
# of the nats.
Score = Callable[[NDArray[np.intp], Array, Ids], tuple[int, float]]

_NOTHING = Evaluation(0.0, 0, 0, 0)


def evaluate(
    model: Network,
    ids: Ids,
    *,
    segments: int = 1,
    context: int | None = None,
    boundary: int | None = None,
) -> Evaluation:
    """Return the loss of a model over a text.

    The model reads the text from the zero state and carries the state to the end, so the loss is
    exact.

    Example:
        checkpoint = charnn.load("run.best.npz")
        ids = checkpoint.vocabulary.encode(text)
        print(charnn.evaluate(checkpoint.model, ids).bits_per_char)

    Args:
        model: the network.
        ids: (N,) character ids, N at least 2.
        segments: the number of parts of the text that are read side by side. More than 1 is many
            times faster. Before each part, 128 characters are read and not scored. The mean differs
            by less than 1e-4 nats if a part is much longer than the memory of the model.
        context: the longest context of a prediction, at least 1. The state is reset after this
            many predictions. None never resets it.
        boundary: for a text of documents, the id of the boundary, `Vocabulary.boundary`. Each
            document is read from the zero state.

    Raises:
        DivergenceError: if the loss is not a finite number.
    """
    *_, result = evaluating(model, ids, segments=segments, context=context, boundary=boundary)
    return result


def evaluating(
    model: Network,
    ids: Ids,
    *,
    segments: int = 1,
    warmup: int = 128,
    context: int | None = None,
    boundary: int | None = None,
    part: int = 0,
    parts: int = 1,
    threads: int = 1,
    score: "Score | None" = None,
) -> Iterator[Evaluation]:
    """Evaluate as `evaluate` does, yielding the sums so far; the last ones are the result.

    Documents, and the blocks between the resets of a `context`, are pieces that begin at the zero
    state. With one segment, the model reads the pieces side by side, and the loss is still exact.

    Args:
        model: the network.
        ids: (N,) character ids, N at least 2. Documents are B d1 B d2 B … with B the boundary.
        segments: S; lowered if segments would be shorter than four times `warmup`.
        warmup: characters read, but not scored, before each segment.
        context: see `evaluate`.
        boundary: see `evaluate`.
        part: the share of the segments or pieces to read, from 0. An empty share yields nothing.
        parts: the number of shares.
        threads: the number of threads for this share. Use a BLAS of one thread with them.
        score: the function that returns the sums of a window, or None. Several threads may call it
            at once.

    Raises:
        DivergenceError: if the loss is not a finite number.
    """
    in_pieces = context is not None or (boundary is not None and segments == 1)
    if threads > 1 and (in_pieces or segments > 1):
        mine = range(part * threads, (part + 1) * threads)
        divided = partial(
            evaluating,
            model,
            ids,
            segments=segments,
            warmup=warmup,
            context=context,
            boundary=boundary,
            score=score,
        )
        yield from _side_by_side([divided(part=i, parts=parts * threads) for i in mine])
        return
    if in_pieces:
        pieces = _pieces(ids, boundary, context)
        # Shares are whole groups, so that the result does not depend on the number of shares.
        pieces = pieces[np.arange(len(pieces)) // _PIECES % parts == part]
        total = int(pieces[:, 1].sum())
        passes = from_zero(model, pieces)
    else:
        total = len(ids) - 1
        starts, length, rest = _share(total, segments, warmup, part, parts)
        total = len(starts) * length + rest
        passes = _carried(model, ids, starts, length, rest, warmup, boundary)
    nats, correct, done = 0.0, 0, 0
    for each in passes:
        for places, o in each.logits(ids, boundary):
            targets = ids[places + 1].reshape(-1)
            with np.errstate(all="ignore"):  # the check below reports an overflow
                right, lost = (score or _scored)(places, o.reshape(places.size, -1), targets)
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


def _scored(_: NDArray[np.intp], o: Array, targets: Ids) -> tuple[int, float]:
    """Return how often the most probable character was right, and Σ −log softmax(o)[target].

    Args:
        o: (N, K) logits, overwritten.
        targets: (N,) the actual next characters.
    """
    rows, expected = np.arange(len(o)), o.argmax(axis=1)
    o -= o[rows, expected][:, None]
    at_target = o[rows, targets].sum(dtype=np.float64)
    np.exp(o, out=o)
    lost = np.log(o.sum(axis=1)).sum(dtype=np.float64) - at_target
    return int((expected == targets).sum()), float(lost)


class Pass(NamedTuple):
    """Some pieces of the text, all of one length, to be read side by side."""

    read: Reader
    state: Array  # (S, B, H), before the pieces
    starts: NDArray[np.intp]  # (B,), where each piece begins
    length: int
    reset: NDArray[np.bool_] | None = None  # (B,), whether a piece is read from the zero state

    def logits(
        self, ids: Ids, boundary: int | None = None
    ) -> Iterator[tuple[NDArray[np.intp], Array]]:
        """Read the pieces, window by window; yield places and logits after them, (T', B, K)."""
        for places, resets in self._windows(ids, boundary):
            with np.errstate(all="ignore"):
                o = self.read(ids[places], self.state, resets)
            yield places, o

    def warm_up(self, ids: Ids, boundary: int | None) -> None:
        """Read the pieces and return only the state after them."""
        for places, resets in self._windows(ids, boundary):
            with np.errstate(all="ignore"):
                self.read.read(ids[places], self.state, resets=resets)

    def _windows(
        self, ids: Ids, boundary: int | None
    ) -> Iterator[tuple[NDArray[np.intp], Resets | None]]:
        for at in range(0, self.length, self.read.seq_length):
            places = (
                self.starts + np.arange(at, min(at + self.read.seq_length, self.length))[:, None]
            )
            resets = None
            if at == 0 and self.reset is not None:
                resets = np.zeros(places.shape, bool)
                resets[0] = self.reset
            if boundary is not None:
                begins = ids[places] == boundary
                resets = begins if resets is None else resets | begins
            yield places, resets if resets is not None and resets.any() else None


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
    model: Network,
    ids: Ids,
    starts: NDArray[np.intp],
    length: int,
    rest: int,
    warmup: int,
    boundary: int | None,
) -> Iterator[Pass]:
    """Read the segments side by side; then continue the last one with the rest of the text."""
    if not len(starts):
        return
    state = model.zero_state(len(starts))
    read = _reader(model, len(starts))
    if starts[-1] > 0:
        # Nothing precedes the first segment. It reads any characters and is reset after them.
        Pass(read, state, np.maximum(0, starts - warmup), warmup).warm_up(ids, boundary)
    yield Pass(read, state, starts, length, starts == 0)
    yield Pass(Reader(model, 1, 1), state[:, -1:], starts[-1:] + length, rest)


def _pieces(ids: Ids, boundary: int | None, context: int | None) -> NDArray[np.int64]:
    """Return where each piece of a text begins and how long it is, (M, 2), the longest first."""
    starts, lengths = np.array([0]), np.array([len(ids) - 1])
    if boundary is not None:
        documents = Documents.found(ids, boundary)
        starts, lengths = documents.starts, documents.lengths
    if context is not None:
        context = min(context, len(ids))
        blocks = -(-lengths // context)
        number = np.arange(blocks.sum()) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        starts = np.repeat(starts, blocks) + number * context
        lengths = np.minimum(context, np.repeat(lengths, blocks) - number * context)
    return np.stack([starts, lengths], axis=1)[np.argsort(-lengths, kind="stable")]


def from_zero(model: Network, pieces: NDArray[np.int64]) -> Iterator[Pass]:
    """Yield passes that read pieces of a text side by side, each from the zero state.

    Args:
        model: the network.
        pieces: (M, 2), where each begins and how long it is, the longest first.
    """
    for first in range(0, len(pieces), _PIECES):
        starts, lengths = pieces[first : first + _PIECES].T
        state, reset = model.zero_state(len(starts)), np.ones(len(starts), bool)
        at = 0
        while at < lengths[0]:
            going = int(np.count_nonzero(lengths > at))  # the first ones
            end = int(lengths[going - 1])
            read = _reader(model, going)
            yield Pass(read, state[:, :going], starts[:going] + at, end - at, None if at else reset)
            at = end


def _reader(model: Network, batch_size: int) -> Reader:
    width = max(model.vocab_size, model.spec.state_shape(1)[0] * model.hidden_size)
    most, least = _MAX_NUMBERS // (batch_size * width), _MIN_COLUMNS // batch_size
    return Reader(model, max(1, least, min(512, most)), batch_size)
