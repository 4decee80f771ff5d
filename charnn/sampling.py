"""Drawing characters from a model: temperature, top-k, top-p."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.draws import Purpose, generator
from charnn.errors import DivergenceError, RequestError
from charnn.network.arrays import Array
from charnn.network.loss import log_softmax
from charnn.network.network import Network
from charnn.network.stepper import Stepper

_DRAWS = 16_384  # random numbers drawn at a time for one text
_TURNS = 16  # characters of several texts whose random numbers are drawn at a time
_WINDOW = 512  # characters read at a time


@dataclass(frozen=True)
class Sampling:
    """How characters are drawn. The constructor checks the values.

    Attributes:
        temperature: > 0; below 1, probable characters become more probable.
        top_k: the number of most probable characters to keep, at least 1; None keeps all.
        top_p: the probability mass to keep, > 0 and at most 1; None keeps all.
        greedy: take the most probable character instead of drawing.
        stop: a text ends early after one of these; empty for none.

    Raises:
        RequestError: naming the value that is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    greedy: bool = False
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise RequestError(
                f"temperature must be a number > 0, got {self.temperature:g} (see greedy)"
            )
        if self.top_k is not None and self.top_k < 1:
            raise RequestError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise RequestError(f"top_p must be > 0 and at most 1, got {self.top_p:g}")

    @property
    def cuts(self) -> bool:
        """Whether top_k or top_p leaves characters out."""
        return self.top_k is not None or self.top_p is not None


def probabilities(o: Array, sampling: Sampling) -> NDArray[np.float64]:
    """Turn logits into the probabilities to draw from.

    softmax(o / temperature), then only the `top_k` most probable characters, then only the
    smallest set of the most probable whose mass reaches `top_p` (Holtzman et al. 2020). The kept
    probabilities are scaled to sum to 1. Ties keep the smaller ids.

    Args:
        o: (M, K) logits.
        sampling: `greedy` and `stop` have no effect here.

    Returns:
        (M, K) float64, each row summing to 1.
    """
    scaled = o.astype(np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    # The maximum is 0 now. If a tiny temperature gives minus infinity, the probability is 0.
    with np.errstate(over="ignore"):
        p = np.exp(log_softmax(scaled / sampling.temperature))
    if not sampling.cuts:
        return p
    # Rank by logits, because a high temperature may round different ones to equal probabilities.
    order = np.argsort(-o, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    if sampling.top_k is not None:
        ranked[:, sampling.top_k :] = 0
        ranked /= ranked.sum(axis=1, keepdims=True)
    if sampling.top_p is not None:
        # A character stays if the more probable ones have not reached the mass yet.
        ranked[:, 1:][ranked.cumsum(axis=1)[:, :-1] >= sampling.top_p] = 0
        ranked /= ranked.sum(axis=1, keepdims=True)
    np.put_along_axis(p, order, ranked, axis=1)
    return p


class Writer:
    """Writes M texts side by side with a network. It can read, draw and fork."""

    def __init__(self, network: Network, state: Array | None = None):
        """Begin with a state, (S, M, H); None is the zero state of one text.

        Read at least one character before drawing.
        """
        self.network = network
        self._state = network.zero_state() if state is None else state
        self._stepper: Stepper | None = None

    @property
    def state(self) -> Array:
        """The state of each text after its last character, (S, M, H); drawing overwrites it."""
        return self._state if self._stepper is None else self._stepper.state

    def read(self, ids: NDArray[np.integer[Any]]) -> None:
        """Read (N,) characters in every text."""
        self._state = self.state.copy()
        self._stepper = None
        texts = self._state.shape[1]
        for at in range(0, len(ids), _WINDOW):
            window = ids[at : at + _WINDOW, None]
            self.network.logits(np.repeat(window, texts, axis=1), self._state)

    def fork(self, texts: int) -> "Writer":
        """Return a writer of several texts, which all continue this writer's text."""
        return Writer(self.network, np.repeat(self.state, texts, axis=1))

    def draw(
        self, sampling: Sampling, *, seed: int, first: int = 0
    ) -> Generator[NDArray[np.intp], NDArray[np.bool_] | None, None]:
        """Yield characters without end: the next id of every text. The writer reads it, too.

        Several texts can end at different times. The caller may send back which texts are over,
        (M,). New texts with the next numbers take their places.

        Drawn by the Gumbel-max trick. With G = −log E and E from the standard exponential
        distribution, independent for each character, argmax(o / temperature + G) is a draw from
        softmax(o / temperature), as if by an exponential race (Gumbel 1954).

        Args:
            sampling: how to draw; `stop` has no effect here.
            seed: together with the number of a text, it determines the draws of that text.
            first: the number of the first of the texts.

        Yields:
            (M,) character ids, not to be changed.

        Raises:
            DivergenceError: if the model overflows, so that no finite logit is the largest.
        """
        K, M = self.network.vocab_size, self._state.shape[1]
        draws = [generator(seed, Purpose.SAMPLE, stream=first + m) for m in range(M)]
        begun = M
        # For the whole softmax, the noise is scaled instead of o. With a temperature near infinity,
        # only the noise is left.
        scale = 1.0 if sampling.cuts else min(sampling.temperature, 1e30)
        dtype = np.float64 if sampling.cuts else np.float32
        turns = max(1, _DRAWS // K) if M == 1 else _TURNS
        noise = np.empty((turns, *((K,) if M == 1 else (M, K))), dtype)
        each = [np.array([k]) for k in range(K)]
        plain = not sampling.greedy and not sampling.cuts
        stepper: Stepper | None = None

        def make(m: int, noise: NDArray[Any]) -> None:
            """Draw the noise of text m for the turns to come."""
            if not sampling.greedy:
                E = draws[m].standard_exponential((len(noise), K))
                np.multiply(-scale, np.log(E, out=E), out=E)
                (noise if M == 1 else noise[:, m])[...] = E

        while True:
            for m in range(M):
                make(m, noise)
            for turn, G in enumerate(noise, 1):
                if stepper is not self._stepper or stepper is None:
                    stepper = self._stepping()
                    step, o = stepper.step, stepper.logits
                if plain:
                    scores = np.add(o, G, G)
                elif sampling.greedy:
                    scores = o
                else:
                    p = probabilities(o.reshape(M, K), sampling)
                    with np.errstate(divide="ignore"):
                        scores = np.log(p).reshape(o.shape) + G
                ids = scores.argmax(-1)
                best = scores[ids] if M == 1 else scores.max()
                if not math.isfinite(best):
                    raise DivergenceError("the next character cannot be drawn: the model overflows")
                step(ids)
                over = yield each[ids] if M == 1 else ids
                if over is not None and over.any():
                    stepper.restart(over)
                    for m in np.flatnonzero(over).tolist():
                        draws[m] = generator(seed, Purpose.SAMPLE, stream=first + begun)
                        begun += 1
                        make(m, noise[turn:])

    def _stepping(self) -> Stepper:
        """Return the stepper from the present state; each `read` replaces it."""
        if self._stepper is None:
            self._stepper = Stepper(self.network, self._state)
        return self._stepper
