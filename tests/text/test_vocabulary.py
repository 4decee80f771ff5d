"""The vocabulary: characters to ids and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnn.errors import CorpusError
from charnn.text.vocabulary import Vocabulary

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(TEXTS)
def test_the_vocabulary_is_the_sorted_distinct_code_points(text: str) -> None:
    vocabulary = Vocabulary(text)
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert len(vocabulary) == len(set(text))
    assert all(character in vocabulary for character in text)
    assert vocabulary == Vocabulary(text[::-1])
    assert hash(vocabulary) == hash(Vocabulary(text[::-1]))
    assert vocabulary != Vocabulary(text + next(c for c in map(chr, range(99)) if c not in text))


@given(TEXTS)
def test_any_text_survives_encoding_and_decoding(text: str) -> None:
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    assert ids.tolist() == [vocabulary.characters.index(character) for character in text]
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(ids.tolist()) == text


@pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_ids_take_as_few_bytes_as_they_can(size: int, dtype: type) -> None:
    text = "".join(map(chr, range(size)))
    ids = Vocabulary(text).encode(text)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(size))


@settings(max_examples=50)
@given(st.integers(1, 7), st.integers(1, 20), st.integers(0, 2**32), st.booleans())
def test_a_column_of_u_is_u_times_a_one_hot_vector(K: int, N: int, seed: int, single: bool) -> None:
    rng = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    U = (rng.normal(size=(5, K)) * 10.0 ** rng.integers(-20, 20, (5, K))).astype(dtype)
    ids = rng.integers(0, K, N)
    one_hot = Vocabulary("abcdefg"[:K]).one_hot(ids, dtype)
    assert one_hot.shape == (N, K)
    assert one_hot.dtype == dtype
    assert np.array_equal(one_hot @ U.T, U[:, ids].T)


def test_one_hot_keeps_the_shape_of_the_ids() -> None:
    assert Vocabulary("abc").one_hot(np.array([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]


@given(TEXTS, TEXTS)
def test_unknown_characters_can_be_skipped(known: str, text: str) -> None:
    vocabulary = Vocabulary(known)
    ids = vocabulary.encode(text, unknown="skip")
    assert vocabulary.decode(ids) == "".join(c for c in text if c in set(known))


def test_a_vocabulary_of_nothing_is_refused() -> None:
    with pytest.raises(CorpusError, match="at least one character"):
        Vocabulary("")
