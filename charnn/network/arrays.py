"""The types of arrays that the modules of the network exchange."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.floating[Any]]
CharacterIds = NDArray[np.integer[Any]]
Resets = NDArray[np.bool_]
"""(T, B): True where the state of a stream is zero before it reads its character."""

State = Array | tuple[Array, ...]
"""h of B streams, (B, H); or (h, s) of a cell with two states. One stream may be (H,)."""


def one_hot(
    ids: CharacterIds | Sequence[int], vocab_size: int, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Return the vectors x of some ids: shape ids.shape + (K,), 1 at the id and 0 elsewhere."""
    return np.eye(vocab_size, dtype=dtype)[np.asarray(ids, dtype=np.intp)]
