"""Random draws, each determined by its name alone.

Every draw is keyed by (seed, purpose, step, stream) with the counter-based generator Philox
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). So no draw depends on earlier
draws, on previews, or on how the work is divided. A resumed run needs no generator state.
"""

import secrets
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a draw is for. The numbers are part of the checkpoint format: never renumber."""

    INIT = 0
    DROPOUT = 1
    SAMPLE = 2
    SPLIT = 3
    SHUFFLE = 4


def generator(seed: int, purpose: Purpose, step: int = 0, stream: int = 0) -> np.random.Generator:
    """Return the generator named by these four numbers (each at least 0 and below 2**64).

    The low 128 bits of the counter count the draws. Its high words are `step` and `stream`, so two
    generators with different names never repeat each other.
    """
    bits = np.random.Philox(
        key=np.array([seed, purpose], dtype=np.uint64),
        counter=np.array([0, 0, step, stream], dtype=np.uint64),
    )
    return np.random.Generator(bits)


def fresh_seed() -> int:
    """Return a random seed of 32 bits, short enough to be typed again."""
    return secrets.randbits(32)
