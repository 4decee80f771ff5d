"""The counting models equal plain loops that first predict, then count."""

import lzma
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn import baselines
from charnn.baselines import counting_bits, unigram_entropy, xz_bits
from charnn.text.corpus import Corpus


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(1, 70))
def test_the_counting_models_are_those_of_a_loop(symbols: list[int], stretch: int) -> None:
    K = 5
    seen, pairs, contexts = Counter[int](), Counter[tuple[int, int]](), Counter[int]()
    unigram = bigram = 0.0
    for t, symbol in enumerate(symbols):
        if t > 0:
            before = symbols[t - 1]
            p = (seen[symbol] + 1) / (t + K)
            unigram -= math.log2(p)
            bigram -= math.log2((pairs[before, symbol] + p) / (contexts[before] + 1))
            pairs[before, symbol] += 1
            contexts[before] += 1
        seen[symbol] += 1
    ids = np.array(symbols, dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_BLOCK", stretch)
        assert counting_bits(ids, K) == pytest.approx(
            (unigram / (len(ids) - 1), bigram / (len(ids) - 1))
        )


@pytest.mark.parametrize("stretch", [7, 1000])
def test_xz_counts_bits_per_character_and_not_per_byte(
    stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "_BLOCK", stretch)
    text = "né" * 500
    corpus = Corpus.from_text(text)
    packed = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    assert xz_bits(corpus.ids, corpus.vocabulary) == 8 * len(packed) / 1000


def test_the_unigram_entropy_of_a_very_long_text_is_that_of_stretches_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(baselines, "_BLOCK", 10)
    ids = np.resize(np.array([0, 1, 2, 5], np.uint8), 5000)
    assert unigram_entropy(ids, 6) == pytest.approx(math.log(4), abs=0.01)


def test_the_unigram_entropy_of_four_even_characters_is_ln_4() -> None:
    ids = np.array([0, 1, 2, 5] * 10, dtype=np.uint8)
    assert unigram_entropy(ids, 6) == pytest.approx(np.log(4))
