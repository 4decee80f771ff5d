"""Small networks and character ids to inspect.

K is the size of the vocabulary, H the hidden size, N the number of characters.
"""

from typing import Any

import numpy as np

from charnn.network.cells.cell import Activation
from charnn.network.network import RNN

K, H, N = 7, 6, 40


def make_model(layers: int, activation: Activation = "tanh", scale: float = 1.0) -> RNN:
    """Return an initialised float64 network; a larger scale makes surer predictions."""
    model = RNN(K, H, layers, activation, np.float64)
    model.initialize("uniform", seed=layers)
    model.parameters.flat[...] *= scale
    return model


def make_ids() -> Any:
    """Return N random character ids."""
    return np.random.default_rng(4).integers(0, K, N).astype(np.uint8)
