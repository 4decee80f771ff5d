"""How a model reads a text: its surprise, its expectation, and its states.

Places count the characters of the text from 0. A place has the surprise and the expectation of its
character, given all characters before it, and the state after that character. So place 0 has no
expectation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charnn.errors import DivergenceError
from charnn.network.arrays import Array
from charnn.network.loss import log_softmax
from charnn.network.network import Network, Reader
from charnn.text.encoding import Ids

Floats = NDArray[np.float64]
MAX_STATES = 50_000_000  # hidden units held, over all places and layers; bounds the memory
_MAX_LOGITS = 2_000_000  # logits held at a time


@dataclass(frozen=True)
class Reading:
    """The result of reading N characters from the zero state.

    Attributes:
        ids: (N,) the characters.
        h: (L, N, H), the outputs of the layers after each character.
        bits: (N,) surprisal, −log₂ of the probability of each character; not a number at place 0.
        char_ranks: (N,) the rank of each character: 1 for the most probable one; 0 at
            place 0.
        likeliest: (N, C) ids of the C most probable characters, in this order; 0 at place 0.
        probabilities: (N, C) of those; not a number at place 0.
        states: (S, N, H), the whole state after each character.
    """

    ids: Ids
    h: Array
    bits: Floats
    char_ranks: NDArray[np.intp]
    likeliest: NDArray[np.intp]
    probabilities: Floats
    states: Array


def characters_before(ids: Ids, boundary: int | None) -> NDArray[np.intp]:
    """Return how many characters of its document, or of the text, precede each, (N,)."""
    before = np.arange(len(ids))
    if boundary is not None:
        before -= np.maximum.accumulate(np.where(ids == boundary, before, 0))
    return before


def read(model: Network, ids: Ids, top: int, boundary: int | None = None) -> Reading:
    """Read a text.

    Args:
        model: the model.
        ids: (N,) character ids, N at least 2.
        top: C, the number of most probable characters to keep; at most K.
        boundary: for documents, the id of the boundary; each is read from the zero state.

    Raises:
        DivergenceError: if a surprisal is not a finite number.
    """
    N, C = len(ids), min(top, model.vocab_size)
    S, _, H = model.spec.state_shape(1)
    states, state = np.empty((S, N, H), model.dtype), model.zero_state()
    bits, char_ranks = np.full(N, np.nan), np.zeros(N, np.intp)
    likeliest, probabilities = np.zeros((N, C), np.intp), np.full((N, C), np.nan)
    reader = Reader(model, min(N, max(1, _MAX_LOGITS // model.vocab_size)), 1)
    with np.errstate(all="ignore"):  # the check below reports an overflow
        for at in range(0, N, reader.seq_length):
            window = ids[at : at + reader.seq_length].astype(np.intp)
            resets = None if boundary is None else window[:, None] == boundary
            o = reader(window[:, None], state, resets)[:, 0]
            states[:, at : at + len(window)] = reader.states[:, 1 : len(window) + 1, 0]
            places = slice(at + 1, min(at + 1 + len(window), N))  # those that the window predicts
            log_y = log_softmax(o[: places.stop - places.start])
            came = np.take_along_axis(log_y, ids[places, None].astype(np.intp), axis=1)
            bits[places] = (0 - came[:, 0].astype(np.float64)) / np.log(2)  # 0 has no sign
            char_ranks[places] = 1 + (log_y > came).sum(axis=1)
            best = np.argpartition(-log_y, C - 1, axis=1)[:, :C]
            order = np.argsort(-np.take_along_axis(log_y, best, axis=1), axis=1, kind="stable")
            likeliest[places] = np.take_along_axis(best, order, axis=1)
            logs = np.take_along_axis(log_y, likeliest[places], axis=1)
            probabilities[places] = np.exp(logs.astype(np.float64))
    if not np.isfinite(bits[1:]).all():
        raise DivergenceError("the loss over the text is not finite: the model overflows")
    h = model.hidden(states)
    return Reading(ids, h, bits, char_ranks, likeliest, probabilities, states)
