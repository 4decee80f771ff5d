"""Models and character ids to look inside."""

from typing import Any

import numpy as np

from charnn.network.cells.cell import Activation
from charnn.network.network import RNN

K, H, N = 7, 6, 40


def make_model(layers: int, activation: Activation = "tanh", scale: float = 1.0) -> RNN:
    model = RNN(K, H, layers, activation, np.float64)
    model.initialize("uniform", seed=layers)
    model.parameters.flat[...] *= scale
    return model


def make_ids() -> Any:
    return np.random.default_rng(4).integers(0, K, N).astype(np.uint8)
