"""Text to character ids: reading, the vocabulary, the splits, and the streams a run trains on."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charnn.errors import CorpusError
from charnn.text.encoding import Ids, Numbering, Unknown, text_of


class Vocabulary:
    """The K characters a model knows: id k stands for the k-th smallest code point.

    Attributes:
        code_points: (K,) uint32, strictly increasing.
    """

    def __init__(self, characters: str):
        """Collect the distinct characters of a text.

        Raises:
            CorpusError: if there are none.
        """
        if not characters:
            raise CorpusError("a vocabulary needs at least one character")
        # Not np.unique, which imports a quarter of NumPy more.
        self.code_points = np.array(sorted(map(ord, set(characters))), np.uint32)

    def __len__(self) -> int:
        return len(self.code_points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and np.array_equal(self.code_points, other.code_points)

    def __hash__(self) -> int:
        return hash(self.code_points.tobytes())

    def __contains__(self, character: str) -> bool:
        return character in self.characters

    @property
    def characters(self) -> str:
        """All K characters, in the order of their ids."""
        return text_of(self.code_points)

    def encode(self, text: str, *, unknown: Unknown = "error") -> Ids:
        """Return the ids of a text, (N,), in the smallest unsigned dtype that holds K ids.

        Args:
            text: N characters.
            unknown: what to do with characters outside the vocabulary: raise, or leave them out.

        Raises:
            UnknownCharactersError: naming the first few unknown characters and their places.
        """
        with closing(Numbering(self.code_points)) as numbering:
            numbering.read(text)
            return numbering.encoded(self.code_points, unknown)

    def decode(self, ids: NDArray[np.integer[Any]] | Sequence[int]) -> str:
        """Return the text of some ids (any shape, read in C order)."""
        return text_of(self.code_points[np.asarray(ids, dtype=np.intp)])

    def one_hot(
        self, ids: NDArray[np.integer[Any]] | Sequence[int], dtype: DTypeLike = np.float32
    ) -> NDArray[Any]:
        """Return the vectors x of some ids: shape ids.shape + (K,), 1 at the id and 0 elsewhere.

        U @ one_hot(k) is column k of U, which is what the model reads instead.
        """
        return np.eye(len(self), dtype=dtype)[np.asarray(ids, dtype=np.intp)]
