"""The work that all sides share: characters, initial parameters and the rule of the updates."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charnn.network.spec import Spec

K = 65  # different characters, as in tiny Shakespeare
ALPHABET = "".join(map(chr, range(ord("0"), ord("0") + K)))
LEARNING_RATE = 2e-3
CLIP_NORM = 5.0
SGEMM = 2048  # rows and columns of the matrices whose product shows the machine's full speed
WINDOWS = 50  # windows in the training text, which is read repeatedly


class Case(NamedTuple):
    """The sizes of one training step."""

    H: int
    layers: int
    B: int
    T: int
    cell: str = "rnn"

    @property
    def flop(self) -> float:
        """Floating-point operations of the step's matrix products, forward and backward."""
        return Spec(K, self.H, self.layers, self.cell).step_flop(self.T, self.B)


def character_ids(n: int) -> NDArray[np.intp]:
    """Return n ids, the same in every call; the first K ids are all different."""
    ids = np.random.default_rng(0).integers(K, size=n)
    ids[:K] = np.arange(K)
    return ids


def text(n: int) -> str:
    """Return the text of `character_ids`, whose vocabulary is ALPHABET."""
    return np.array(list(ALPHABET))[character_ids(n)].astype("U1").tobytes().decode("utf-32-le")


def streams(B: int, T: int) -> NDArray[np.intp]:
    """Return the training text in B streams, (WINDOWS · T + 1, B): row t + 1 follows row t."""
    ids, length = character_ids(WINDOWS * B * T + 1), WINDOWS * T
    return np.stack([ids[b * length : (b + 1) * length + 1] for b in range(B)], axis=1)


class Start(NamedTuple):
    """The parameters that charnn starts from, read from its checkpoint."""

    layers: list[dict[str, NDArray[Any]]]  # arrays named U, W, b, and d for a GRU
    V: NDArray[Any]
    c: NDArray[Any]

    @classmethod
    def read(cls, checkpoint: str) -> "Start":
        """Read a checkpoint with NumPy alone."""
        with np.load(checkpoint, allow_pickle=False) as file:
            L = sum(name.startswith("W") for name in file.files)
            layers = [
                {name[0]: file[name] for name in file.files if name[1:] == str(n)} for n in range(L)
            ]
            return cls(layers, file["V"], file["c"])
