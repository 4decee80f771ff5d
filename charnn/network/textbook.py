"""The textbook's equations one character at a time: `training.loop: textbook`.

Read this file beside `bptt.py` and `layer.py`, which compute the same fast. It also repeats
min-char-rnn.py to the last bit. Early training is chaotic: if one weight changes by a part in 10¹⁵,
the losses differ in the first digit some hundred steps later. So only the same operations in the
same order can repeat the run of another program: column vectors, one product for each term, sums
from the last character to the first, and a softmax without a guard against overflow.
"""

from typing import Any

import numpy as np

from charnn.network.arrays import Array, CharacterIds, Resets, State, one_hot
from charnn.network.network import Network
from charnn.network.parameters import Parameters


class TextbookBPTT:
    """Truncated back-propagation through time by the equations of ch. 10; called like `BPTT`.

    Attributes:
        gradients: dL/dθ of the last window, overwritten by the next.
    """

    def __init__(self, network: Network, gradient: Array | None = None):
        self.network = network
        self.gradients = network.parameters_in(
            np.zeros(network.num_parameters, network.dtype) if gradient is None else gradient
        )

    def __call__(
        self,
        inputs: CharacterIds,
        targets: CharacterIds,
        state: Array,
        *,
        resets: Resets | None = None,
        masks: Array | None = None,
        scale: float = 1.0,
    ) -> float:
        """Run one window forward and back; see `BPTT.__call__`, which has the same contract."""
        self.gradients.flat.fill(0)
        loss = 0.0
        for stream in range(inputs.shape[1]):
            loss += self._stream(
                inputs[:, stream],
                targets[:, stream],
                state[:, stream],
                np.zeros(len(inputs), bool) if resets is None else resets[:, stream],
                None if masks is None else masks[:, stream],
            )
        self.gradients.flat[...] *= scale
        return loss

    def _stream(
        self,
        inputs: CharacterIds,
        targets: CharacterIds,
        state: Array,
        resets: Resets,
        mask: Array | None,
    ) -> float:
        """Add one stream's gradient; return its summed loss and leave its last state in `state`.

        Args:
            inputs: (T,) x(1) … x(T).
            targets: (T,) x(2) … x(T+1).
            state: (S, H).
            resets: (T,) where the state is zero before the character.
            mask: (L, H) dropout factors, or None.
        """
        network, spec = self.network, self.network.spec
        T, L = len(inputs), network.num_layers
        layers, x_hot = range(L), one_hot(inputs, network.vocab_size, network.dtype)
        V, c = network.parameters["V"], network.parameters["c"][:, None]
        dV, dc = self.gradients["V"], self.gradients["c"][:, None]
        p = [_columns(network.parameters, layer) for layer in layers]
        g = [_columns(self.gradients, layer) for layer in layers]
        cells = [spec.cell_class(spec.activation, p[layer]) for layer in layers]
        loss = 0.0
        # Forward. now[l] is the state of layer l, in columns. The lists keep it for each t.
        now: list[State] = [_state(state[layer::L]) for layer in layers]
        before: list[list[State]] = [[] for _ in layers]
        after: list[list[State]] = [[] for _ in layers]
        memory: list[list[Any]] = [[] for _ in layers]
        x: list[list[Array]] = [[] for _ in range(L + 1)]  # the input of layer l
        y: list[Array] = []
        for t in range(T):
            x[0].append(x_hot[t][:, None])
            for layer in layers:
                before[layer].append(_zero(now[layer]) if resets[t] else now[layer])
                now[layer], kept = cells[layer].textbook_step(
                    p[layer], x[layer][t], before[layer][t]
                )
                after[layer].append(now[layer])
                memory[layer].append(kept)
                h = _h(now[layer])
                x[layer + 1].append(h if mask is None else h * mask[layer][:, None])
            o = np.dot(V, x[L][t]) + c
            y.append(np.exp(o) / np.sum(np.exp(o)))
            loss -= float(np.log(y[t][targets[t], 0]))
        for layer in layers:
            state[layer::L] = np.stack([part[:, 0] for part in _parts(now[layer])])
        # Back, from the last character to the first. later[l] is dL/d(state) through t + 1.
        later = [_zero(now[layer]) for layer in layers]
        for t in reversed(range(T)):
            do = y[t]
            do[targets[t]] -= 1
            dV[...] += np.dot(do, x[L][t].T)
            dc[...] += do
            dx = np.dot(V.T, do)
            for layer in reversed(layers):
                dh = dx if mask is None else dx * mask[layer][:, None]
                da, d_before = cells[layer].textbook_back(
                    p[layer], g[layer], x[layer][t], before[layer][t], after[layer][t],
                    memory[layer][t], _plus(dh, later[layer]),
                )  # fmt: skip
                later[layer] = _zero(d_before) if resets[t] else d_before
                if layer > 0:
                    dx = np.dot(p[layer]["U"].T, da)
        return loss


def _columns(parameters: Parameters, layer: int) -> dict[str, Array]:
    """Return a layer's parameters by their letters, biases as columns (n, 1)."""
    own = parameters.of_layer(layer)
    return {name: array if array.ndim == 2 else array[:, None] for name, array in own.items()}


def _state(rows: Array) -> State:
    """Return a state in columns: h (H, 1), or the pair (h, s)."""
    columns = [row[:, None].copy() for row in rows]
    return columns[0] if len(columns) == 1 else tuple(columns)


def _parts(state: State) -> tuple[Array, ...]:
    return state if isinstance(state, tuple) else (state,)


def _h(state: State) -> Array:
    return _parts(state)[0]


def _zero(state: State) -> State:
    zeros = tuple(np.zeros_like(part) for part in _parts(state))
    return zeros if isinstance(state, tuple) else zeros[0]


def _plus(dh: Array, later: State) -> State:
    """Return dL/d(state): the sum of the parts from above and through later characters."""
    if isinstance(later, tuple):
        return dh + later[0], *later[1:]
    return dh + later
