"""The GRU, gated recurrent unit: one state; a gate keeps or replaces it.

    r = σ(U_r x(t) + W_r h(t-1) + b_r)                  the reset gate
    u = σ(U_u x(t) + W_u h(t-1) + b_u)                  the update gate
    n = tanh(U_n x(t) + b_n + r ⊙ m)                    the new state, with m = W_n h(t-1) + d
    h(t) = u ⊙ h(t-1) + (1 − u) ⊙ n

The backward pass, with dh(t) along all paths:

    dn = (1 − u) (1 − n²) ⊙ dh(t)           dm = r ⊙ dn
    dr = r (1 − r) ⊙ m ⊙ dn                 du = u (1 − u) ⊙ (h(t-1) − n) ⊙ dh(t)
    dh(t-1) receives u ⊙ dh(t) and Wᵀ [dr, du, dm]

Sources: Cho et al. 2014; Goodfellow, Bengio & Courville, *Deep Learning*, section 10.10.2 (eqs.
10.45–10.47), where r multiplies h(t-1) before W does. PyTorch's nn.GRU, which this follows in its
definition and the order of the gates, multiplies after it, so that all of W h is one product. U is
(3H, K) in the first layer and (3H, H) above, W (3H, H), b (3H,), d (H,).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from charnn.network.arrays import Array
from charnn.network.cells.cell import Cell
from charnn.network.cells.lstm import sigmoid


class GRUCell(Cell):
    """r, u, n; h(t) = u ⊙ h(t-1) + (1 − u) ⊙ n.

    `step` leaves r, u, n and m in its memory. It receives −a for the gates, because
    σ(a) = 1 / (1 + exp(−a)).
    """

    gates, spare = 3, 1
    scale = (-1.0, -1.0, 1.0)
    bias = (0.0, 0.0, 0.0)
    gate_names = ("reset", "update", "new")
    deltas = 4  # dm, dr, du, dn: the first three are for W, the last three for U
    deltas_of_W = (1, 2, 0)
    deltas_of_U = (1, 2, 3)

    @classmethod
    def own_shapes(cls, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Return that of d, the second bias of n."""
        return {"d": (hidden_size,)}

    @classmethod
    def pytorch_biases(cls, b: Array, own: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return b, and d as the last third of bias_hh."""
        d = own["d"]
        return b, np.concatenate([np.zeros(2 * len(d), d.dtype), d])

    @classmethod
    def take_pytorch_biases(
        cls, bias_ih: Array, bias_hh: Array, b: Array, own: Mapping[str, Array]
    ) -> None:
        """Give r and u the sum of both; n keeps b and d apart."""
        gates = 2 * len(own["d"])
        b[...] = bias_ih
        b[:gates] += bias_hh[:gates]
        own["d"][...] = bias_hh[gates:]

    def step(self, a: Array, Wh: Array, before: Any, after: Any) -> None:
        """The equations above."""
        gates, n, m = a[:2], a[2], a[3]
        scratch = Wh[:2]
        np.add(gates, scratch, scratch)
        np.exp(scratch, scratch)
        np.add(scratch, 1, scratch)
        np.reciprocal(scratch, gates)
        r, u = gates
        np.add(Wh[2], self.own["d"], m)
        np.multiply(r, m, after)
        np.add(n, after, after)
        np.tanh(after, n)
        np.subtract(before, n, after)
        np.multiply(u, after, after)
        np.add(n, after, after)

    def window_back(self, a: Array, before: Any, after: Any, delta: Array) -> None:
        """All factors of dh(t)."""
        r, u, n, m = a
        dm, dr, du, dn = delta
        np.multiply(n, n, dn)
        np.subtract(1, dn, dn)
        np.multiply(u, dn, dm)
        np.subtract(dn, dm, dn)
        np.multiply(a[:2], a[:2], delta[1:3])
        np.subtract(a[:2], delta[1:3], delta[1:3])  # r (1 − r) and u (1 − u)
        np.multiply(r, dn, dm)
        dr *= m
        dr *= dn
        np.subtract(before, n, n)
        du *= n

    def step_back(self, a: Array, delta: Array, d_after: Any, d_before: Any) -> None:
        """The derivatives above."""
        u = a[1]
        np.multiply(delta, d_after, delta)
        np.multiply(u, d_after, u)
        np.add(d_before, u, d_before)

    def own_back(self, delta: Array, before: Any, gradients: Mapping[str, Array]) -> None:
        """dL/dd = Σ dm(t)."""
        delta[0].sum(axis=(0, 1), out=gradients["d"])

    def textbook_step(self, p: Mapping[str, Array], x: Array, before: Any) -> tuple[Array, Any]:
        """The equations above, for columns."""
        h = before
        (U_r, U_u, U_n), (W_r, W_u, W_n) = np.split(p["U"], 3), np.split(p["W"], 3)
        b_r, b_u, b_n = np.split(p["b"], 3)
        r = sigmoid(np.dot(U_r, x) + np.dot(W_r, h) + b_r)
        u = sigmoid(np.dot(U_u, x) + np.dot(W_u, h) + b_u)
        m = np.dot(W_n, h) + p["d"]
        n = np.tanh(np.dot(U_n, x) + b_n + r * m)
        return u * h + (1 - u) * n, (r, u, n, m)

    def textbook_back(
        self,
        p: Mapping[str, Array],
        g: Mapping[str, Array],
        x: Array,
        before: Any,
        after: Any,
        memory: Any,
        d_after: Any,
    ) -> tuple[Array, Array]:
        """The derivatives above, for columns."""
        h, dh, (r, u, n, m) = before, d_after, memory
        dn = (1 - u) * (1 - n**2) * dh
        dm = r * dn
        dr = r * (1 - r) * m * dn
        du = u * (1 - u) * (h - n) * dh
        da, dWh = np.concatenate([dr, du, dn]), np.concatenate([dr, du, dm])
        g["b"][...] += da
        g["d"][...] += dm
        g["U"][...] += np.dot(da, x.T)
        g["W"][...] += np.dot(dWh, h.T)
        return da, u * dh + np.dot(p["W"].T, dWh)
