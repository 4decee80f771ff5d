"""A network: layers of one cell, and a softmax over K characters.

For a vocabulary of K characters and T characters x(1) … x(T), as one-hot columns of length K
(Goodfellow, Bengio & Courville, *Deep Learning*, ch. 10), each layer computes h(t) from x(t) and
h(t-1) by its cell in `charnn.network.cells`. The layer above reads h(t) as its x(t). From the top
layer's h(t) the network computes

    o(t) = V h(t) + c                                       (10.10)
    ŷ(t) = softmax(o(t))                                    (10.11)
    L    = Σ_t −log ŷ(t)[x(t+1)]                            (10.12–10.14), in nats

Everything works on B streams at once, and NumPy keeps rows together, so a batch is stored as rows:
h is (T, B, H), and U x is computed as `x @ U.T`. docs/speed.md explains why it is fast.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charnn.network import parameters as initial
from charnn.network.arrays import Array, CharacterIds, Resets
from charnn.network.cells.cell import Activation
from charnn.network.layer import Layer, Work
from charnn.network.parameters import Parameters
from charnn.network.spec import Sizes, Spec
from charnn.showing import Shown


class Network(Shown):
    """A stack of recurrent layers and a softmax over K characters.

    Attributes:
        spec: the sizes, and the values that follow from them.
        vocab_size: K.
        hidden_size: H.
        num_layers: L.
        activation: f.
        dtype: of parameters and states.
        num_parameters: P.
        parameters: all zero until `initialize` or until they are assigned.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_layers: int = 1,
        activation: Activation = "tanh",
        dtype: DTypeLike = np.float32,
        *,
        cell: str = "rnn",
    ):
        name = np.dtype(dtype).name
        self.spec = Spec(vocab_size, hidden_size, num_layers, cell, activation, name)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.activation: Activation = activation
        self.dtype = np.dtype(dtype)
        self.num_parameters = self.spec.num_parameters
        self.parameters = self.parameters_in(np.zeros(self.num_parameters, dtype))

    @classmethod
    def from_config(cls, model: Sizes, vocab_size: int, dtype: DTypeLike) -> Self:
        """Return the network that the model section of a config, or a `Spec`, describes."""
        return cls(
            vocab_size,
            model.hidden_size,
            model.num_layers,
            model.activation,
            dtype,
            cell=model.cell,
        )

    def __str__(self) -> str:
        return (
            f"{self.spec.stack}, {self.vocab_size:,} characters, "
            f"{self.num_parameters:,} parameters, {self.dtype}"
        )

    @property
    def bounded(self) -> bool:
        """Whether every h lies between −1 and 1."""
        return self.spec.cell_class.bounded(self.activation)

    def recurrent_matrices(self, layer: int) -> Array:
        """Return W of a layer by gate, (G, H, H), a view."""
        return self.parameters[f"W{layer}"].reshape(-1, self.hidden_size, self.hidden_size)

    def hidden(self, states: Array) -> Array:
        """Return h of every layer, (L, …, H), from states (S, …, H); a view."""
        return states[: self.num_layers]

    def parameters_in(self, flat: Array) -> Parameters:
        """Return (P,) numbers by the parameters' names: the parameters, or a gradient."""
        return Parameters(self.spec.shapes, flat)

    def initialize(self, init: str, seed: int, std: float | None = None) -> None:
        """Draw the initial parameters; see `charnn.network.parameters.initialize`."""
        initial.initialize(self.parameters, self.spec, init, seed, std)

    def zero_state(self, batch_size: int = 1) -> Array:
        """Return the initial state, all zeros, (S, B, H); see `Spec.state_shape`."""
        return np.zeros(self.spec.state_shape(batch_size), self.dtype)

    def logits(self, inputs: CharacterIds, state: Array) -> Array:
        """Read T characters of B streams.

        Args:
            inputs: (T, B) character ids.
            state: (S, B, H); overwritten with the state after the last character.

        Returns:
            o: (T, B, K), where o[t] are the unnormalised log-probabilities of the character after
            x(t).
        """
        with np.errstate(over="ignore"):  # exp(−a) of a closed gate may overflow: σ is 0 then
            return Reader(self, *inputs.shape)(inputs, state)

    def outputs(self, h: Array, out: Array) -> Array:
        """Write o = V h + c, eq. 10.10, over `out`, (N, K), for the top layer's (N, H) outputs."""
        np.matmul(h, self.parameters["V"].T, out=out)
        out += self.parameters["c"]
        return out


RNN = Network  # the name that Python users know from `charnn.RNN`


class Reader:
    """The layers of a network, with buffers allocated once for windows of up to T × B characters.

    Attributes:
        seq_length: T.
        layers: from the bottom to the top.
        states: (S, T + 1, B, H), the state before and after each character of the last window.
    """

    def __init__(
        self,
        network: Network,
        seq_length: int,
        batch_size: int,
        *,
        dropout: bool = False,
        keep_gates: bool = False,
        work: Work | None = None,
        gradients: Parameters | None = None,
    ):
        """Allocate the buffers.

        Args:
            network: its parameters may change between windows, but must keep their memory.
            seq_length: T.
            batch_size: B.
            dropout: whether calls will pass masks.
            keep_gates: whether to keep every layer's `gates` for the caller.
            work: memory for the backward pass of the layers, or None for reading only.
            gradients: the output for the gradients of the parameters, or None.
        """
        spec, L, T, B = network.spec, network.num_layers, seq_length, batch_size
        S, _, H = spec.state_shape(B)
        self.seq_length = T
        self._network = network
        self._o: Array | None = None
        self.states = np.empty((S, T + 1, B, H), network.dtype)
        self.layers: list[Layer] = []
        gates: Array | None = None
        for index in range(L):
            states = self.states[index::L]
            if spec.cell_class.in_place:
                gates = states[:, 1:]  # h is written over a
            elif gates is None or keep_gates or work is not None:  # kept, else shared
                blocks = spec.cell_class.gates + spec.cell_class.spare
                gates = np.empty((blocks, T, B, H), network.dtype)
            masked = np.empty((T, B, H), network.dtype) if dropout else None
            layer = Layer(
                spec,
                network.parameters,
                index,
                states,
                gates,
                masked=masked,
                work=work,
                gradients=gradients,
            )
            self.layers.append(layer)

    def read(
        self,
        inputs: CharacterIds,
        state: Array,
        *,
        resets: Resets | None = None,
        masks: Array | None = None,
    ) -> Array:
        """Read up to T characters of B streams through all layers.

        Args:
            inputs: (T', B) character ids.
            state: (S, B, H); overwritten with the state after the last character.
            resets: (T', B), where a stream's state is zero before its character, or None.
            masks: (L, B, H) factors on each layer's outputs to the layer above, for dropout.

        Returns:
            (T', B, H), the outputs of the top layer; the next call overwrites them.
        """
        self.states[:, 0] = state
        x: NDArray[Any] = inputs
        for layer in self.layers:
            mask = None if masks is None else masks[layer.index]
            x = layer.forward(x, resets, mask)
        state[...] = self.states[:, len(inputs)]
        return x

    def __call__(self, inputs: CharacterIds, state: Array, resets: Resets | None = None) -> Array:
        """Read a window; return its logits, (T', B, K), which the next call overwrites."""
        top = self.read(inputs, state, resets=resets)
        N, H = inputs.size, top.shape[2]
        if self._o is None:
            rows = self.seq_length * inputs.shape[1]
            self._o = np.empty((rows, self._network.vocab_size), self._network.dtype)
        o = self._network.outputs(top.reshape(N, H), self._o[:N])
        return o.reshape(*inputs.shape, -1)
