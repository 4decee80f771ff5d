"""The distribution that characters are drawn from: temperature, top-k and top-p."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from charnn.sampling import Sampling, probabilities

LOGITS = arrays(np.float32, (2, 6), elements=st.floats(-30, 30, width=32))
TOP_P = st.floats(0.01, 1) | st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 1.0])


@given(LOGITS, st.floats(0.05, 20))
def test_probabilities_are_the_softmax_of_logits_over_temperature(
    o: NDArray[np.float32], temperature: float
) -> None:
    before = o.copy()
    p = probabilities(o, Sampling(temperature=temperature))
    # The ratios give these: log p_i − log p_j = (o_i − o_j) / temperature.
    with np.errstate(over="ignore"):
        exact = [[sum(np.exp((row - own) / temperature)) for own in row] for row in o.astype(float)]
    assert np.allclose(p, 1 / np.array(exact), rtol=1e-9)
    assert p.dtype == np.float64
    assert np.array_equal(o, before)


@given(
    arrays(np.float32, (2, 6), elements=st.floats(-(2.0**127), 2.0**127, width=32)),
    st.floats(5e-324, 1e300),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(5e-324, 1),
)
def test_the_most_extreme_logits_and_settings_still_give_probabilities(
    o: NDArray[np.float32], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    # Warnings, for instance of overflow, are errors here.
    p = probabilities(o, Sampling(temperature=temperature, top_k=top_k, top_p=top_p))
    assert (p >= 0).all()
    assert np.allclose(p.sum(axis=1), 1)


@given(arrays(np.float32, (2, 6), elements=st.integers(-30, 30)))
def test_a_temperature_near_zero_leaves_only_the_most_probable(o: NDArray[np.float32]) -> None:
    p = probabilities(o, Sampling(temperature=1e-12))
    best = o == o.max(axis=1, keepdims=True)
    assert np.allclose(p, best / best.sum(axis=1, keepdims=True))


@given(LOGITS, st.floats(0.05, 20) | st.just(1e20))
def test_top_1_is_greedy_at_any_temperature(o: NDArray[np.float32], temperature: float) -> None:
    p = probabilities(o, Sampling(temperature=temperature, top_k=1))
    assert p.tolist() == np.eye(6)[o.argmax(axis=1)].tolist()


@given(LOGITS, st.integers(1, 8))
def test_top_k_keeps_the_k_most_probable_in_proportion(o: NDArray[np.float32], k: int) -> None:
    p = probabilities(o, Sampling())
    for logits, row, whole in zip(o, probabilities(o, Sampling(top_k=k)), p, strict=True):
        ranking = np.argsort(-logits, kind="stable")
        expected = np.zeros(6)
        expected[ranking[:k]] = whole[ranking[:k]] / whole[ranking[:k]].sum()
        assert np.allclose(row, expected, rtol=1e-12)
        assert np.array_equal(row > 0, expected > 0)


@given(LOGITS, TOP_P)
def test_top_p_keeps_the_smallest_set_whose_mass_reaches_p(
    o: NDArray[np.float32], top_p: float
) -> None:
    for row, whole in zip(
        probabilities(o, Sampling(top_p=top_p)), probabilities(o, Sampling()), strict=True
    ):
        kept = np.flatnonzero(row)
        mass = whole[kept].sum()
        assert np.allclose(row[kept], whole[kept] / mass)
        # Brute force tries all sets. Rounding may count a set that is just short of p.
        reaching = [
            members
            for size in range(1, 7)
            for members in itertools.combinations(range(6), size)
            if whole[list(members)].sum() >= top_p - 1e-12
        ]
        assert mass >= top_p - 1e-12
        smallest = min(map(len, reaching))
        strictly = min(
            (len(m) for m in reaching if whole[list(m)].sum() >= top_p + 1e-12), default=6
        )
        assert smallest <= len(kept) <= strictly
        assert min(whole[kept]) >= max(np.delete(whole, kept), default=0)


def test_ties_keep_the_smaller_ids() -> None:
    assert probabilities(np.zeros((1, 4)), Sampling(top_k=2)).tolist() == [[0.5, 0.5, 0, 0]]
    assert probabilities(np.zeros((1, 4)), Sampling(top_p=0.5)).tolist() == [[0.5, 0.5, 0, 0]]


def test_top_p_measures_what_top_k_has_left() -> None:
    o = np.log(np.array([[0.4, 0.3, 0.2, 0.1]]))
    # Top-k leaves 4/7 and 3/7, and the first alone reaches half.
    assert probabilities(o, Sampling(top_k=2, top_p=0.5)).tolist() == [[1, 0, 0, 0]]
    assert np.count_nonzero(probabilities(o, Sampling(top_p=0.5))) == 2
