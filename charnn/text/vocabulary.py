"""The vocabulary: the characters that a model knows, and their ids."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charnn.errors import CorpusError
from charnn.network.arrays import one_hot
from charnn.showing import BOUNDARY, Shown, excerpt
from charnn.text.blocks import spans
from charnn.text.encoding import Encoder, Ids, Unknown, in_pieces, text_of

_SHOWN = 80  # characters in the repr: enough for most texts in the Latin alphabet


class Vocabulary(Shown):
    """The K characters that a model knows. Id k stands for the character of code_points[k].

    A model of documents also knows their boundary, `charnn.showing.BOUNDARY`.

    Attributes:
        code_points: (K,) uint32, strictly increasing.
    """

    def __init__(self, characters: str):
        """Collect the distinct characters of a text.

        Raises:
            CorpusError: if the text is empty.
        """
        if not characters:
            raise CorpusError("a vocabulary needs at least one character")
        # np.unique would do the same, but importing it takes a quarter of NumPy's import time.
        self.code_points = np.array(sorted(map(ord, set(characters))), np.uint32)

    def __len__(self) -> int:
        return len(self.code_points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and np.array_equal(self.code_points, other.code_points)

    def __hash__(self) -> int:
        return hash(self.code_points.tobytes())

    def __str__(self) -> str:
        return f"{len(self):,} characters, {excerpt(self.characters, _SHOWN)}"

    def __contains__(self, character: str) -> bool:
        return character in self.characters

    @property
    def boundary(self) -> int | None:
        """The id of the boundary between documents, or None if the model has no documents."""
        found = np.flatnonzero(self.code_points == ord(BOUNDARY))
        return int(found[0]) if len(found) else None

    @property
    def characters(self) -> str:
        """All K characters, in the order of their ids."""
        return text_of(self.code_points)

    def encode(self, text: str, *, unknown: Unknown = "error") -> Ids:
        """Return the ids of a text.

        Args:
            text: N characters.
            unknown: the action for characters outside the vocabulary: raise an error, or skip them.

        Returns:
            (N,) ids, in the smallest unsigned dtype for K ids. Skipped characters have none.

        Raises:
            UnknownCharactersError: if a character is unknown. It names the first few with their
                places.
        """
        with closing(Encoder(self.code_points)) as encoder:
            encoder.read(in_pieces(text))
            return encoder.ids(self.code_points, unknown)

    def decode(self, ids: NDArray[np.integer[Any]] | Sequence[int]) -> str:
        """Return the text of some ids (any shape, read in C order)."""
        return text_of(self.code_points[np.asarray(ids, dtype=np.intp)])

    def utf8_bytes(self, ids: Ids) -> int:
        """Return the number of bytes of a text in UTF-8. A boundary of documents counts as one.

        Args:
            ids: (N,) character ids.
        """
        sizes = np.array([len(character.encode(errors="replace")) for character in self.characters])
        return sum(int(sizes[ids[start:stop]].sum()) for start, stop in spans(len(ids)))

    def one_hot(
        self, ids: NDArray[np.integer[Any]] | Sequence[int], dtype: DTypeLike = np.float32
    ) -> NDArray[Any]:
        """Return the one-hot vectors x of some ids: 1 at the id, 0 elsewhere.

        The fast network never builds them: U @ x is a column of U, so it looks that column up.

        Args:
            ids: of any shape.
            dtype: of the vectors.

        Returns:
            An array of shape ids.shape + (K,).
        """
        return one_hot(ids, len(self), dtype)
