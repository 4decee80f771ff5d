"""The textbook's loop, one character of one stream at a time, with nothing clever.

The fast path is tested against this. Vectors are columns, x(t) is multiplied as the one-hot
vector it is, and every sum over t or over the streams is a Python loop
(Goodfellow, Bengio & Courville, *Deep Learning*, eqs. 10.8-10.14 and 10.17-10.28).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class Result:
    """The summed loss in nats, the state after the last character, (L, B, H), and dL/dθ."""

    loss: float
    state: Array
    gradients: dict[str, Array]


def loop(
    parameters: Mapping[str, NDArray[Any]],
    activation: str,
    inputs: NDArray[np.integer[Any]],
    targets: NDArray[np.integer[Any]],
    state: NDArray[Any],
    masks: NDArray[Any] | None = None,
) -> Result:
    """Run forward and backward over (T, B) characters from a state (L, B, H)."""
    p = {name: array.astype(np.float64) for name, array in parameters.items()}
    gradients = {name: np.zeros_like(array) for name, array in p.items()}
    after = np.zeros(state.shape)
    loss = 0.0
    for stream in range(inputs.shape[1]):
        mask = None if masks is None else masks[:, stream]
        loss += _one_stream(
            p, activation, inputs[:, stream], targets[:, stream], state[:, stream],
            mask, after[:, stream], gradients,
        )  # fmt: skip
    return Result(loss, after, gradients)


def _one_stream(
    p: dict[str, Array],
    activation: str,
    inputs: NDArray[np.integer[Any]],
    targets: NDArray[np.integer[Any]],
    state: NDArray[Any],
    mask: NDArray[Any] | None,
    after: Array,
    g: dict[str, Array],
) -> float:
    T, L, K = len(inputs), len(state), len(p["c"])
    one_hot = np.eye(K)
    loss = 0.0
    # h[layer][t] is h(t), with h(0) the incoming state; x[layer][t] is what the layer reads.
    h = [[state[layer].astype(np.float64)] for layer in range(L)]
    x: list[list[Array]] = [[] for _ in range(L)]
    top: list[Array] = []
    y_hat: list[Array] = []
    for t in range(T):
        below: Array = one_hot[inputs[t]]
        for layer in range(L):
            x[layer].append(below)
            a = p[f"U{layer}"] @ below + p[f"W{layer}"] @ h[layer][t] + p[f"b{layer}"]
            h[layer].append(np.tanh(a) if activation == "tanh" else np.maximum(a, 0))
            below = h[layer][t + 1] * (1 if mask is None else mask[layer])
        top.append(below)
        o = p["V"] @ below + p["c"]
        y = np.exp(o - np.max(o))
        y_hat.append(y / y.sum())
        loss -= np.log(y_hat[t][targets[t]])
    for layer in range(L):
        after[layer] = h[layer][T]

    da_next = [np.zeros(len(state[0])) for _ in range(L)]
    for t in reversed(range(T)):
        do = y_hat[t] - one_hot[targets[t]]
        g["V"] += np.outer(do, top[t])
        g["c"] += do
        arriving = p["V"].T @ do
        for layer in reversed(range(L)):
            dh = arriving * (1 if mask is None else mask[layer])
            dh = dh + p[f"W{layer}"].T @ da_next[layer]
            now = h[layer][t + 1]
            da = dh * (1 - now**2 if activation == "tanh" else now > 0)
            g[f"W{layer}"] += np.outer(da, h[layer][t])
            g[f"U{layer}"] += np.outer(da, x[layer][t])
            g[f"b{layer}"] += da
            arriving = p[f"U{layer}"].T @ da
            da_next[layer] = da
    return loss
