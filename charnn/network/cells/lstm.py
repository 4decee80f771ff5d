"""The LSTM, long short-term memory: a state s; gates control its input, its memory and its output.

    [i, f, g, q] = rows of a(t) = U x(t) + W h(t-1) + b, H each; i, f, q through σ, g through tanh
    s(t) = f ⊙ s(t-1) + i ⊙ g
    h(t) = q ⊙ tanh(s(t))

i, f and q are the input, forget and output gate. The backward pass, with dh(t) and ds(t) along
all paths:

    ds(t)  receives q (1 − tanh² s(t)) ⊙ dh(t)
    di = i (1 − i) ⊙ g ⊙ ds(t)              df = f (1 − f) ⊙ s(t-1) ⊙ ds(t)
    dg = (1 − g²) ⊙ i ⊙ ds(t)               dq = q (1 − q) ⊙ tanh s(t) ⊙ dh(t)
    ds(t-1) = f ⊙ ds(t)                     dh(t-1) receives Wᵀ [di, df, dg, dq]

Sources: Hochreiter & Schmidhuber 1997; Goodfellow, Bengio & Courville, *Deep Learning*, section
10.10.1 (eqs. 10.40–10.44), the source of the letters s, f and q. The definition and the order of
the gates are those of PyTorch's nn.LSTM. The forget gate's bias starts at 1 (Jozefowicz et al.
2015), so that s is kept at first. U is (4H, K) in the first layer and (4H, H) above, W (4H, H), b
(4H,).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from charnn.network.arrays import Array
from charnn.network.cells.cell import Cell


class LSTMCell(Cell):
    """i, f, g, q; s(t) = f ⊙ s(t-1) + i ⊙ g; h(t) = q ⊙ tanh(s(t)).

    `step` leaves i, f, g, q and tanh(s(t)) in its memory. It receives −a for the gates, −2a for g:
    σ(a) = 1 / (1 + exp(−a)) and tanh(a) = 2σ(2a) − 1, so one exp serves all four.
    """

    gates, spare, states = 4, 1, 2
    scale = (-1.0, -1.0, -2.0, -1.0)
    bias = (0.0, 1.0, 0.0, 0.0)
    gain = 4.0  # at first i and q are about half open
    gate_names = ("input", "forget", "new", "output")
    deltas = 5  # di, df, dg, dq, and the part of ds(t) from h(t)
    deltas_of_U = deltas_of_W = (0, 1, 2, 3)
    delta_of_s = 4

    def step(self, a: Array, Wh: Array, before: Any, after: Any) -> None:
        """The equations above."""
        gates, tanh_s = a[:4], a[4]
        np.add(gates, Wh, Wh)
        np.exp(Wh, Wh)
        np.add(Wh, 1, Wh)
        np.reciprocal(Wh, gates)
        i, f, g, q = gates
        np.multiply(g, 2, g)
        np.subtract(g, 1, g)
        (_, s_before), (h, s) = before, after
        np.multiply(f, s_before, s)
        np.multiply(i, g, tanh_s)
        np.add(s, tanh_s, s)
        np.tanh(s, tanh_s)
        np.multiply(q, tanh_s, h)

    def window_back(self, a: Array, before: Any, after: Any, delta: Array) -> None:
        """All factors of dh(t) and ds(t)."""
        i, _, g, q, tanh_s = a
        di, df, dg, dq, ds = delta
        np.multiply(a[:4], a[:4], delta[:4])
        np.subtract(a[:2], delta[:2], delta[:2])  # i (1 − i) and f (1 − f)
        np.subtract(q, dq, dq)
        np.subtract(1, dg, dg)
        di *= g
        df *= before[1]
        dg *= i
        dq *= tanh_s
        np.multiply(tanh_s, tanh_s, ds)
        np.subtract(1, ds, ds)
        ds *= q

    def step_back(self, a: Array, delta: Array, d_after: Any, d_before: Any) -> None:
        """The derivatives above."""
        dh, ds = d_after
        by_dh, by_ds = delta[3:], delta[:3]
        np.multiply(by_dh, dh, by_dh)
        np.add(ds, delta[4], ds)
        np.multiply(by_ds, ds, by_ds)
        np.multiply(ds, a[1], ds)

    def textbook_step(self, p: Mapping[str, Array], x: Array, before: Any) -> tuple[Any, Any]:
        """The equations above, for columns."""
        h, s = before
        a = np.dot(p["U"], x) + np.dot(p["W"], h) + p["b"]
        i, f, g, q = np.split(a, 4)
        i, f, g, q = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(q)
        s = f * s + i * g
        return (q * np.tanh(s), s), (i, f, g, q)

    def textbook_back(
        self,
        p: Mapping[str, Array],
        g: Mapping[str, Array],
        x: Array,
        before: Any,
        after: Any,
        memory: Any,
        d_after: Any,
    ) -> tuple[Array, Any]:
        """The derivatives above, for columns."""
        (h_before, s_before), (_, s), (dh, ds) = before, after, d_after
        i, f, new, q = memory
        ds = ds + q * (1 - np.tanh(s) ** 2) * dh
        di = i * (1 - i) * new * ds
        df = f * (1 - f) * s_before * ds
        dnew = (1 - new**2) * i * ds
        dq = q * (1 - q) * np.tanh(s) * dh
        da = np.concatenate([di, df, dnew, dq])
        g["b"][...] += da
        g["U"][...] += np.dot(da, x.T)
        g["W"][...] += np.dot(da, h_before.T)
        return da, (np.dot(p["W"].T, da), f * ds)


def sigmoid(a: Array) -> Array:
    """Return σ(a) = 1 / (1 + exp(−a))."""
    return np.asarray(1 / (1 + np.exp(-a)))
