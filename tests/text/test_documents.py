"""Documents: how a text is divided, split and packed."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from charnn.errors import CorpusError
from charnn.showing import BOUNDARY
from charnn.text import spool
from charnn.text.corpus import Corpus, SplitName
from charnn.text.documents import Divider, Documents
from charnn.text.streams import DocumentStreams

# --- dividing ------------------------------------------------------------------------------------


def divided(text: str, kind: str, *files: str) -> tuple[list[str], int]:
    """Return the documents of a text and further files, and the number of empty ones."""
    divider = Divider(kind)
    pieces = [text, *(piece for file in files for piece in (BOUNDARY, file))]
    found = "".join(divider.divide(pieces))
    assert found == "" or found.endswith(BOUNDARY)
    return found.split(BOUNDARY)[:-1], divider.empty


@pytest.mark.parametrize(
    ("kind", "text", "documents", "empty"),
    [
        ("lines", "emma\nolivia\n", ["emma", "olivia"], 0),
        ("lines", "emma\nolivia", ["emma", "olivia"], 0),
        ("lines", "\nemma\r\n\r\nava\rmia", ["emma", "ava", "mia"], 2),
        ("blank-lines", "a\nb\n\n\nc\n", ["a\nb", "c"], 0),
        ("blank-lines", "\r\n  a\r\nb\r\n \t\r\n  c\r\n\r\n", ["  a\nb", "  c"], 0),
        ("blank-lines", "\n\n\n", [], 0),
        ("text:<|>", "a\n<|>b<|><|>c<|", ["a\n", "b", "c<|"], 1),
        ("text:aab", "aaabx", ["a", "x"], 0),
        ("files", "a\n\nb\n", ["a\n\nb\n"], 0),
    ],
)
def test_a_text_is_divided(kind: str, text: str, documents: list[str], empty: int) -> None:
    assert divided(text, kind) == (documents, empty)


@pytest.mark.parametrize("kind", ["lines", "blank-lines", "files", "text:%"])
def test_a_file_s_end_ends_a_document(kind: str) -> None:
    assert divided("one", kind, "two\r", "three") == (
        ["one", "two\r" if kind in ("files", "text:%") else "two", "three"],
        0,
    )


def test_empty_files_are_counted() -> None:
    assert divided("one", "files", "", "two", "", "") == (["one", "two"], 3)


@example(" \r<", "blank-lines", [1])
@given(
    st.text("ab \t\r\n%<", max_size=30),
    st.sampled_from(["lines", "blank-lines", "files", "text:%<", "text:%%", "text:\n%\n"]),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_the_pieces_of_a_text_do_not_matter(text: str, kind: str, cuts: list[int]) -> None:
    whole, in_pieces = Divider(kind), Divider(kind)
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    expected = "".join(whole.divide([text]))
    assert "".join(in_pieces.divide(pieces)) == expected
    assert in_pieces.empty == whole.empty
    documents = expected.split(BOUNDARY)[:-1]
    assert all(documents)
    plain = re.sub("\r\n?", "\n", text)
    if kind == "lines":
        assert documents == [line for line in plain.split("\n") if line]
    if kind.startswith("text:"):
        assert documents == [part for part in text.split(kind[5:]) if part]
    if kind == "blank-lines":
        paragraphs = re.split(r"\n(?:[ \t]*\n)+", "\n\n" + plain + "\n\n")
        assert [d.strip() for d in documents if d.strip()] == [
            p.strip() for p in paragraphs if p.strip()
        ]


# --- in a corpus ---------------------------------------------------------------------------------

NAMES = [f"{a}{b}{c}" for a in "abcdefghij" for b in "klmno" for c in ("", "p", "pq")]  # 150


def corpus_of(names: list[str], **options: Any) -> Corpus:
    return Corpus.from_text("\n".join(names), documents="lines", **options)


def documents_of(corpus: Corpus, split: SplitName) -> list[str]:
    text = corpus.vocabulary.decode(corpus.split(split))
    assert text == "" or text[0] == text[-1] == BOUNDARY
    return text.split(BOUNDARY)[1:-1]


def test_the_boundary_is_one_more_character_and_the_separator_is_gone() -> None:
    corpus = corpus_of(["ab", "b"])
    assert corpus.vocabulary.characters == "ab" + BOUNDARY
    assert corpus.vocabulary.boundary == 2
    assert corpus.ids.tolist() == [2, 0, 1, 2, 1, 2]
    assert Corpus.from_text("ab\nb").vocabulary.boundary is None


@given(st.floats(0, 0.4), st.floats(0, 0.4), st.integers(0, 9))
def test_documents_are_split_at_random_by_the_seed(val: float, test: float, seed: int) -> None:
    corpus = corpus_of(NAMES, val_fraction=val, test_fraction=test, split_seed=seed)
    parts = [documents_of(corpus, split) for split in ("train", "val", "test")]
    assert sorted([*parts[0], *parts[1], *parts[2]]) == sorted(NAMES)
    for part, share in zip(parts[1:], (val, test), strict=True):
        assert len(part) == max(int(share * len(NAMES) + 1e-9), share > 0)
        assert part == [name for name in NAMES if name in part]  # in the order of the text
    again = corpus_of(NAMES).divided(val, test, seed)
    np.testing.assert_array_equal(again.sides, corpus.sides)
    if val > 0.1:
        assert documents_of(corpus.divided(val, test, seed + 1), "val") != parts[1]


@given(st.lists(st.sampled_from(["ann", "nan", "an", "na", "bob"]), min_size=6, max_size=40))
def test_equal_documents_are_on_one_side(names: list[str]) -> None:
    assume(len(set(names)) >= 3)
    try:
        corpus = corpus_of(names).divided(0.2, 0.2)
    except CorpusError as error:
        assert "different) leave none for the" in str(error)  # noqa: PT017
        return
    for side, most in ((1, 0.2), (2, 0.2)):
        held = int((corpus.sides == side).sum())
        assert (
            held <= most * len(names)
            or len({n for n, s in zip(names, corpus.sides, strict=True) if s == side}) == 1
        )
    assert corpus.documents is not None
    assert len(set(corpus.documents.contents.tolist())) == len(set(names))
    for name in set(names):
        sides = {side for n, side in zip(names, corpus.sides.tolist(), strict=True) if n == name}
        assert len(sides) == 1


def test_a_validation_text_of_its_own_is_divided_likewise() -> None:
    corpus = corpus_of(["ab", "b", "a"], val_text="bb\na\n", test_text="aa")
    assert documents_of(corpus, "train") == ["ab", "b", "a"]
    assert documents_of(corpus, "val") == ["bb", "a"]
    assert documents_of(corpus, "test") == ["aa"]


def test_long_texts_are_compared_and_gathered_block_by_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [*NAMES, *NAMES[:20], "x" * 50]
    whole = corpus_of(names).divided(0.2, 0.1)
    for part in ("blocks.BLOCK", "documents._BLOCK"):
        monkeypatch.setattr(f"charnn.text.{part}", 7)
    monkeypatch.setattr(spool, "IN_MEMORY", 64)
    blockwise = corpus_of(names).divided(0.2, 0.1)
    assert whole.documents is not None
    assert blockwise.documents is not None
    np.testing.assert_array_equal(blockwise.documents.contents, whole.documents.contents)
    for split in ("train", "val", "test"):
        assert documents_of(blockwise, split) == documents_of(whole, split)
    assert whole.has_fingerprint(blockwise.fingerprint)


# --- streams -------------------------------------------------------------------------------------


@st.composite
def packed(draw: st.DrawFn) -> DocumentStreams:
    lengths = draw(st.lists(st.integers(1, 12), min_size=2, max_size=12))
    text = np.concatenate([[0], *([*range(1, n), 0] for n in lengths)]).astype(np.uint8)
    documents = Documents.found(text, 0)
    B = draw(st.integers(1, min(4, sum(lengths))))
    return DocumentStreams(text, B, draw(st.integers(1, 9)), documents=documents, seed=3)


@given(packed())
def test_an_epoch_reads_each_document_once_after_a_reset(streams: DocumentStreams) -> None:
    T, B = streams.seq_length, streams.batch_size
    orders = []
    for epoch in range(2):
        rows = []
        for step in range(streams.steps_per_epoch):
            inputs, targets = np.full((2, T, B), 99)
            resets = np.ones((T, B), bool)
            number = epoch * streams.steps_per_epoch + step
            anywhere = streams.read(number, inputs, targets, resets)
            length = streams.length(number)
            begins = inputs[:length] == 0
            if step == 0:
                begins[0] = True
            np.testing.assert_array_equal(resets[:length], begins)
            assert anywhere == begins.any()
            rows.append(np.stack([inputs, targets], axis=2)[:length])
        # The streams, one after another, hold whole documents, each 0 1 2 … 0. The ends of a stream
        # may cut a document.
        series = np.concatenate(rows).swapaxes(0, 1).reshape(-1, 2)
        same = (series[1:, 0] == series[:-1, 1]).sum()
        assert same >= len(series) - 1 - (B - 1)
        assert len(series) == streams.stream_length * B > streams.predictions - B
        whole = np.sort(np.diff(np.flatnonzero(np.append(series[:, 0], 0) == 0)))
        assert len(np.flatnonzero(series[:, 0] == 0)) >= len(streams.documents) - (B - 1)
        assert whole.max(initial=0) <= streams.documents.lengths.max() + 12
        orders.append(series.tolist())
    if len(set(streams.documents.lengths.tolist())) > 6:
        assert orders[0] != orders[1]


def test_workers_read_their_streams_of_the_same_order() -> None:
    text = np.array([0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 0], np.uint8)
    streams = DocumentStreams(text, 3, 2, documents=Documents.found(text, 0), seed=1)
    whole, part = np.zeros((2, 3), np.intp), np.zeros((2, 2), np.intp)
    for step in (0, 3, 1):
        streams.read(step, whole, whole.copy(), np.zeros((2, 3), bool))
        streams.read(step, part, part.copy(), np.zeros((2, 2), bool), slice(1, 3))
        np.testing.assert_array_equal(part, whole[:, 1:])
