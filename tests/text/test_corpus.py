"""A corpus: its splits and its vocabulary."""

import typing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.errors import CorpusError
from charnn.text.corpus import Corpus, SplitName, split_starts
from charnn.text.encoding import UnknownCharactersError
from charnn.text.vocabulary import Vocabulary


@given(st.integers(20, 3000))
def test_ninety_and_ten_percent_are_the_usual_slices(n: int) -> None:
    text = "ab" * (n // 2) + "c" * (n % 2)
    corpus = Corpus.from_text(text, val_fraction=0.1)
    decode = corpus.vocabulary.decode
    assert decode(corpus.split("train")) == text[: int(n * 0.9)]
    assert decode(corpus.split("val")) == text[int(n * 0.9) :]
    assert len(corpus.split("test")) == 0


@given(st.integers(200, 500), st.floats(0.01, 0.4), st.floats(0.01, 0.4))
def test_the_splits_lie_side_by_side_and_cover_the_text(n: int, val: float, test: float) -> None:
    text = "".join(map(chr, range(n)))
    corpus = Corpus.from_text(text, val_fraction=val, test_fraction=test)
    parts = [corpus.split("train"), corpus.split("val"), corpus.split("test")]
    assert np.concatenate(parts).tolist() == corpus.ids.tolist() == corpus.split("all").tolist()
    assert len(parts[1]) == pytest.approx(n * val, abs=1)
    assert len(parts[2]) == pytest.approx(n * test, abs=1)


def test_the_vocabulary_is_of_all_splits_unless_it_is_given() -> None:
    text = "ab" * 45 + "cd" * 5
    assert Corpus.from_text(text, val_fraction=0.1).vocabulary.characters == "abcd"
    assert Corpus.from_text("abab", vocabulary=Vocabulary("xab")).ids.tolist() == [0, 1, 0, 1]
    with pytest.raises(UnknownCharactersError):
        Corpus.from_text("abc", vocabulary=Vocabulary("ab"))


@pytest.mark.parametrize(
    ("text", "val", "test", "message"),
    [
        ("", 0.0, 0.0, "the text is empty; predicting takes at least 2 characters"),
        ("a", 0.0, 0.0, "the text holds one character; "),
        ("aa", 0.1, 0.0, "2 characters leave 1 for the train split; "),
        ("a" * 10, 0.1, 0.0, "10 characters leave 1 for the val split; "),
        ("a" * 10, 0.2, 0.1, "10 characters leave 1 for the test split; "),
    ],
)
def test_a_text_too_short_to_predict_from_is_refused(
    text: str, val: float, test: float, message: str
) -> None:
    with pytest.raises(CorpusError) as caught:
        Corpus.from_text(text, val_fraction=val, test_fraction=test)
    assert str(caught.value).startswith(message)


def test_texts_of_their_own_validate_and_test() -> None:
    corpus = Corpus.from_text(
        ["abca", "bcab"], val_text="xyz", test_text=["t", "u"], val_fraction=0.5, test_fraction=0.1
    )
    parts = {
        name: corpus.vocabulary.decode(corpus.split(name)) for name in typing.get_args(SplitName)
    }
    whole = {"train": "abcabcab", "val": "xyz", "test": "tu", "all": "abcabcabxyztu"}
    assert parts == whole
    assert corpus.divided(0.2, 0.2).split("val").tolist() == corpus.split("val").tolist()


def test_one_text_of_its_own_leaves_the_other_split_as_it_was() -> None:
    corpus = Corpus.from_text("0123456789", test_text="xyz", val_fraction=0.2, test_fraction=0.5)
    read = corpus.vocabulary.decode
    assert [read(corpus.split(n)) for n in ("train", "val", "test")] == ["01234567", "89", "xyz"]


def test_a_validation_text_of_one_character_is_refused() -> None:
    with pytest.raises(CorpusError, match="the val text has 1 of the 2 characters it needs"):
        Corpus.from_text("abcabc", val_text="a")


@pytest.mark.parametrize("exponent", range(3, 13))
def test_fractions_are_exact_at_any_length(exponent: int) -> None:
    N = 10**exponent
    assert split_starts(N, 0.05, 0.05) == (N * 90 // 100, N * 95 // 100)
    assert split_starts(N, 0.1, 0.1) == (N * 80 // 100, N * 90 // 100)
    assert split_starts(N, 0.1, 0.0) == (N * 90 // 100, N)
