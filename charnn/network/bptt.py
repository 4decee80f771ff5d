"""TODO."""

import numpy as np

from charnn.network.loss import SoftmaxCrossEntropy
from charnn.network.network import RNN
from charnn.network.products import Array, CharacterIds, Sums


class BPTT:
    """Truncated back-propagation through time, with buffers allocated once for T × B characters.

    Attributes:
        gradients: dL/dθ of the last window, overwritten by the next.
    """

    def __init__(
        self,
        model: RNN,
        seq_length: int,
        batch_size: int,
        *,
        dropout: bool = False,
        gradient: Array | None = None,
    ):
        """Allocate the buffers.

        Args:
            model: the model.
            seq_length: T.
            batch_size: B.
            dropout: whether masks will be given.
            gradient: (P,) the memory for `gradients`, or None for some of its own.
        """
        L, H, dtype = model.num_layers, model.hidden_size, model.dtype
        T, B = seq_length, batch_size
        self.model = model
        self.gradients = model.parameters_in(
            np.zeros(model.num_parameters, dtype) if gradient is None else gradient
        )
        self._h = np.zeros((L, T + 1, B, H), dtype)
        self._work = np.empty((2, T, B, H), dtype)
        self._o = np.empty((T * B, model.vocab_size), dtype)
        self._x = np.empty((L, T, B, H), dtype) if dropout else None
        self._sums = Sums(T * B, model.vocab_size, H, dtype)
        self._loss = SoftmaxCrossEntropy(T * B, model.vocab_size, dtype)

    def __call__(
        self,
        inputs: CharacterIds,
        targets: CharacterIds,
        state: Array,
        *,
        masks: Array | None = None,
        scale: float = 1.0,
    ) -> float:
        """Run one window forward and backward; leave the gradient in `gradients`.

        The gradient stops at the window's first state.

        Args:
            inputs: (T', B) character ids, T' at most T.
            targets: (T', B) the character after each input.
            state: (L, B, H), h before the window; overwritten with h after it.
            masks: (L, B, H) dropout factors; needs `dropout=True` at construction.
            scale: factor on the gradient: 1 / (T'·B) for that of the mean loss.

        Returns:
            The loss summed over the T'·B characters, in nats.
        """
        T, B = inputs.shape
        model, h = self.model, self._h[:, : T + 1]
        x = None if masks is None or self._x is None else self._x[:, :T]
        h[:, 0] = state
        model.hidden_states(inputs, h, masks, x)
        state[...] = h[:, T]
        top = (h[-1, 1:] if x is None else x[-1]).reshape(T * B, -1)
        o = model.outputs(top, self._o[: T * B])
        loss = self._loss(o, targets, scale)
        model.backward(inputs, o, h, self.gradients, self._work[:, :T], self._sums, masks, x)
        return loss
