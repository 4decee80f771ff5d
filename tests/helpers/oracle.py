"""The loss of a network as one plain function, for automatic differentiation by autograd.

It shares no code with the package. The step of a cell is a function in autograd's NumPy.
"""

from collections.abc import Callable, Mapping
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from numpy.typing import NDArray

from charnn.network.network import Network

Float = NDArray[np.float64]
# It takes a layer's parameters by letter, x (B, n) and a state (S, B, H). It returns the new state.
Step = Callable[[Mapping[str, Any], Any, Any], Any]


def vanilla(activation: str) -> Step:
    """Return the step of the vanilla RNN."""

    def step(p: Mapping[str, Any], x: Any, before: Any) -> Any:
        a = x @ p["U"].T + before[0] @ p["W"].T + p["b"]
        return anp.stack([anp.tanh(a) if activation == "tanh" else anp.maximum(a, 0)])

    return step


def lstm(p: Mapping[str, Any], x: Any, before: Any) -> Any:
    """Return a step of the LSTM, in PyTorch's definition."""
    i, f, g, q = anp.split(x @ p["U"].T + before[0] @ p["W"].T + p["b"], 4, axis=1)
    s = _sigmoid(f) * before[1] + _sigmoid(i) * anp.tanh(g)
    return anp.stack([_sigmoid(q) * anp.tanh(s), s])


def gru(p: Mapping[str, Any], x: Any, before: Any) -> Any:
    """Return a step of the GRU, in PyTorch's definition."""
    h = before[0]
    a_r, a_u, a_n = anp.split(x @ p["U"].T + p["b"], 3, axis=1)
    m_r, m_u, m_n = anp.split(h @ p["W"].T, 3, axis=1)
    r, u = _sigmoid(a_r + m_r), _sigmoid(a_u + m_u)
    return anp.stack([u * h + (1 - u) * anp.tanh(a_n + r * (m_n + p["d"]))])


def _sigmoid(a: Any) -> Any:
    return (1 + anp.tanh(a / 2)) / 2


def loss_and_gradients(
    network: Network,
    step: Step,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    state: Float,
    *,
    masks: Float | None = None,
    resets: NDArray[np.bool_] | None = None,
) -> tuple[float, dict[str, Float]]:
    """Return the loss summed over (T, B) characters in nats, and dL/dθ by parameter name."""
    K, L = network.vocab_size, network.num_layers
    x_hot, y_hot = np.eye(K)[inputs], np.eye(K)[targets]

    def loss(flat: Float) -> Any:
        p, start = {}, 0
        for name, shape in network.spec.shapes.items():
            size = int(np.prod(shape))
            p[name] = anp.reshape(flat[start : start + size], shape)
            start += size
        letters = [
            {name[0]: array for name, array in p.items() if name[1:] == str(layer)}
            for layer in range(L)
        ]
        now = [state[layer::L] for layer in range(L)]
        total = 0.0
        for t in range(len(inputs)):
            x = x_hot[t]
            for layer in range(L):
                kept = 1.0 if resets is None else 1.0 - resets[t][:, None]
                now[layer] = step(letters[layer], x, now[layer] * kept)
                x = now[layer][0] if masks is None else now[layer][0] * masks[layer]
            o = x @ p["V"].T + p["c"]
            o = o - anp.max(o, axis=1, keepdims=True)
            log_y = o - anp.log(anp.sum(anp.exp(o), axis=1, keepdims=True))
            total = total - anp.sum(log_y * y_hot[t])
        return total

    flat = network.parameters.flat.astype(np.float64)
    gradients = network.parameters_in(autograd.grad(loss)(flat))
    return float(loss(flat)), {name: np.asarray(array) for name, array in gradients.items()}
