"""TODO."""

import numpy as np
from numpy.typing import NDArray

from charnn.network.network import RNN
from charnn.network.products import _FUNCTIONS, Array


class Stepper:
    """The same equations for one character of each of M texts at a time, to generate by.

    h(t) is needed twice, by its own layer's W and by the V or U above: side by side, the two are
    one product.

    Attributes:
        logits: o of the last character read, (K,) if M is 1, else (M, K); overwritten by `step`.
    """

    def __init__(self, model: RNN, state: Array):
        """Begin after what gave a state, (L, M, H).

        Later changes of the model's parameters are not seen.
        """
        p, (L, M, H) = model.parameters, state.shape
        self._f = _FUNCTIONS[model.activation]
        self._Ub = np.ascontiguousarray(p["U0"].T + p["b0"])
        row = (H,) if M == 1 else (M, H)
        self._h = np.empty(row, model.dtype)
        self._layers = []
        for layer in range(L):
            top = layer == L - 1
            above, bias = ("V", "c") if top else (f"U{layer + 1}", f"b{layer + 1}")
            both = np.concatenate([p[f"W{layer}"], p[above]]).T.copy()
            product = np.dot(state[layer].reshape(row), both)
            Wh, up = product[..., :H], product[..., H:]
            up += p[bias]
            self._layers.append((both, product, Wh, up, p[bias]))
        self.logits = up

    def step(self, ids: np.intp | NDArray[np.intp]) -> None:
        """Read the next character: its id, or (M,) ids."""
        a, h, add, f = self._Ub[ids], self._h, np.add, self._f
        for both, product, Wh, up, bias in self._layers:
            add(a, Wh, h)
            f(h, h)
            h.dot(both, product)
            add(up, bias, up)
            a = up
