"""Dropout on the outputs of every layer, the same for all characters of a window."""

import numpy as np
from numpy.typing import DTypeLike

from charnn.draws import Purpose, generator
from charnn.network.arrays import Array


class Dropout:
    """Draws dropout factors, 0 or 1 / (1 − rate), for the outputs of every layer.

    They act on outputs to the layer above, never on the state (Zaremba, Sutskever & Vinyals
    2014), and stay the same for all characters of a window (Gal & Ghahramani 2016). A factor
    depends on the seed, the step and the stream alone.
    """

    def __init__(
        self,
        rate: float,
        shape: tuple[int, int, int],
        dtype: DTypeLike,
        *,
        seed: int,
        first_stream: int = 0,
    ):
        """Allocate the factors.

        Args:
            rate: the share of outputs to drop.
            shape: (L, B, H).
            dtype: of the factors, which are drawn in float32.
            seed: of the run.
            first_stream: the number of the first of these B streams in the whole batch.
        """
        self.rate = rate
        self.seed = seed
        self.first_stream = first_stream
        self._masks = np.empty(shape, dtype)

    def __call__(self, step: int) -> Array:
        """Return the (L, B, H) factors of a step; the next call overwrites them."""
        masks = self._masks
        L, B, H = masks.shape
        for stream in range(B):
            draw = generator(self.seed, Purpose.DROPOUT, step, self.first_stream + stream)
            uniform = draw.random((L, H), np.float32)
            np.greater_equal(uniform, np.float32(self.rate), out=masks[:, stream])
        masks *= masks.dtype.type(1 / (1 - self.rate))
        return masks
