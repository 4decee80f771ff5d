"""Exact loss of a model over a text."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from charnn.corpus import Ids
from charnn.errors import DivergenceError
from charnn.model import RNN, Reader, log_softmax

_MAX_NUMBERS = 1_000_000  # hidden states or logits held at a time, so that they stay in the cache


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


def evaluate(model: RNN, ids: Ids, *, segments: int = 1) -> Evaluation:
    """Return the loss of a model over a text; see `evaluating`."""
    *_, result = evaluating(model, ids, segments=segments)
    return result


def evaluating(
    model: RNN,
    ids: Ids,
    *,
    segments: int = 1,
    warmup: int = 128,
    part: int = 0,
    parts: int = 1,
) -> Iterator[Evaluation]:
    """Evaluate a model over a text, yielding the sums so far; the last ones are the result.

    With one segment the text is read from the zero state, which is carried to the end: the exact
    loss. With more, the text is cut into segments read side by side, each warmed up on the
    `warmup` characters before it. That is many times faster, and the mean differs by less than
    1e-4 nats as long as a segment is much longer than what the model remembers.

    Args:
        model: the model.
        ids: (N,) character ids, N at least 2.
        segments: S; lowered where segments would be shorter than four times `warmup`.
        warmup: characters read, but not scored, before each segment.
        part: which share of the segments to evaluate, from 0; one without any yields nothing.
        parts: into how many shares the segments are divided.

    Raises:
        DivergenceError: if the loss is not a finite number.
    """
    total = len(ids) - 1
    S = max(1, min(segments, total // (4 * warmup)))
    length = total // S
    # Rounded up: it is the first part that has an only segment.
    begin, end = -(-S * part // parts), -(-S * (part + 1) // parts)
    if begin == end:
        return
    starts = np.arange(begin, end) * length
    rest = total - S * length if end == S else 0
    total, S = (end - begin) * length + rest, end - begin
    state = model.zero_state(S)
    width = max(model.vocab_size, model.num_layers * model.hidden_size)
    chunk = max(1, min(512, _MAX_NUMBERS // (S * width)))
    nats, correct, done = 0.0, 0, 0
    read = Reader(model, chunk, S)
    if starts[-1] > 0:
        # The first segment has nothing before it: it reads anything, then starts from zero.
        before = np.maximum(0, starts - warmup)
        for at in range(0, warmup, chunk):
            places = before + np.arange(at, min(at + chunk, warmup))[:, None]
            with np.errstate(all="ignore"):
                read(ids[places], state)
        state[:, starts == 0] = 0
    # Each segment side by side; then what is left of the text, read on by the last one.
    for reader, where, first, last, carried in (
        (read, starts, 0, length, state),
        (Reader(model, 1, 1), starts[-1:], length, length + rest, state[:, -1:]),
    ):
        for at in range(first, last, reader.seq_length):
            places = where + np.arange(at, min(at + reader.seq_length, last))[:, None]
            with np.errstate(all="ignore"):  # looked for below
                o = reader(ids[places], carried)
                log_y = log_softmax(o.reshape(places.size, -1))
            targets = ids[places + 1].reshape(-1)
            nats -= float(log_y[np.arange(places.size), targets].sum(dtype=np.float64))
            correct += int((log_y.argmax(axis=1) == targets).sum())
            done += places.size
            if not math.isfinite(nats):
                raise DivergenceError("the loss over the text is not finite: the model overflows")
            yield Evaluation(nats, correct, done, total)
