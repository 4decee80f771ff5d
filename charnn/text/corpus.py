"""TODO."""

import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from charnn.errors import CorpusError
from charnn.ranks import ALONE, Ranks
from charnn.text.encoding import BLOCK, Ids, Numbering, Unknown, text_of
from charnn.text.vocabulary import Vocabulary

SplitName = Literal["train", "val", "test", "all"]


@dataclass(frozen=True)
class Corpus:
    """An encoded text and its contiguous splits, in order: train, validation, test.

    Attributes:
        vocabulary: of the whole text, all splits.
        ids: (N,) character ids; those of a long text lie in a file that is mapped into memory.
        fingerprint: SHA-256 of the text's UTF-8 bytes, in hexadecimal; of a text of more than
            16 MiB over the digests of its blocks, so that it can be read in parts.
        val_fraction: share of the text that validates.
        test_fraction: share of the text kept for the test.
        skipped: characters left out, as the vocabulary does not know them.
    """

    vocabulary: Vocabulary
    ids: Ids
    fingerprint: str
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    skipped: int = 0

    @classmethod
    def from_text(
        cls,
        text: str | Iterable[str],
        *,
        vocabulary: Vocabulary | None = None,
        unknown: Unknown = "error",
        val_fraction: float = 0.0,
        test_fraction: float = 0.0,
        ranks: Ranks = ALONE,
    ) -> Self:
        """Encode a text with its own vocabulary, or a given one.

        Args:
            text: whole, or in pieces as `read_blocks` yields them, which are not kept.
            vocabulary: the characters that have ids.
            unknown: what to do with other characters: raise, or leave them out.
            val_fraction: share of the text that validates.
            test_fraction: share of the text kept for the test.
            ranks: each of them gives its part of the text, and gets all of it.

        Raises:
            CorpusError: if there are too few characters to predict one.
            UnknownCharactersError: if the given vocabulary lacks characters of the text.
        """
        expected = vocabulary.code_points if vocabulary else np.empty(0, np.uint32)
        with closing(Numbering(expected)) as numbering:
            with ranks.agreeing():
                numbering.read(text)
            if ranks.size > 1:
                numbering.merge(ranks)
            characters = numbering.characters
            if characters < 2:
                found = "is empty" if not characters else "holds one character"
                raise CorpusError(f"the text {found}; predicting takes at least 2 characters")
            vocabulary = vocabulary or Vocabulary(text_of(numbering.code_points))
            if ranks.size > 1:
                ids = numbering.shared(ranks, vocabulary.code_points, unknown)
            else:
                ids = numbering.encoded(vocabulary.code_points, unknown)
        if len(ids) < 2:
            raise CorpusError("fewer than 2 known characters; there is nothing to predict")
        corpus = cls(
            vocabulary,
            ids,
            numbering.fingerprint.hexdigest(),
            val_fraction,
            test_fraction,
            skipped=characters - len(ids),
        )
        for name in ("train", "val", "test"):
            part = corpus.split(name)
            wanted = name == "train" or getattr(corpus, f"{name}_fraction") > 0
            if wanted and len(part) < 2:
                raise CorpusError(
                    f"{len(ids):,} characters leave {len(part)} for the {name} split; "
                    "use a longer text, or smaller data.val_fraction and data.test_fraction"
                )
        return corpus

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether a checkpoint's fingerprint is that of this text; an old one may be plain SHA-256.

        No character of the text must have been skipped.
        """
        if fingerprint == self.fingerprint:
            return True
        digest = hashlib.sha256()
        for at in range(0, len(self.ids), BLOCK):
            piece = self.vocabulary.decode(self.ids[at : at + BLOCK])
            digest.update(piece.encode("utf-8", "surrogatepass"))
        return fingerprint == digest.hexdigest()

    def split(self, name: SplitName) -> Ids:
        """Return the ids of one split (a view)."""
        n = len(self.ids)
        # Computed from the start, so that 10 % of validation is the last 10 % to the character.
        val_start = int(n * (1 - self.val_fraction - self.test_fraction) + 1e-9)
        test_start = int(n * (1 - self.test_fraction) + 1e-9)
        bounds = {
            "train": (0, val_start),
            "val": (val_start, test_start),
            "test": (test_start, n),
            "all": (0, n),
        }
        start, end = bounds[name]
        return self.ids[start:end]
