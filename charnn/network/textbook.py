"""The textbook's equations one character at a time, with nothing clever: `training.loop: textbook`.

For reading beside `layer.py`, whose mathematics it shares, and for repeating min-char-rnn.py to
the last bit. Early training is chaotic: change one weight by a part in 10¹⁵ and the losses differ
in the first digit some hundred steps later. So only the same operations in the same order follow
another program: column vectors, one product for each term, sums from the last
character to the first, and a softmax without a guard against overflow.
"""

import numpy as np

from charnn.network.network import RNN
from charnn.network.products import Array, CharacterIds


class TextbookBPTT:
    """Truncated back-propagation through time by the equations of ch. 10; called like `BPTT`.

    Attributes:
        gradients: dL/dθ of the last window, overwritten by the next.
    """

    def __init__(self, model: RNN, gradient: Array | None = None):
        self.model = model
        self.gradients = model.parameters_in(
            np.zeros(model.num_parameters, model.dtype) if gradient is None else gradient
        )

    def __call__(
        self,
        inputs: CharacterIds,
        targets: CharacterIds,
        state: Array,
        *,
        masks: Array | None = None,
        scale: float = 1.0,
    ) -> float:
        """Run one window forward and backward; see `BPTT.__call__`, which has the same contract."""
        self.gradients.flat.fill(0)
        loss = 0.0
        for stream in range(inputs.shape[1]):
            mask = None if masks is None else masks[:, stream]
            loss += self._stream(inputs[:, stream], targets[:, stream], state[:, stream], mask)
        self.gradients.flat[...] *= scale
        return loss

    def _stream(
        self, inputs: CharacterIds, targets: CharacterIds, state: Array, mask: Array | None
    ) -> float:
        """Add one stream's gradient; return its summed loss and leave its last state in `state`.

        Args:
            inputs: (T,) x(1) … x(T).
            targets: (T,) x(2) … x(T+1).
            state: (L, H).
            mask: (L, H) dropout factors, or None.
        """
        p, g = self.model.parameters, self.gradients
        T, layers = len(inputs), range(self.model.num_layers)
        V, c = p["V"], p["c"][:, None]
        U, W, b = (
            [p[f"U{layer}"] for layer in layers],
            [p[f"W{layer}"] for layer in layers],
            [p[f"b{layer}"][:, None] for layer in layers],
        )
        tanh = self.model.activation == "tanh"
        loss = 0.0
        # Forward: h[l][t] is h(t) of layer l, a column; t = 0 is the incoming state.
        h: list[list[Array]] = [[state[layer][:, None].copy()] for layer in layers]
        x: list[list[Array]] = [[] for _ in range(len(layers) + 1)]  # what layer l reads
        y: list[Array] = []
        for t in range(T):
            x[0].append(np.zeros((len(c), 1), self.model.dtype))
            x[0][t][inputs[t]] = 1
            for layer in layers:
                a = np.dot(U[layer], x[layer][t]) + np.dot(W[layer], h[layer][t]) + b[layer]
                h[layer].append(np.tanh(a) if tanh else np.maximum(a, 0))
                up = h[layer][-1]
                x[layer + 1].append(up if mask is None else up * mask[layer][:, None])
            o = np.dot(V, x[-1][t]) + c
            y.append(np.exp(o) / np.sum(np.exp(o)))
            loss -= float(np.log(y[t][targets[t], 0]))
        for layer in layers:
            state[layer] = h[layer][T][:, 0]
        # Backward, from the last character to the first.
        from_next = [np.zeros_like(state[layer][:, None]) for layer in layers]  # Wᵀ da(t+1)
        for t in reversed(range(T)):
            do = y[t]
            do[targets[t]] -= 1
            g["V"][...] += np.dot(do, x[-1][t].T)
            g["c"][...] += do[:, 0]
            dx = np.dot(V.T, do)
            for layer in reversed(layers):
                dh = (dx if mask is None else dx * mask[layer][:, None]) + from_next[layer]
                now = h[layer][t + 1]
                da = (1 - now * now if tanh else now > 0) * dh
                g[f"b{layer}"][...] += da[:, 0]
                g[f"U{layer}"][...] += np.dot(da, x[layer][t].T)
                g[f"W{layer}"][...] += np.dot(da, h[layer][t].T)
                from_next[layer] = np.dot(W[layer].T, da)
                if layer > 0:
                    dx = np.dot(U[layer].T, da)
        return loss
