"""The counting models against plain loops that predict, then count."""

import lzma
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.baselines import bigram_bits, unigram_bits, xz_bits


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60))
def test_the_counting_models_are_those_of_a_loop(symbols: list[int]) -> None:
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
    assert unigram_bits(ids, K) == pytest.approx(unigram / (len(ids) - 1))
    assert bigram_bits(ids, K) == pytest.approx(bigram / (len(ids) - 1))


def test_xz_counts_bits_per_character_and_not_per_byte() -> None:
    text = "né" * 500
    assert (
        xz_bits(text)
        == 8 * len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)) / 1000
    )
