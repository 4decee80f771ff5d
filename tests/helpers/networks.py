"""Small float64 networks and windows of random numbers.

K is the size of the vocabulary, H the hidden size, T the length of a window, B the batch size.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.network.bptt import BPTT
from charnn.network.dropout import Dropout
from charnn.network.network import RNN
from charnn.network.parameters import Parameters

Float = NDArray[np.float64]


K, H, T, B = 7, 5, 6, 3


def make_model(layers: int, activation: Any, *, away_from_kinks: bool = False) -> RNN:
    """Return a float64 network with random parameters, biases included.

    Away from kinks, every unit is clearly on or clearly off, so that finite differences of relu
    are exact.
    """
    model = RNN(K, H, layers, activation, np.float64)
    rng = np.random.default_rng(layers)
    for parameter in model.parameters.values():
        parameter[...] = rng.normal(0, 0.5, parameter.shape)
    if away_from_kinks:
        for layer in range(layers):
            model.parameters[f"b{layer}"][...] = 4 * rng.choice([-1, 1, 1], H)
    return model


def make_window(layers: int, steps: int = T) -> tuple[Any, Any, Float, Any]:
    """Return inputs and targets (steps, B), a state and dropout masks (layers, B, H)."""
    rng = np.random.default_rng(100 + layers)
    inputs, targets = rng.integers(0, K, (2, steps, B))
    return (
        inputs,
        targets,
        rng.normal(0, 0.3, (layers, B, H)),
        Dropout(0.3, (layers, B, H), np.float64, seed=1)(2),
    )


def relative(found: NDArray[Any], right: NDArray[Any]) -> float:
    """Return the norm of the difference divided by the norm of `right`."""
    return float(np.linalg.norm(found - right)) / max(1e-12, float(np.linalg.norm(right)))


def fast_path(
    model: RNN, inputs: Any, targets: Any, state: Float, masks: Float | None, scale: float = 1.0
) -> tuple[float, Float, Parameters]:
    """Return the summed loss, the state after the window and the gradients, by BPTT."""
    bptt = BPTT(model, T, B, dropout=masks is not None)
    after = state.copy()
    loss = bptt(inputs, targets, after, masks=masks, scale=scale)
    return loss, after, bptt.gradients
