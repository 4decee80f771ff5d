"""Writing texts with a model: one text by characters, or many texts side by side."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.draws import fresh_seed
from charnn.errors import DivergenceError
from charnn.network.network import Network
from charnn.sampling import Sampling, Writer
from charnn.showing import BOUNDARY
from charnn.text.encoding import Ids
from charnn.text.vocabulary import Vocabulary

_GROUP = 64  # texts written side by side
_PATIENCE = 10_000  # rejected texts in a row before writing stops
_ROWS = 512  # characters of each group that fit into its first buffer


def opening(vocabulary: Vocabulary, prime: str) -> str:
    """Return the text that a model reads before it draws: the prime, at the start of a document.

    For a model without documents, the prime is at the start of a line: after a newline, or after a
    space if the vocabulary has no newline. If it has neither, and there is no prime, the text is
    any character.
    """
    if vocabulary.boundary is not None:
        return BOUNDARY + prime
    mark = next((mark for mark in "\n " if mark in vocabulary), "")
    return mark + prime if mark + prime else vocabulary.characters[0]


def between(documents: str | None) -> tuple[str, str]:
    """Return the text printed between two samples, and after the last, by `data.documents`."""
    kind, _, separator = (documents or "").partition(":")
    return {"lines": ("\n", "\n"), "blank-lines": ("\n\n", "\n"), "text": (separator, "")}.get(
        kind, ("\n---\n", "")
    )


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
    documents: str | None = None,
    accepts: Callable[[Ids], bool] | None = None,
) -> Iterator[str]:
    """Yield the pieces of `samples` texts: each the prime, then at most n characters.

    The first piece of a text is given: the separator and the prime. The drawn characters follow. A
    single text has a piece for each character, in memory that does not grow. Several texts are
    written side by side, with one piece each. The last piece follows all texts.

    A document ends where the model draws its end.

    Args:
        network: the model.
        vocabulary: its characters.
        n: characters to draw for each text; the maximum for a document.
        sampling: how they are drawn.
        prime: the beginning of each text. The model reads it as the beginning of a line, or of a
            document.
        shows_prime: whether the prime is part of the pieces.
        seed: see `Writer.draw`.
        samples: the number of texts.
        documents: what a text is, as in `data.documents`; see `between`.
        accepts: returns whether to keep a text, from its ids and those of the prime; None keeps
            all. After 10,000 rejected texts in a row, writing ends early.

    Raises:
        UnknownCharactersError: if the prime or the stop text is not in the vocabulary.
        DivergenceError: if the model overflows.
    """
    ends = [vocabulary.encode(stop) for stop in sampling.stop]
    writer = Writer(network)
    writer.read(vocabulary.encode(opening(vocabulary, prime)))
    shown = prime if shows_prime else ""
    separator, last = between(documents)
    if samples == 1 and accepts is None:
        yield shown
        yield from _one(writer, vocabulary, n, sampling, seed)
        yield last
        return
    groups = -(-samples // _GROUP)
    texts = max(2, -(-samples // groups))
    begin, given, refused = vocabulary.encode(prime), shown, 0
    for ids in _several(writer.fork(texts).draw(sampling, seed=seed), texts, n, ends, vocabulary):
        if accepts is None or accepts(np.concatenate([begin, ids])):
            yield given
            yield vocabulary.decode(ids)
            given, refused, samples = separator + shown, 0, samples - 1
        else:
            refused += 1
        if not samples or refused == _PATIENCE:
            break
    yield last


def _one(
    writer: Writer, vocabulary: Vocabulary, n: int, sampling: Sampling, seed: int
) -> Iterator[str]:
    """Yield the characters of one text."""
    tail, stops, characters = "", sampling.stop, vocabulary.characters
    longest = max(map(len, stops), default=0)
    for ids in islice(writer.draw(sampling, seed=seed), n):
        character = characters[ids[0]]
        if character == BOUNDARY:
            return
        yield character
        if longest:
            tail = (tail + character)[-longest:]
            if tail.endswith(stops):
                return


def _several(
    drawn: Generator[NDArray[np.intp], NDArray[np.bool_] | None, None],
    texts: int,
    n: int,
    stops: Sequence[NDArray[Any]],
    vocabulary: Vocabulary,
) -> Iterator[NDArray[Any]]:
    """Yield the ids of texts without end, in the order of their numbers.

    Each ends after a drawn end, a stop text, or n characters.
    """
    boundary, columns = vocabulary.boundary, np.arange(texts)
    ids = np.empty((min(n + 1, _ROWS), texts), np.min_scalar_type(len(vocabulary)))
    lengths, numbers = np.zeros(texts, np.intp), np.arange(texts)
    begun, finished, wanted = texts, dict[int, NDArray[Any]](), 0
    row = next(drawn) if n else columns
    while True:
        ids[lengths, columns] = row
        lengths += 1
        ended = row == boundary if boundary is not None else np.zeros(texts, bool)
        over = ended | (lengths >= n)
        for stop in stops:
            at = lengths - len(stop) + np.arange(len(stop))[:, None]
            over |= (at[0] >= 0) & (ids[np.maximum(at, 0), columns] == stop[:, None]).all(axis=0)
        for m in np.flatnonzero(over):
            finished[numbers[m]] = ids[: lengths[m] - ended[m] if n else 0, m].copy()
            numbers[m], lengths[m] = begun, 0
            begun += 1
        while wanted in finished:
            yield finished.pop(wanted)
            wanted += 1
        if lengths.max() == len(ids):
            ids = np.concatenate([ids, np.empty_like(ids)])
        if n:
            row = drawn.send(over)


def sample(
    model: Network,
    vocabulary: Vocabulary,
    n: int,
    *,
    prime: str = "",
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    samples: int = 1,
    documents: str | None = None,
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
        n: characters to draw for each text; the maximum for a document, which the model ends
            itself.
        prime: the beginning of each text. The model reads it as the beginning of a line, or of a
            document.
        stop: a text ends early after this text, or after one of these.
        seed: one seed gives one text; None draws a seed.
        samples: the number of texts.
        documents: what a text is, as in `data.documents`. This decides the separator.
        temperature: > 0; below 1, probable characters become more probable.
        top_k: the number of most probable characters to keep; None keeps all.
        top_p: the probability mass to keep, > 0 and at most 1; None keeps all.
        greedy: take the most probable character instead of drawing.

    Returns:
        An iterator over pieces: the prime, then one character a piece. For several texts, a piece
        is the prime or the rest of a text. A separator precedes all texts but the first: a line of
        `---`, or as `documents` defines. The last piece is the text after all samples, if there is
        any.

    Raises:
        RequestError: at once, if a value is out of range.
        UnknownCharactersError: if the prime or the stop text is not in the vocabulary.
        DivergenceError: if the model overflows.
    """
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    sampling = Sampling(temperature, top_k, top_p, greedy, tuple(filter(None, stops)))
    if seed is None:
        seed = fresh_seed()
    return write(
        model,
        vocabulary,
        n,
        sampling,
        prime=prime,
        seed=seed,
        samples=samples,
        documents=documents,
    )


def preview(model: Network, vocabulary: Vocabulary, *, seed: int, n: int = 160) -> str:
    """Return a short sample at temperature 0.8, to show during training.

    For a model of documents, these are several documents. Those of one line have a space between.
    """
    pieces: list[str] = []
    sampling, several = Sampling(temperature=0.8), vocabulary.boundary is not None
    with np.errstate(all="ignore"), suppress(DivergenceError):
        for piece in write(model, vocabulary, n, sampling, seed=seed, samples=1 + 15 * several):
            pieces.append(piece)
    if not several:
        return "".join(pieces)
    drawn = pieces[1::2]
    text = ("\n" if any("\n" in document for document in drawn) else "  ").join(drawn)
    return text if len(text) <= n else text[: n - 1] + "…"
