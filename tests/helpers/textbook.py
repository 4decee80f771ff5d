"""The package's textbook loop in float64, a reference for other tests.

tests/network/test_gradients.py compares the loop itself with automatic differentiation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.network.network import Network
from charnn.network.textbook import TextbookBPTT

Array = NDArray[Any]


@dataclass
class Result:
    """The summed loss in nats, the state after the last character, (L, B, H), and dL/dθ."""

    loss: float
    state: Array
    gradients: dict[str, Array]


def loop(
    parameters: Mapping[str, Array],
    activation: Any,
    inputs: NDArray[np.integer[Any]],
    targets: NDArray[np.integer[Any]],
    state: Array,
    masks: Array | None = None,
) -> Result:
    """Run a vanilla network forward and back over (T, B) characters from a state (L, B, H)."""
    K, H = parameters["V"].shape
    network = Network(K, H, len(state), activation, np.float64)
    for name, array in parameters.items():
        network.parameters[name][...] = array
    textbook, after = TextbookBPTT(network), state.astype(np.float64)
    loss = textbook(inputs, targets, after, masks=masks)
    return Result(loss, after, dict(textbook.gradients.items()))
