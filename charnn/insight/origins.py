"""Where an expectation came from: how much each earlier character matters to a loss.

For the character at a place p, the norm of ∂(−log ŷ[p]) / ∂x(p − k) for k = 1, 2 … measures how
much a small change of the one-hot vector k characters earlier would change the loss. Compare
Madsen, "Visualizing memorization in RNNs", Distill 2019.
"""

import numpy as np
from numpy.typing import NDArray

from charnn.insight.reading import Floats, Reading, characters_before
from charnn.network.flow import gradients_back
from charnn.network.network import Network

BACK = 60  # characters before a place


def origins(
    model: Network,
    reading: Reading,
    places: NDArray[np.intp],
    boundary: int | None = None,
    back: int = BACK,
) -> Floats:
    """Return the norm of ∂(−log ŷ[p]) / ∂x(p − k), in nats, for places p and k = 1 … `back`.

    Args:
        model: the model.
        reading: N characters read by it.
        places: (n,) the p, at least 1 and below N.
        boundary: for documents, the id of the boundary.
        back: the largest k.

    Returns:
        (n, back): at [i, k − 1] the norm for places[i]; nan before the text or document begins.
    """
    before = characters_before(reading.ids, boundary)
    found = np.full((len(places), back), np.nan)
    lags = min(back, int(places.max())) - 1  # no place has more characters before it
    losses = gradients_back(model, reading.ids, reading.states, places - 1, lags, boundary)
    for lag, gradients in enumerate(losses):
        inside = before[places - 1] >= lag
        found[inside, lag] = np.linalg.norm(gradients.x[inside], axis=1)
    return found
