"""Large matrix products and sums of columns."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.network.products import Sums, times


@given(st.data(), st.integers(1, 40), st.integers(1, 30), st.booleans())
def test_the_sums_of_columns_are_a_product_with_one_hot_vectors(
    data: Any, rows: int, vocabulary: int, by_sorting: bool
) -> None:
    H = 2 * 10**6 // (rows * vocabulary) + 1 if by_sorting and rows * vocabulary > 99 else 2
    characters = st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=rows)
    sums = Sums(rows, vocabulary, H, np.float64)
    for dtype in (np.uint8, np.intp):
        ids: Any = np.array(data.draw(characters), dtype)
        da = np.random.default_rng(0).normal(size=(len(ids), H))
        found = np.full((H, vocabulary), np.nan)
        sums.sort(ids[:, None])
        sums.columns(da, found, spare=np.full_like(da, np.nan))
        np.testing.assert_allclose(found, da.T @ np.eye(vocabulary)[ids], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.intp])
def test_character_ids_of_any_dtype_are_sorted(dtype: type[np.integer[Any]]) -> None:
    N, K, H = 2000, 70, 20  # the sort keys exceed what 16 bits hold
    assert N * K * H > 2 * 10**6
    rng = np.random.default_rng(0)
    ids, da = rng.integers(0, K, N).astype(dtype), rng.normal(size=(N, H))
    found = np.full((H, K), np.nan)
    sums = Sums(N, K, H, da.dtype)
    sums.sort(ids[:, None])
    sums.columns(da, found, spare=np.empty_like(da))
    np.testing.assert_allclose(found, da.T @ np.eye(K)[ids], atol=1e-12)


@pytest.mark.parametrize("B", [1, 2, 16, 25, 32, 64])
@pytest.mark.parametrize("H", [5, 96, 100, 128, 200, 256, 384])
def test_times_is_the_product(H: int, B: int) -> None:
    rng = np.random.default_rng(H)
    A = rng.normal(size=(H, H))
    first, second = rng.normal(size=(2, H) if B == 1 else (2, B, H))
    for matrix in (A, A.T):
        product = times(matrix, B)
        for x in (first, second):
            out = np.empty_like(x)
            product(x, out)
            np.testing.assert_allclose(out, x @ matrix, rtol=0, atol=1e-12 * H)
