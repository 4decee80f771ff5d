"""The specification of a network: its sizes, and the values that follow from them."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from numpy.typing import DTypeLike

from charnn.network.cells import cell_class
from charnn.network.cells.cell import Activation, Cell


class Sizes(Protocol):
    """The description of a network in a config, or a `Spec`."""

    @property
    def hidden_size(self) -> int:
        """H."""

    @property
    def num_layers(self) -> int:
        """L."""

    @property
    def cell(self) -> str:
        """The name of the cell."""

    @property
    def activation(self) -> Activation:
        """The function f."""


@dataclass(frozen=True)
class Spec:
    """The complete description of a network, except the values of its parameters.

    Attributes:
        vocab_size: K, different characters.
        hidden_size: H, units in each layer.
        num_layers: L.
        cell: a name in `charnn.network.cells.CELLS`.
        activation: f.
        dtype: of parameters and states, "float32" or "float64".
    """

    vocab_size: int
    hidden_size: int
    num_layers: int = 1
    cell: str = "rnn"
    activation: Activation = "tanh"
    dtype: str = "float32"

    @classmethod
    def from_config(cls, model: Sizes, vocab_size: int, dtype: DTypeLike) -> Self:
        """Return the specification for the model section of a config, or for another `Spec`."""
        return cls(
            vocab_size,
            model.hidden_size,
            model.num_layers,
            model.cell,
            model.activation,
            np.dtype(dtype).name,
        )

    @cached_property
    def cell_class(self) -> type[Cell]:
        """The class of the cell."""
        return cell_class(self.cell)

    @property
    def unit_name(self) -> str:
        """The name of the units: the activation of a vanilla RNN, otherwise the cell."""
        return self.activation if self.cell == "rnn" else self.cell.upper()

    @property
    def stack(self) -> str:
        """The layers in words: 3 layers of 256 tanh units."""
        layers = f"{self.num_layers:,} {'layer' if self.num_layers == 1 else 'layers'}"
        return f"{layers} of {self.hidden_size:,} {self.unit_name} units"

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every parameter, in storage order.

        The first layer has U0 (G·H, K), W0 (G·H, H), b0 (G·H,), with G the gates of the cell (1 for
        rnn), then the cell's own. The layers above have U1 (G·H, H), W1, b1 …, and the output has
        V (K, H), c (K,).
        """
        K, H, rows = self.vocab_size, self.hidden_size, self.cell_class.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            shapes[f"U{layer}"] = (rows, H if layer else K)
            shapes[f"W{layer}"] = (rows, H)
            shapes[f"b{layer}"] = (rows,)
            for name, shape in self.cell_class.own_shapes(H).items():
                shapes[f"{name}{layer}"] = shape
        return shapes | {"V": (K, H), "c": (K,)}

    @cached_property
    def num_parameters(self) -> int:
        """P, the number of parameters. The time does not depend on the number of layers."""
        stacks = (replace(self, num_layers=layers) for layers in (1, 2))
        one, two = (sum(map(math.prod, stack.shapes.values())) for stack in stacks)
        return one + (self.num_layers - 1) * (two - one)

    def state_shape(self, batch_size: int) -> tuple[int, int, int]:
        """Return (S, B, H): h of layers 0 … L−1, then s of layers 0 … L−1 if the cell has an s."""
        return self.num_layers * self.cell_class.states, batch_size, self.hidden_size

    def step_flop(self, seq_length: int, batch_size: int) -> float:
        """Return the floating-point operations of one training step's matrix products.

        6·B·T·H·((2L−1)·G·H + K): forward, and back twice. U of the first layer is looked up, not
        multiplied.
        """
        H, L, G = self.hidden_size, self.num_layers, self.cell_class.gates
        per_character = H * ((2 * L - 1) * G * H + self.vocab_size)
        return 6.0 * batch_size * seq_length * per_character

    def step_bytes(self, seq_length: int, batch_size: int, *, dropout: bool) -> int:
        """Return the bytes that back-propagation through a window of T × B characters allocates."""
        cell, L, N = self.cell_class, self.num_layers, seq_length * batch_size
        kept = 0 if cell.in_place else cell.gates + cell.spare
        blocks = L * (cell.states + kept + dropout) + 1 + cell.deltas
        numbers = N * (blocks * self.hidden_size + self.vocab_size)
        return numbers * np.dtype(self.dtype).itemsize + 7 * N * 8
