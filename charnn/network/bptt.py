"""Truncated back-propagation through time: the loss of a window and its gradient."""

import numpy as np

from charnn.network.arrays import Array, CharacterIds, Resets
from charnn.network.layer import Work
from charnn.network.loss import SoftmaxCrossEntropy
from charnn.network.network import Network, Reader


class BPTT:
    """Runs windows of up to T × B characters forward and back, with buffers allocated once.

    Attributes:
        gradients: dL/dθ of the last window, overwritten by the next.
    """

    def __init__(
        self,
        network: Network,
        seq_length: int,
        batch_size: int,
        *,
        dropout: bool = False,
        gradient: Array | None = None,
    ):
        """Allocate the buffers.

        Args:
            network: its parameters may change between windows, but must keep their memory.
            seq_length: T.
            batch_size: B.
            dropout: whether calls will pass masks.
            gradient: (P,) the memory for `gradients`, or None to allocate it.
        """
        T, B, K, dtype = seq_length, batch_size, network.vocab_size, network.dtype
        self.network = network
        self.gradients = network.parameters_in(
            np.zeros(network.num_parameters, dtype) if gradient is None else gradient
        )
        self._work = Work(network.spec, T, B)
        self._reader = Reader(
            network, T, B, dropout=dropout, work=self._work, gradients=self.gradients
        )
        self._o = np.empty((T * B, K), dtype)
        self._read: tuple[Array, Array, Array | None]
        self._loss = SoftmaxCrossEntropy(T * B, K, dtype)

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
        """Run one window forward and back; leave the gradient in `gradients`.

        The gradient stops at the window's first state. This is `read`, then `back`.

        Args:
            inputs: (T', B) character ids, T' at most T.
            targets: (T', B) the character after each input.
            state: (S, B, H), the state before the window; overwritten with that after it.
            resets: (T', B), where a stream's state is zero before its character, or None.
            masks: (L, B, H) dropout factors; needs `dropout=True` at construction.
            scale: factor on the gradient: 1 / (T'·B) for that of the mean loss.

        Returns:
            The loss summed over the T'·B characters, in nats.
        """
        self.read(inputs, state, resets=resets, masks=masks)
        return self.back(targets, scale)

    def read(
        self,
        inputs: CharacterIds,
        state: Array,
        *,
        resets: Resets | None = None,
        masks: Array | None = None,
    ) -> Array:
        """Run one window forward; see `__call__`.

        Returns:
            o: (T'·B, K), the logits after each character, which `back` overwrites.
        """
        N = inputs.size
        top = self._reader.read(inputs, state, resets=resets, masks=masks).reshape(N, -1)
        o = self.network.outputs(top, self._o[:N])
        self._read = top, o, masks
        return o

    def back(self, targets: CharacterIds, scale: float = 1.0) -> float:
        """Run the last window back; see `__call__`."""
        g, work, V = self.gradients, self._work, self.network.parameters["V"]
        (top, o, masks), T, N = self._read, len(targets), targets.size
        loss = self._loss(o, targets, scale)
        do = o  # the loss has overwritten o with its gradient
        np.matmul(do.T, top, out=g["V"])  # dV = Σ do(t) h(t)ᵀ
        work.sums.rows(do, g["c"])  # dc = Σ do(t)
        np.matmul(do, V, out=work.dh[:T].reshape(N, -1))  # dh(t) = Vᵀ do(t) + …
        for layer in reversed(self._reader.layers):
            if masks is not None:
                work.dh[:T] *= masks[layer.index]
            layer.back_through_time()
            layer.parameter_gradients()
            if layer.index > 0:
                layer.back_to_input()
        return loss
