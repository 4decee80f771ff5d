"""The corpus: an encoded text, divided into training, validation and test."""

import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from charnn.errors import CorpusError
from charnn.ranks import ALONE, Ranks
from charnn.showing import BOUNDARY, BOUNDARY_NAME, Shown, show_value
from charnn.text.blocks import spans
from charnn.text.documents import Divider, Documents
from charnn.text.encoding import Encoder, Ids, Unknown, in_pieces, text_of
from charnn.text.vocabulary import Vocabulary

SplitName = Literal["train", "val", "test", "all"]


@dataclass(frozen=True, repr=False)
class Corpus(Shown):
    """An encoded text and its splits: training, validation, test.

    The splits are consecutive shares of one text, or separate texts that follow it. In a text of
    documents, each document is drawn for a split.

    Attributes:
        vocabulary: of the whole text, all splits.
        ids: (N,) character ids. Those of a long text are mapped from a temporary file.
        fingerprint: of the text, in hexadecimal (see `charnn.text.fingerprint`).
        val_fraction: share of the text for validation.
        test_fraction: share of the text for the final test.
        val_length: the length of a separate validation text, which only a test text follows; None
            if `val_fraction` decides.
        test_length: the length of a separate test text at the end, or None.
        skipped: the number of characters left out because the vocabulary lacks them.
        dividing: how the text is divided into documents (`data.documents`), or None.
        split_seed: of the draw that splits the documents.
        empty: the number of empty documents left out.
        separators: the number of separators found.
    """

    vocabulary: Vocabulary
    ids: Ids
    fingerprint: str
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    val_length: int | None = None
    test_length: int | None = None
    skipped: int = 0
    dividing: str | None = None
    split_seed: int = 0
    empty: int = 0
    separators: int = 0

    def __str__(self) -> str:
        size = f"{len(self.ids):,} characters, {len(self.vocabulary):,} different"
        if self.dividing is not None:  # splitting documents may take a while
            return f"{size}, with the ends of documents ({show_value(self.dividing)})"
        splits: list[SplitName] = ["train", "val", "test"]
        return "; ".join([size, *(f"{name} {len(self.split(name)):,}" for name in splits)])

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
        documents: str | None = None,
        split_seed: int = 0,
        ranks: Ranks = ALONE,
    ) -> Self:
        """Encode a text with a vocabulary, by default its own.

        Args:
            text: the whole text, or its pieces, as from `read_blocks`. The pieces are not kept.
            vocabulary: the characters that have ids.
            unknown: the action for other characters: raise an error, or skip them.
            val_fraction: share of the text for validation.
            test_fraction: share of the text for the final test.
            val_text: a separate validation text, instead of `val_fraction`.
            test_text: a separate test text, instead of `test_fraction`.
            documents: how to divide the texts into documents, as in `data.documents`. A piece
                that is `BOUNDARY` also ends a document. None means one text.
            split_seed: of the draw that splits the documents.
            ranks: each rank passes its part of the text and gets the corpus of the whole text. With
                documents, a `val_text` or a `test_text`, rank 0 passes all, and the others empty
                texts.

        Raises:
            CorpusError: if the text, or a requested split, is too short to predict a character; or
                if a temporary file cannot be written.
            UnknownCharactersError: if the given vocabulary lacks characters of the text.
            ValueError: if unknown characters are to be skipped beside a `val_text` or `test_text`.
        """
        if unknown == "skip" and (val_text is not None or test_text is not None):
            raise ValueError("unknown='skip' is for one text")
        expected = vocabulary.code_points if vocabulary else np.empty(0, np.uint32)
        divider = Divider(documents) if documents else None
        with closing(Encoder(expected)) as encoder:
            with ranks.agreeing():
                ends = list[int]()
                for part in (text, val_text, test_text):
                    pieces = in_pieces(part) if isinstance(part, str) else part or ()
                    if divider and ranks.rank == 0 and part is not None:
                        pieces = divider.divide(pieces)
                        pieces = pieces if ends else chain([BOUNDARY], pieces)
                    encoder.read(pieces)
                    ends.append(encoder.length)
            encoder.merge(ranks)
            empty, separators = ranks.first(
                lambda: (divider.empty, divider.separators) if divider else (0, 0)
            )
            train_end, val_end, end = map(sum, zip(*ranks.gather(ends), strict=True))
            if encoder.length < 2:
                found = "is empty" if not encoder.length else "holds one character"
                if documents:
                    raise CorpusError("the text has no document; all are empty")
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
            dividing=documents,
            split_seed=split_seed,
            empty=empty,
            separators=separators,
        )
        corpus._check_splits()
        return corpus

    def divided(self, val_fraction: float, test_fraction: float, split_seed: int = 0) -> Self:
        """Return the corpus with other splits.

        Raises:
            CorpusError: if a requested split is too short to predict a character.
        """
        corpus = replace(
            self, val_fraction=val_fraction, test_fraction=test_fraction, split_seed=split_seed
        )
        corpus._check_splits()
        return corpus

    @cached_property
    def documents(self) -> Documents | None:
        """The documents of the text, or None if it is not divided."""
        boundary = self.vocabulary.boundary
        if self.dividing is None or boundary is None:
            return None
        return Documents.found(self.ids, boundary)

    @cached_property
    def sides(self) -> NDArray[np.intp]:
        """The split of each document, (D,): 0 training, 1 validation, 2 test."""
        assert self.documents is not None
        starts = self.documents.starts
        test_start = len(self.ids) - (self.test_length or 0) - 1  # the boundary before it
        val_start = test_start - (self.val_length or 0)
        sides = np.where(starts >= test_start, 2, np.where(starts >= val_start, 1, 0))
        shared = sides == 0
        sides[shared] = self.documents.part(shared).sides(
            0.0 if self.val_length is not None else self.val_fraction,
            0.0 if self.test_length is not None else self.test_fraction,
            self.split_seed,
        )
        return sides

    @cached_property
    def leaked(self) -> tuple[int, int]:
        """The numbers of validation and test documents that are also in the training text.

        Both are 0, unless validation or test have a separate text.
        """
        documents, training = self.documents, self.training_documents
        if not documents or not training or (self.val_length, self.test_length) == (None, None):
            return 0, 0
        also = documents.also_in(training)
        return int((also & (self.sides == 1)).sum()), int((also & (self.sides == 2)).sum())

    @property
    def training_documents(self) -> Documents | None:
        """The documents of the training split, or None if the text is not divided."""
        return self.documents and self.documents.part(self.sides == 0)

    @cached_property
    def _texts(self) -> dict[str, Ids]:
        """The requested splits of a text of documents."""
        return {}

    def check_documents(self) -> None:
        """Check that a text is divided into documents if `documents` or the vocabulary requires it.

        Raises:
            CorpusError: if it is not.
        """
        if self.documents is None:
            if self.vocabulary.boundary is not None:
                raise CorpusError(
                    f"the model knows {BOUNDARY_NAME}, the boundary of documents, but the text is "
                    "not divided; set data.documents, or give the model the text's own characters "
                    "by --extend"
                )
            return
        D, dividing = len(self.documents), show_value(self.dividing)
        if D < 2 or (dividing.startswith("text:") and not self.separators):
            found = f"has {D} {'document' if D == 1 else 'documents'}"
            if dividing != "files" and not self.separators:
                found += ", because the separator does not occur"
            remedy = "name more files" if dividing == "files" else "name another separator"
            raise CorpusError(
                f"with data.documents {dividing}, the text {found}; leave data.documents out, "
                f"or {remedy}"
            )

    def _check_splits(self) -> None:
        if self.val_fraction or self.test_fraction:
            self.check_documents()
        wanted = {"train": True, "val": self.val_fraction > 0, "test": self.test_fraction > 0}
        texts = {"val": self.val_length, "test": self.test_length}
        for name in ("train", "val", "test"):
            length, own = len(self.split(name)), texts.get(name)
            if own is not None and own < 2:
                raise CorpusError(f"the {name} text has {own} of the 2 characters it needs")
            if wanted[name] and own is None and length < 2:
                held = f"{len(self.ids):,} characters leave {length}"
                if self.documents:
                    D, different = len(self.documents), self.documents.different
                    held = f"{D:,} documents ({different:,} different) leave none"
                raise CorpusError(
                    f"{held} for the {name} split; "
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
        """Return the ids of one split: a view, or of documents B d B d B … in their order."""
        if self.documents is not None and name != "all":
            if name not in self._texts:
                chosen = self.sides == ("train", "val", "test").index(name)
                self._texts[name] = self.documents.part(chosen).text()
            return self._texts[name]
        end = len(self.ids) - (self.test_length or 0)
        N = end - (self.val_length or 0)
        val_share = self.val_fraction if self.val_length is None else 0.0
        test_share = self.test_fraction if self.test_length is None else 0.0
        val_start, test_start = split_starts(N, val_share, test_share)
        bounds = {
            "train": (0, val_start),
            "val": (val_start, test_start) if self.val_length is None else (N, end),
            "test": (test_start, N) if self.test_length is None else (end, len(self.ids)),
            "all": (0, len(self.ids)),
        }
        start, stop = bounds[name]
        return self.ids[start:stop]


def split_starts(characters: int, val_share: float, test_share: float) -> tuple[int, int]:
    """Return where the validation split and the test split of one text begin.

    Fractions are subtracted from 1 before the product is rounded down. A small number is added,
    which absorbs the rounding of floats. So 10 % are exactly the last 10 % of the characters.
    """
    spare = 1e-9 + 2e-16 * characters
    shares = 1 - val_share - test_share, 1 - test_share
    val_start, test_start = (int(characters * share + spare) for share in shares)
    return val_start, test_start
