"""The vanilla RNN, the first recurrent network of the textbook.

    a(t) = U x(t) + W h(t-1) + b            (10.8)
    h(t) = f(a(t))       f = tanh or relu   (10.9)

The backward pass, with dh(t) = dL/dh(t) along all paths:

    da(t)   = dh(t) ⊙ f'(a(t))              f' = 1 − h² for tanh, 1 where h > 0 for relu
    dh(t-1) receives Wᵀ da(t)               (10.21)

Source: Goodfellow, Bengio & Courville, *Deep Learning*, ch. 10. U is (H, K) in the first layer and
(H, H) above, W (H, H), b (H,).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from charnn.network.arrays import Array, State
from charnn.network.cells.cell import Activation, Cell


def relu(a: Array, out: Array) -> Array:
    """Write max(0, a) over `out`."""
    return np.maximum(a, 0, out=out)


def tanh_slope(h: Array, out: Array) -> None:
    """Write tanh'(a) = 1 − h² over `out`, for h = tanh(a)."""
    np.square(h, out)
    np.subtract(1, out, out)


def relu_slope(h: Array, out: Array) -> None:
    """Write relu'(a), 1 if h > 0 and 0 otherwise, over `out`."""
    np.greater(h, 0, out)


class RNNCell(Cell):
    """h(t) = f(U x(t) + W h(t-1) + b)."""

    in_place = True

    def __init__(self, activation: Activation, own: Mapping[str, Array]):
        super().__init__(activation, own)
        tanh = activation == "tanh"
        self.f: Callable[[Array, Array], object] = np.tanh if tanh else relu
        self.slope = tanh_slope if tanh else relu_slope

    @classmethod
    def bounded(cls, activation: Activation) -> bool:
        """Return whether every h lies between −1 and 1: with tanh."""
        return activation == "tanh"

    def step(self, a: Array, Wh: Array, before: State, after: Any) -> None:
        """h(t) = f(U x(t) + b + W h(t-1))."""
        np.add(a, Wh, after)
        self.f(after, after)

    def window_back(self, a: Array, before: State, after: Any, delta: Array) -> None:
        """f'(a(t)) of all t."""
        self.slope(after, delta)

    def step_back(self, a: Array, delta: Array, d_after: Any, d_before: State) -> None:
        """da(t) = f'(a(t)) ⊙ dh(t)."""
        np.multiply(delta, d_after, delta)

    def textbook_step(self, p: Mapping[str, Array], x: Array, before: Any) -> tuple[Array, None]:
        """The equations above, for columns."""
        a = np.dot(p["U"], x) + np.dot(p["W"], before) + p["b"]
        return (np.tanh(a) if self.activation == "tanh" else np.maximum(a, 0)), None

    def textbook_back(
        self,
        p: Mapping[str, Array],
        g: Mapping[str, Array],
        x: Array,
        before: Any,
        after: Any,
        memory: None,
        d_after: Any,
    ) -> tuple[Array, Array]:
        """The derivatives above, for columns."""
        h, dh = after, d_after
        da = (1 - h * h if self.activation == "tanh" else h > 0) * dh
        g["b"][...] += da
        g["U"][...] += np.dot(da, x.T)
        g["W"][...] += np.dot(da, before.T)
        return da, np.dot(p["W"].T, da)
