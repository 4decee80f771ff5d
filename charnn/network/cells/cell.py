"""The base of all cells: the element-wise part of a recurrent layer.

A layer reads x(t) and its own previous state, and computes its next state:

    a(t) = U x(t) + b        for all t of a window in one large product   (the layer)
    W h(t-1)                 at each step                                 (the layer)
    h(t) = …                 from a(t), W h(t-1) and the state before     (the cell: `step`)

In the backward pass, the cell turns dL/dh(t) into dL/da(t) (`step_back`). From that, the layer
computes the gradients of U, W and b. Before the loop, `window_back` computes everything that does
not depend on later steps, for the whole window in a few large calls.

Shapes. The layer passes B streams as rows: h is (B, H). Arrays of several parts, such as a(t) for
the gates of a cell, are (n, B, H). If n is 1, the first axis is left out. A single stream may be
(H,) instead of (1, H). A cell with two states takes and returns pairs (h, s). In calls for a whole
window, T precedes B.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from charnn.network.arrays import Array, State

Activation = Literal["tanh", "relu"]


class Cell(ABC):
    """One step of a recurrent layer and its derivative.

    Attributes:
        gates: G, the number of blocks of H rows in U, W and b.
        spare: the number of extra blocks of memory in `a`, which keep values for the backward pass.
        scale: for each gate, the factor on its rows of U, W and b before `step`. A factor of −1
            lets a cell compute exp(−a) for several gates in one call.
        bias: for each gate, the initial value of b.
        gain: a / h while both are small. The initial U is larger by this factor, so that the
            signal does not shrink from layer to layer.
        states: 1, or 2 for a cell whose state is (h, s).
        in_place: whether h(t) may overwrite a(t), because the derivative needs only h.
        deltas: the number of (B, H) blocks that `window_back` writes and `step_back` completes.
        deltas_of_U: for each gate, the block that becomes its dL/d(U x(t) + b).
        deltas_of_W: for each gate, the block that becomes its dL/d(W h(t-1)): 0 to G − 1 in some
            order.
        delta_of_s: the block that becomes the gradient of s(t) through h(t), in a cell with an s.
        gate_names: the names of the first G blocks that `step` leaves in `a`, for display.
    """

    gates: ClassVar[int] = 1
    spare: ClassVar[int] = 0
    scale: ClassVar[tuple[float, ...]] = (1.0,)
    bias: ClassVar[tuple[float, ...]] = (0.0,)
    gain: ClassVar[float] = 1.0
    states: ClassVar[int] = 1
    in_place: ClassVar[bool] = False
    deltas: ClassVar[int] = 1
    deltas_of_U: ClassVar[tuple[int, ...]] = (0,)
    deltas_of_W: ClassVar[tuple[int, ...]] = (0,)
    delta_of_s: ClassVar[int | None] = None
    gate_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, activation: Activation, own: Mapping[str, Array]):
        """Store the activation f and this cell's own parameters (see `own_shapes`)."""
        self.activation = activation
        self.own = own

    @classmethod
    def bounded(cls, activation: Activation) -> bool:
        """Return whether every h lies between −1 and 1."""
        return True

    @classmethod
    def own_shapes(cls, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of parameters other than U, W and b; a name is one letter."""
        return {}

    @classmethod
    def pytorch_biases(cls, b: Array, own: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return bias_ih and bias_hh of PyTorch's module, (G·H,) each: b, and zeros."""
        return b, np.zeros_like(b)

    @classmethod
    def take_pytorch_biases(
        cls, bias_ih: Array, bias_hh: Array, b: Array, own: Mapping[str, Array]
    ) -> None:
        """Write the biases of PyTorch's module over b and the cell's own parameters."""
        np.add(bias_ih, bias_hh, out=b, casting="same_kind")

    @abstractmethod
    def step(self, a: Array, Wh: Array, before: State, after: State) -> None:
        """Compute one time step.

        Args:
            a: (G + spare, B, H), of which the first G are U x(t) + b, times `scale`. A cell that is
                not `in_place` leaves here the values for the backward pass. A cell that is writes
                nothing here, but `after` may be the same memory.
            Wh: (G, B, H), W h(t-1), times `scale`; may be overwritten.
            before: the state at t-1, not to be changed.
            after: written with the state at t.
        """

    @abstractmethod
    def window_back(self, a: Array, before: State, after: State, delta: Array) -> None:
        """Write everything that `step_back` needs, for all T steps, before the backward loop.

        Args:
            a: (G + spare, T, B, H) as `step` left it; may be overwritten.
            before: (T, B, H), the state before each step.
            after: (T, B, H), the state after each step.
            delta: (deltas, T, B, H), written.
        """

    @abstractmethod
    def step_back(self, a: Array, delta: Array, d_after: State, d_before: State) -> None:
        """Compute the derivative of one time step.

        Args:
            a: (G + spare, B, H) as `window_back` left it.
            delta: (deltas, B, H) from `window_back`; becomes the gradients that `deltas_of_U` and
                `deltas_of_W` name.
            d_after: dL/dh(t) along all paths. In the pair (dL/dh(t), dL/ds(t)) the second is
                overwritten with dL/ds(t-1).
            d_before: the gradient that reaches h(t-1) without W is added to it, or to the first of
                the pair.
        """

    def own_back(self, delta: Array, before: State, gradients: Mapping[str, Array]) -> None:
        """Write the gradients of the cell's own parameters; delta is (deltas, T, B, H)."""
        raise NotImplementedError(f"{type(self).__name__} has parameters of its own")

    # The same computation for `training.loop: textbook`: one stream, every vector a column (H, 1).
    # p and g are the layer's parameters and their gradients by the letters U, W, b.

    @abstractmethod
    def textbook_step(self, p: Mapping[str, Array], x: Array, before: State) -> tuple[State, Any]:
        """Return the state after reading x, and all values that `textbook_back` needs."""

    @abstractmethod
    def textbook_back(
        self,
        p: Mapping[str, Array],
        g: Mapping[str, Array],
        x: Array,
        before: State,
        after: State,
        memory: Any,
        d_after: State,
    ) -> tuple[Array, State]:
        """Add one step's gradients to g; return dL/d(U x(t) + b) and dL/d(the state before)."""
