"""Dynamic evaluation: a model continues to learn while it reads a text.

The model reads the text in segments of T characters. It first predicts and scores a segment. Then
one step of truncated back-propagation through time on that segment changes the parameters:

    θ ← θ − η g / √v̂ + λ (θ₀ − θ)

Here g is the gradient of the segment's mean loss, and v̂ is the running mean of g² over the segments
so far, as in Adam. θ₀ are the trained parameters; λ pulls θ back to them. A character changes
nothing before it is scored, so this is a loss of prediction.

Source: Krause, Kahembwe, Murray & Renals 2018, *Dynamic Evaluation of Neural Sequence Models*,
who take the mean of g² over the training text. Earlier: Mikolov et al. 2010, Graves 2013.
"""

import math
from collections.abc import Iterator

import numpy as np

from charnn.errors import DivergenceError
from charnn.evaluation import Evaluation
from charnn.network.bptt import BPTT
from charnn.network.network import Network
from charnn.optimizers import Adam
from charnn.text.encoding import Ids

RATE = 3e-4  # η by default; docs/adapting.md names the texts used to choose η, λ and T
_DECAY = 0.002  # λ
_SEGMENT = 64  # T


def adapt(
    model: Network, ids: Ids, *, rate: float = RATE, boundary: int | None = None
) -> Evaluation:
    """Read a text and learn from it; return its loss. Each character is scored before learning.

    Example:
        checkpoint = charnn.load("run.best.npz")
        ids = checkpoint.vocabulary.encode(text)
        print(charnn.adapt(checkpoint.model, ids).bits_per_char)

    Args:
        model: the network, whose parameters are changed in place.
        ids: (N,) character ids, N at least 2.
        rate: η.
        boundary: for a text of documents, the id of the boundary, `Vocabulary.boundary`.

    Raises:
        DivergenceError: if the loss is not a finite number.
    """
    *_, result = adapting(model, ids, rate=rate, boundary=boundary)
    return result


def adapting(
    model: Network, ids: Ids, *, rate: float = RATE, boundary: int | None = None
) -> Iterator[Evaluation]:
    """Adapt as `adapt` does, yielding the sums so far; the last ones are the result.

    The model carries its state through the text. In a text of documents, B d1 B d2 B … with B the
    boundary, it resets the state at each boundary.
    """
    theta, state, total = model.parameters.flat, model.zero_state(), len(ids) - 1
    trained = theta.copy()
    bptt = BPTT(model, min(_SEGMENT, total), 1)
    g, optimizer = bptt.gradients.flat, Adam(theta, beta1=0)
    nats, correct = 0.0, 0
    for step, at in enumerate(range(0, total, _SEGMENT), 1):
        segment = ids[at : at + _SEGMENT + 1, None]
        inputs, targets = segment[:-1], segment[1:]
        resets = None if boundary is None else inputs == boundary
        with np.errstate(all="ignore"):  # the check below reports an overflow
            o = bptt.read(inputs, state, resets=resets)
            correct += int((o.argmax(axis=1) == targets[:, 0]).sum())
            nats += bptt.back(targets, 1 / len(inputs))
            if not math.isfinite(nats):
                raise DivergenceError("the model overflows while it adapts; lower the rate")
            optimizer.update(theta, g, rate, step)
            theta += np.multiply(np.subtract(trained, theta, out=g), _DECAY, out=g)
        yield Evaluation(nats, correct, at + len(inputs), total)
