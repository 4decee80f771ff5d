"""Drawing text from a model: temperature, top-k, top-p, and streaming generation."""

import math
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.draws import Purpose, generator
from charnn.errors import DivergenceError
from charnn.network.loss import log_softmax
from charnn.network.network import RNN
from charnn.network.products import Array
from charnn.network.stepper import Stepper
from charnn.text.vocabulary import Vocabulary

_DRAWS = 16_384  # random numbers drawn at a time for each text
_GROUP = 64  # texts generated side by side


def probabilities(
    o: Array,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> NDArray[np.float64]:
    """Turn logits into the probabilities to draw from.

    softmax(o / temperature), then only the `top_k` most probable characters, then only the
    smallest set of the most probable whose mass reaches `top_p` (Holtzman et al. 2020), what is
    left scaled to sum to 1. Ties keep the smaller ids.

    Args:
        o: (M, K) logits.
        temperature: > 0; below 1 the likely becomes likelier.
        top_k: how many characters to keep, or None.
        top_p: probability mass to keep, in (0, 1], or None.

    Returns:
        (M, K) float64, each row summing to 1.
    """
    scaled = o.astype(np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    # The maximum is 0 now; what a tiny temperature sends to minus infinity has probability 0.
    with np.errstate(over="ignore"):
        p = np.exp(log_softmax(scaled / temperature))
    if top_k is None and top_p is None:
        return p
    # Ranked by the logits: a high temperature may round different ones to equal probabilities.
    order = np.argsort(-o, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    if top_k is not None:
        ranked[:, top_k:] = 0
        ranked /= ranked.sum(axis=1, keepdims=True)
    if top_p is not None:
        # A character stays if those before it have not reached the mass yet.
        ranked[:, 1:][ranked.cumsum(axis=1)[:, :-1] >= top_p] = 0
        ranked /= ranked.sum(axis=1, keepdims=True)
    np.put_along_axis(p, order, ranked, axis=1)
    return p


def preview(model: RNN, vocabulary: Vocabulary, *, seed: int, n: int = 160) -> str:
    """Return a short text at temperature 0.8, to look at while a model is being trained."""
    pieces: list[str] = []
    with np.errstate(all="ignore"), suppress(DivergenceError):
        pieces += sample(model, vocabulary, n, seed=seed, temperature=0.8)
    return "".join(pieces)


def generate(
    model: RNN,
    prime: NDArray[np.integer[Any]],
    *,
    seed: int,
    samples: int = 1,
    first: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    greedy: bool = False,
) -> Iterator[NDArray[np.intp]]:
    """Yield characters without end: at each turn the next id of every text.

    Drawn by the Gumbel-max trick: with G = −log E and E from the standard exponential
    distribution, independent for each character, argmax(o / temperature + G) is a draw from
    softmax(o / temperature), as if by an exponential race (Gumbel 1954).

    Args:
        model: the model.
        prime: (N,) ids read first, from the zero state; N at least 1.
        seed: with the number of a text, it names that text's draws.
        samples: M, texts generated side by side.
        first: the number of the first of them.
        temperature: see `probabilities`.
        top_k: see `probabilities`.
        top_p: see `probabilities`.
        greedy: take the most probable character instead of drawing.

    Yields:
        (M,) character ids, not to be changed.

    Raises:
        DivergenceError: if the model overflows, so that no finite logit is the largest.
    """
    K, state = model.vocab_size, model.zero_state()
    for at in range(0, len(prime), 512):
        model.logits(prime[at : at + 512, None], state)
    stepper = Stepper(model, np.repeat(state, samples, axis=1))  # every text begins alike
    o = stepper.logits
    draws = [generator(seed, Purpose.SAMPLE, stream=first + m) for m in range(samples)]
    whole = top_k is None and top_p is None
    # For the whole softmax the noise is scaled instead of o; near infinity nothing else is left.
    scale = min(temperature, 1e30) if whole else 1.0
    noise = np.empty((max(1, _DRAWS // K), *o.shape), np.float32 if whole else np.float64)
    each = [np.array([k]) for k in range(K)]
    while True:
        if not greedy:
            for m, draw in enumerate(draws):
                E = draw.standard_exponential((len(noise), K))
                np.multiply(-scale, np.log(E, out=E), out=E)
                (noise if samples == 1 else noise[:, m])[...] = E
        for G in noise:
            if greedy:
                scores = o
            elif whole:
                scores = np.add(o, G, out=G)
            else:
                p = probabilities(
                    o.reshape(samples, K), temperature=temperature, top_k=top_k, top_p=top_p
                )
                with np.errstate(divide="ignore"):
                    scores = np.log(p).reshape(o.shape) + G
            ids = scores.argmax(axis=-1)
            best = scores[ids] if samples == 1 else scores.max()
            if not math.isfinite(best):
                raise DivergenceError("the next character cannot be drawn: the model overflows")
            yield each[ids] if samples == 1 else ids
            stepper.step(ids)


def default_prime(vocabulary: Vocabulary) -> str:
    """Return what a text is read after when nothing is given: the start of a line, or a space."""
    first = vocabulary.characters[0]
    return next((mark for mark in "\n " if mark in vocabulary), first)


def sample(
    model: RNN,
    vocabulary: Vocabulary,
    n: int,
    *,
    prime: str = "",
    stop: str = "",
    seed: int,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    greedy: bool = False,
) -> Iterator[str]:
    """Yield the pieces of `samples` texts: each the prime, then at most n characters.

    The first piece of a text is what is given: the prime, after a line of `---` between two texts.
    Then comes what is drawn. Of one text that is a piece for each character, in memory that does
    not grow; several are generated side by side, a group at a time, and are one piece each.

    Args:
        model: the model.
        vocabulary: its characters.
        n: characters to generate for each text.
        prime: what each text begins with; without it the model reads `default_prime`, unprinted.
        stop: a text ends early once it has generated this.
        seed: see `generate`.
        samples: how many texts.
        temperature: see `probabilities`.
        top_k: see `probabilities`.
        top_p: see `probabilities`.
        greedy: see `generate`.

    Raises:
        UnknownCharactersError: if the prime or the stop text is not in the vocabulary.
        DivergenceError: if the model overflows.
    """
    primed = vocabulary.encode(prime or default_prime(vocabulary))
    stop_ids = vocabulary.encode(stop)
    for first in range(0, samples, _GROUP):
        group = min(_GROUP, samples - first)
        turns = generate(
            model,
            primed,
            seed=seed,
            samples=group,
            first=first,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            greedy=greedy,
        )
        if samples == 1:
            yield prime
            tail, characters = "", vocabulary.characters
            for ids in islice(turns, n):
                character = characters[ids[0]]
                yield character
                if stop:
                    tail = (tail + character)[-len(stop) :]
                    if tail == stop:
                        return
            return
        texts = np.empty((n, group), np.min_scalar_type(len(vocabulary)))
        lengths = np.full(group, n)
        for t, ids in enumerate(islice(turns, n)):
            texts[t] = ids
            if len(stop_ids) and t + 1 >= len(stop_ids):
                ended = (texts[t + 1 - len(stop_ids) : t + 1] == stop_ids[:, None]).all(axis=0)
                lengths[ended] = np.minimum(lengths[ended], t + 1)
                if (lengths <= t + 1).all():
                    break
        for m in range(group):
            yield ("\n---\n" if first + m else "") + prime
            yield vocabulary.decode(texts[: lengths[m], m])
