"""A network that reads one character at a time, for sampling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charnn.network.arrays import Array, State
from charnn.network.network import Network
from charnn.network.products import in_time, states_in_time


class _Layer(NamedTuple):
    """The parts of a layer that `step` needs: its cell, its memory, and the place of its input."""

    step: Callable[[Array, Array, State, State], None]  # of the cell
    a: Array | None  # (G + spare, M, H) memory; None for a cell that is `in_place`
    gates: Array  # (G, M, H), the first blocks of a
    Wh: Array  # (G, M, H), a part of `product`
    before: State
    after: State
    times: Callable[[Array, Array], object]  # h.dot, for h (M, H) in `after`
    both: Array  # (H, G·H + n), W and the matrix above, side by side
    product: Array  # (M, G·H + n)
    up: Array  # (M, n), a part of `product`
    bias: Array  # (n,)
    x: Array  # `up` in the form that the layer above reads, (G, M, H)


class Stepper:
    """Reads one character of each of M texts at a time.

    Two products use h(t): with W of its own layer, and with U or V above. With both matrices side
    by side, they are one product.

    Attributes:
        logits: o of the last character read, (K,) if M is 1, else (M, K); `step` overwrites it.
    """

    def __init__(self, network: Network, state: Array):
        """Begin with a state, (S, M, H).

        Later changes of the network's parameters have no effect.
        """
        spec, p, L = network.spec, network.parameters, network.num_layers
        M, H, G = state.shape[1], network.hidden_size, spec.cell_class.gates
        one = M == 1
        # The steps alternate between two memories for the states: before and after.
        self._states = np.stack([state, np.empty_like(state)])
        self._now = 0
        # Column x of U, plus b, for each character x. A list looks up a row faster.
        scale = np.repeat(np.array(spec.cell_class.scale, network.dtype), H)
        Ub = np.ascontiguousarray((p["U0"].T + p["b0"]) * scale)
        rows = Ub if G == 1 else Ub.reshape(-1, G, H)
        self._Ub: Any = list(rows) if one else rows
        self._swaps = G > 1 and not one
        turns: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]] = ([], [])
        for layer in range(L):
            own = p.of_layer(layer)
            W, above, bias = own.pop("W"), p["V"], p["c"]
            if layer < L - 1:
                above, bias = p[f"U{layer + 1}"] * scale[:, None], p[f"b{layer + 1}"] * scale
            both = np.concatenate([W * scale[:, None], above]).T.copy()
            product = np.dot(state[layer, 0] if one else state[layer], both)
            cell = spec.cell_class(spec.activation, own)
            Wh, up = _by_gate(product[..., : G * H], G), product[..., G * H :]
            x = _by_gate(up, G) if layer < L - 1 else up
            blocks = np.empty((G + cell.spare, 1, M, H), network.dtype)
            a = None if cell.in_place else in_time(blocks)[0]
            gates = in_time(blocks[:G])[0]
            memories = [
                (states_in_time(part[layer::L, None])[0], part[layer, 0] if one else part[layer])
                for part in self._states
            ]
            up += bias
            for turn in (0, 1):
                (before, _), (after, h) = memories[turn], memories[1 - turn]
                found = _Layer(
                    cell.step, a, gates, Wh, before, after, h.dot, both, product, up, bias, x
                )
                turns[turn].append(tuple(found))  # a plain tuple is unpacked much faster
        self._turns = turns
        self.logits = up
        self._first = [self._states[0].copy(), *(layer[8].copy() for layer in turns[0])]

    @property
    def state(self) -> Array:
        """The state after the last character read, (S, M, H); a later `step` overwrites it."""
        state: Array = self._states[self._now]
        return state

    def restart(self, texts: NDArray[np.bool_]) -> None:
        """Set the state of some of the texts, (M,), back to the initial one."""
        products = (layer[8] for layer in self._turns[0])
        for now, first in zip([self.state, *products], self._first, strict=True):
            now[..., texts, :] = first[..., texts, :]

    def step(self, ids: np.intp | NDArray[np.intp]) -> None:
        """Read the next character: its id, or (M,) ids."""
        x, add = self._Ub[ids], np.add
        if self._swaps:
            x = x.swapaxes(0, 1)
        for layer in self._turns[self._now]:
            step, a, gates, Wh, before, after, times, both, product, up, bias, x_above = layer
            if a is None:
                step(x, Wh, before, after)
            else:
                gates[...] = x
                step(a, Wh, before, after)
            times(both, product)
            add(up, bias, up)
            x = x_above
        self._now = 1 - self._now


def _by_gate(x: Array, gates: int) -> Array:
    """View (…, G·H) as (G, …, H), or unchanged for one gate."""
    if gates == 1:
        return x
    return np.moveaxis(x.reshape(*x.shape[:-1], gates, -1), -2, 0)
