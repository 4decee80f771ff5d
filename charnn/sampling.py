"""Drawing text from a model: temperature, top-k, top-p, and writing character by character."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.draws import Purpose, fresh_seed, generator
from charnn.errors import DivergenceError, RequestError
from charnn.network.arrays import Array
from charnn.network.loss import log_softmax
from charnn.network.network import Network
from charnn.network.stepper import Stepper
from charnn.text.vocabulary import Vocabulary

_DRAWS = 16_384  # random numbers drawn at a time for each text
_GROUP = 64  # texts written side by side
_WINDOW = 512  # characters read at a time


@dataclass(frozen=True)
class Sampling:
    """How characters are drawn; checked when it is made.

    Attributes:
        temperature: > 0; below 1 the likely becomes likelier.
        top_k: how many of the most probable characters to keep, at least 1; None keeps all.
        top_p: the probability mass to keep, > 0 and at most 1; None keeps all.
        greedy: take the most probable character instead of drawing.
        stop: a text ends early once one of these has been drawn; empty for never.

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
    smallest set of the most probable whose mass reaches `top_p` (Holtzman et al. 2020). What is
    left is scaled to sum to 1. Ties keep the smaller ids.

    Args:
        o: (M, K) logits.
        sampling: `greedy` and `stop` play no part here.

    Returns:
        (M, K) float64, each row summing to 1.
    """
    scaled = o.astype(np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    # The maximum is 0 now. What a tiny temperature sends to minus infinity has probability 0.
    with np.errstate(over="ignore"):
        p = np.exp(log_softmax(scaled / sampling.temperature))
    if not sampling.cuts:
        return p
    # Ranked by the logits: a high temperature may round different ones to equal probabilities.
    order = np.argsort(-o, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    if sampling.top_k is not None:
        ranked[:, sampling.top_k :] = 0
        ranked /= ranked.sum(axis=1, keepdims=True)
    if sampling.top_p is not None:
        # A character stays if those before it have not reached the mass yet.
        ranked[:, 1:][ranked.cumsum(axis=1)[:, :-1] >= sampling.top_p] = 0
        ranked /= ranked.sum(axis=1, keepdims=True)
    np.put_along_axis(p, order, ranked, axis=1)
    return p


class Writer:
    """Writes M texts side by side with a network. It reads, it draws, and it can be forked."""

    def __init__(self, network: Network, state: Array | None = None):
        """Begin after a state, (S, M, H); None is the zero state of one text.

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
        """Return a writer of so many texts, which all go on from where this writer's one is."""
        return Writer(self.network, np.repeat(self.state, texts, axis=1))

    def draw(self, sampling: Sampling, *, seed: int, first: int = 0) -> Iterator[NDArray[np.intp]]:
        """Yield characters without end: the next id of every text, which the writer then has read.

        Drawn by the Gumbel-max trick. With G = −log E and E from the standard exponential
        distribution, independent for each character, argmax(o / temperature + G) is a draw from
        softmax(o / temperature), as if by an exponential race (Gumbel 1954).

        Args:
            sampling: how to draw; `stop` plays no part here.
            seed: with the number of a text, it names that text's draws.
            first: the number of the first of the texts.

        Yields:
            (M,) character ids, not to be changed.

        Raises:
            DivergenceError: if the model overflows, so that no finite logit is the largest.
        """
        K, M = self.network.vocab_size, self._state.shape[1]
        draws = [generator(seed, Purpose.SAMPLE, stream=first + m) for m in range(M)]
        # For the whole softmax the noise is scaled instead of o. With a temperature near infinity
        # nothing else is left.
        scale = 1.0 if sampling.cuts else min(sampling.temperature, 1e30)
        dtype = np.float64 if sampling.cuts else np.float32
        noise = np.empty((max(1, _DRAWS // K), *((K,) if M == 1 else (M, K))), dtype)
        each = [np.array([k]) for k in range(K)]
        plain = not sampling.greedy and not sampling.cuts
        stepper: Stepper | None = None
        while True:
            if not sampling.greedy:
                for m, draw in enumerate(draws):
                    E = draw.standard_exponential((len(noise), K))
                    np.multiply(-scale, np.log(E, out=E), out=E)
                    (noise if M == 1 else noise[:, m])[...] = E
            for G in noise:
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
                yield each[ids] if M == 1 else ids

    def _stepping(self) -> Stepper:
        """Return what steps from the present state on; another after each `read`."""
        if self._stepper is None:
            self._stepper = Stepper(self.network, self._state)
        return self._stepper


def opening(vocabulary: Vocabulary, prime: str) -> str:
    """Return what a model reads before it draws: the prime, as the beginning of a line.

    So it comes after a line's end, or after a space if the vocabulary has no line's end. Without
    either, and without a prime, any character will do.
    """
    mark = next((mark for mark in "\n " if mark in vocabulary), "")
    return mark + prime if mark + prime else vocabulary.characters[0]


def write(
    network: Network,
    vocabulary: Vocabulary,
    n: int,
    sampling: Sampling,
    *,
    prime: str = "",
    shows_prime: bool = True,
    seed: int,
    samples: int = 1,
) -> Iterator[str]:
    """Yield the pieces of `samples` texts: each the prime, then at most n characters.

    The first piece of a text is what is given: the prime, after a line of `---` between two texts.
    Then comes what is drawn. One text comes as a piece for each character, in memory that does
    not grow. Several are written side by side, a group at a time, and are one piece each.

    Args:
        network: the model.
        vocabulary: its characters.
        n: characters to draw for each text.
        sampling: how they are drawn.
        prime: what each text begins with. The model reads it as the beginning of a line.
        shows_prime: whether it is part of the pieces.
        seed: see `Writer.draw`.
        samples: how many texts.

    Raises:
        UnknownCharactersError: if the prime or the stop text is not in the vocabulary.
        DivergenceError: if the model overflows.
    """
    stops = [vocabulary.encode(stop) for stop in sampling.stop]
    writer = Writer(network)
    writer.read(vocabulary.encode(opening(vocabulary, prime)))
    prime = prime if shows_prime else ""
    if samples == 1:
        yield prime
        yield from _one(writer, vocabulary, n, sampling, seed)
        return
    for first in range(0, samples, _GROUP):
        texts = min(_GROUP, samples - first)
        drawn = writer.fork(texts).draw(sampling, seed=seed, first=first)
        for number, ids in enumerate(
            _several(islice(drawn, n), texts, n, stops, len(vocabulary)), first
        ):
            yield ("\n---\n" if number else "") + prime
            yield vocabulary.decode(ids)


def _one(
    writer: Writer, vocabulary: Vocabulary, n: int, sampling: Sampling, seed: int
) -> Iterator[str]:
    """Yield the characters of one text."""
    tail, stops, characters = "", sampling.stop, vocabulary.characters
    longest = max(map(len, stops), default=0)
    for ids in islice(writer.draw(sampling, seed=seed), n):
        character = characters[ids[0]]
        yield character
        if longest:
            tail = (tail + character)[-longest:]
            if tail.endswith(stops):
                return


def _several(
    drawn: Iterator[NDArray[np.intp]],
    texts: int,
    n: int,
    stops: Sequence[NDArray[Any]],
    vocab_size: int,
) -> Iterator[NDArray[Any]]:
    """Yield the ids of each text, up to where it has drawn a stop text, or all n."""
    ids = np.empty((n, texts), np.min_scalar_type(vocab_size))
    lengths = np.full(texts, n)
    for t, row in enumerate(drawn):
        ids[t] = row
        for stop in stops:
            if t + 1 >= len(stop):
                ended = (ids[t + 1 - len(stop) : t + 1] == stop[:, None]).all(axis=0)
                lengths[ended] = np.minimum(lengths[ended], t + 1)
        if stops and (lengths <= t + 1).all():
            break
    for m in range(texts):
        yield ids[: lengths[m], m]


def sample(
    model: Network,
    vocabulary: Vocabulary,
    n: int,
    *,
    prime: str = "",
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    greedy: bool = False,
) -> Iterator[str]:
    """Draw text from a model, piece by piece.

    Example:
        checkpoint = charnn.load("run.best.npz")
        print("".join(charnn.sample(checkpoint.model, checkpoint.vocabulary, 300, prime="The ")))

    Args:
        model: the network.
        vocabulary: its characters.
        n: characters to draw for each text.
        prime: what each text begins with. The model reads it as the beginning of a line.
        stop: a text ends early once this, or one of these, has been drawn.
        seed: one seed, one text; None draws one.
        samples: how many texts.
        temperature: > 0; below 1 the likely becomes likelier.
        top_k: how many of the most probable characters to keep; None keeps all.
        top_p: the probability mass to keep, > 0 and at most 1; None keeps all.
        greedy: take the most probable character instead of drawing.

    Returns:
        The prime, then a character a piece. Of several texts the prime and the rest of each, with a
        line of `---` before the second and all later ones.

    Raises:
        RequestError: at once, if a value is out of range.
        UnknownCharactersError: if the prime or the stop text is not in the vocabulary.
        DivergenceError: if the model overflows.
    """
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    sampling = Sampling(temperature, top_k, top_p, greedy, tuple(filter(None, stops)))
    if seed is None:
        seed = fresh_seed()
    return write(model, vocabulary, n, sampling, prime=prime, seed=seed, samples=samples)


def preview(model: Network, vocabulary: Vocabulary, *, seed: int, n: int = 160) -> str:
    """Return a short text at temperature 0.8, to look at while a model is being trained."""
    pieces: list[str] = []
    with np.errstate(all="ignore"), suppress(DivergenceError):
        pieces += write(model, vocabulary, n, Sampling(temperature=0.8), seed=seed)
    return "".join(pieces)
