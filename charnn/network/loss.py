"""The loss: softmax and cross-entropy, with their gradient."""

import numpy as np
from numpy.typing import DTypeLike

from charnn.network.arrays import Array, CharacterIds


def log_softmax(o: Array) -> Array:
    """Turn logits (N, K) into log-probabilities, in place, without overflow; return them."""
    o -= o.max(axis=1, keepdims=True)
    o -= np.log(np.exp(o).sum(axis=1, keepdims=True))
    return o


class SoftmaxCrossEntropy:
    """L = Σ −log ŷ[target] with ŷ = softmax(o), and dL/do = ŷ − onehot(target).

    Eqs. 10.11–10.14 and 10.18, with buffers for up to N characters.
    """

    def __init__(self, rows: int, vocab_size: int, dtype: DTypeLike):
        """Allocate for N rows of K logits."""
        self._starts = np.arange(0, rows * vocab_size, vocab_size)
        self._places = np.empty_like(self._starts)
        self._rows = np.empty((2, rows), dtype)
        self._ones = np.ones(vocab_size, dtype)

    def __call__(self, o: Array, targets: CharacterIds, scale: float = 1.0) -> float:
        """Return the loss in nats and overwrite the logits with its gradient times `scale`.

        Args:
            o: (N, K) logits, overwritten.
            targets: the N actual next characters.
            scale: factor on the gradient, not on the loss.
        """
        N, flat = len(o), o.reshape(-1)
        at_target, per_row = self._rows[:, :N]
        # The place of the target's logit in the flattened o.
        places = np.add(self._starts[:N], targets.reshape(N), out=self._places[:N])
        # Subtracting the maximum does not change the softmax, but keeps exp in range. Logits within
        # ±60 are in range anyway, so they skip these two passes.
        if not -60 < np.minimum.reduce(flat) <= np.maximum.reduce(flat) < 60:
            o -= np.maximum.reduce(o, axis=1, keepdims=True)
        # "clip" skips a copy of `out`; every place is in range.
        flat.take(places, out=at_target, mode="clip")
        np.exp(o, out=o)
        np.dot(o, self._ones, out=per_row)
        # With e = exp(o): the loss is log Σ e − o[target], and dL/do = e / Σ e − onehot(target).
        loss = -float(np.add.reduce(at_target, dtype=np.float64))
        o *= np.divide(scale, per_row, out=at_target)[:, None]
        loss += float(np.add.reduce(np.log(per_row, out=per_row), dtype=np.float64))
        flat.take(places, out=at_target, mode="clip")
        at_target -= o.dtype.type(scale)
        flat[places] = at_target
        return max(loss, 0.0)  # never below 0 by rounding; nan stays nan in this order
