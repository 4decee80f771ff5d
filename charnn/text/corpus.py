"""The corpus: an encoded text, divided into training, validation and test."""

import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from charnn.errors import CorpusError
from charnn.ranks import ALONE, Ranks
from charnn.text.blocks import spans
from charnn.text.encoding import Encoder, Ids, Unknown, text_of
from charnn.text.vocabulary import Vocabulary

SplitName = Literal["train", "val", "test", "all"]


@dataclass(frozen=True)
class Corpus:
    """An encoded text and its contiguous splits, in order: training, validation, test.

    The splits are shares of one text, or texts of their own that follow it.

    Attributes:
        vocabulary: of the whole text, all splits.
        ids: (N,) character ids. Those of a long text are mapped from a temporary file.
        fingerprint: of the text, in hexadecimal (see `charnn.text.fingerprint`).
        val_fraction: share of the text for validation.
        test_fraction: share of the text for the final test.
        val_length: how many characters, after all others but a test text, are a validation text of
            its own; None if `val_fraction` says what validates.
        test_length: how many characters at the end are a test text of its own, or None.
        skipped: how many characters were left out because the vocabulary lacks them.
    """

    vocabulary: Vocabulary
    ids: Ids
    fingerprint: str
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    val_length: int | None = None
    test_length: int | None = None
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
        val_text: str | Iterable[str] | None = None,
        test_text: str | Iterable[str] | None = None,
        ranks: Ranks = ALONE,
    ) -> Self:
        """Encode a text with a vocabulary, by default with its own.

        Args:
            text: the whole text, or its pieces, as `read_blocks` yields them. They are not kept.
            vocabulary: the characters that have ids.
            unknown: what to do with other characters: raise an error, or skip them.
            val_fraction: share of the text for validation.
            test_fraction: share of the text for the final test.
            val_text: a validation text of its own, instead of `val_fraction`.
            test_text: a test text of its own, instead of `test_fraction`.
            ranks: each rank passes its part of the text and gets the corpus of the whole text. With
                a `val_text` or `test_text`, rank 0 passes all, and the others empty texts.

        Raises:
            CorpusError: if the text, or a split that was asked for, is too short to predict a
                character; or if a temporary file cannot be written.
            UnknownCharactersError: if the given vocabulary lacks characters of the text.
            ValueError: if unknown characters are to be skipped beside a `val_text` or `test_text`.
        """
        if unknown == "skip" and (val_text is not None or test_text is not None):
            raise ValueError("unknown='skip' is for one text")
        expected = vocabulary.code_points if vocabulary else np.empty(0, np.uint32)
        with closing(Encoder(expected)) as encoder:
            with ranks.agreeing():
                encoder.read(text)
                ends = [encoder.length]
                for own in (val_text, test_text):
                    encoder.read(own if own is not None else "")
                    ends.append(encoder.length)
            encoder.merge(ranks)
            train_end, val_end, end = map(sum, zip(*ranks.gather(ends), strict=True))
            if encoder.length < 2:
                found = "is empty" if not encoder.length else "holds one character"
                raise CorpusError(f"the text {found}; predicting takes at least 2 characters")
            vocabulary = vocabulary or Vocabulary(text_of(encoder.code_points))
            ids = encoder.ids(vocabulary.code_points, unknown, ranks)
        if len(ids) < 2:
            raise CorpusError("fewer than 2 known characters; there is nothing to predict")
        corpus = cls(
            vocabulary,
            ids,
            encoder.fingerprint.hexdigest(),
            val_fraction,
            test_fraction,
            None if val_text is None else val_end - train_end,
            None if test_text is None else end - val_end,
            skipped=encoder.length - len(ids),
        )
        corpus._check_splits()
        return corpus

    def divided(self, val_fraction: float, test_fraction: float) -> Self:
        """Return the corpus with other splits.

        Raises:
            CorpusError: if one that was asked for is too short to predict a character.
        """
        corpus = replace(self, val_fraction=val_fraction, test_fraction=test_fraction)
        corpus._check_splits()
        return corpus

    def _check_splits(self) -> None:
        wanted = {"train": True, "val": self.val_fraction > 0, "test": self.test_fraction > 0}
        texts = {"val": self.val_length, "test": self.test_length}
        for name in ("train", "val", "test"):
            length, own = len(self.split(name)), texts.get(name)
            if own is not None and own < 2:
                raise CorpusError(f"the {name} text has {own} of the 2 characters it needs")
            if wanted[name] and own is None and length < 2:
                raise CorpusError(
                    f"{len(self.ids):,} characters leave {length} for the {name} split; "
                    "use a longer text, or smaller data.val_fraction and data.test_fraction"
                )

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Return whether a checkpoint's fingerprint is that of this text.

        Early checkpoints of long texts have the plain SHA-256 of all bytes, which counts as well.
        The text must have been encoded without skipping characters.
        """
        if fingerprint == self.fingerprint:
            return True
        digest = hashlib.sha256()
        for start, stop in spans(len(self.ids)):
            piece = self.vocabulary.decode(self.ids[start:stop])
            digest.update(piece.encode("utf-8", "surrogatepass"))
        return fingerprint == digest.hexdigest()

    def split(self, name: SplitName) -> Ids:
        """Return the ids of one split, as a view."""
        end = len(self.ids) - (self.test_length or 0)
        N = end - (self.val_length or 0)
        val_share = self.val_fraction if self.val_length is None else 0.0
        test_share = self.test_fraction if self.test_length is None else 0.0
        # Fractions are subtracted from 1 before the product is rounded down, and 1e-9 absorbs the
        # rounding of floats. So 10 % of validation are exactly the last 10 % of the characters.
        val_start = int(N * (1 - val_share - test_share) + 1e-9)
        test_start = int(N * (1 - test_share) + 1e-9)
        bounds = {
            "train": (0, val_start),
            "val": (val_start, test_start) if self.val_length is None else (N, end),
            "test": (test_start, N) if self.test_length is None else (end, len(self.ids)),
            "all": (0, len(self.ids)),
        }
        start, stop = bounds[name]
        return self.ids[start:stop]
