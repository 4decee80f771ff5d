"""The softmax cross-entropy and its gradient, for any logits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.network.loss import SoftmaxCrossEntropy, log_softmax


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=9), st.data())
def test_the_loss_and_its_gradient_survive_any_logits(logits: list[float], data: Any) -> None:
    target = data.draw(st.integers(0, len(logits) - 1))
    o = np.array([logits])
    expected = log_softmax(o.copy())
    loss = SoftmaxCrossEntropy(1, len(logits), o.dtype)(o, np.array([target]))
    assert loss == pytest.approx(-expected[0, target], rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(o[0], np.exp(expected[0]) - np.eye(len(logits))[target], atol=1e-9)


@pytest.mark.parametrize("level", [-100, -87, -79.9, -59, 59, 79.9, 85, 100])
def test_a_softmax_over_many_characters_does_not_overflow_in_float32(level: float) -> None:
    K, scale = 10_000, 1 / 2048
    o = np.full((2, K), level, np.float32)
    loss = SoftmaxCrossEntropy(2, K, o.dtype)(o, np.array([0, 1]), scale)
    assert loss == pytest.approx(2 * np.log(K), rel=1e-5)
    np.testing.assert_allclose(o, scale * (1 / K - np.eye(2, K)), rtol=1e-5)


def test_a_softmax_takes_large_and_small_rows_together_and_fewer_than_it_has_room_for() -> None:
    o = np.array([[1.0, 2.0, 500.0], [0.5, 0.0, -1.0]])
    expected = log_softmax(o.copy())
    loss = SoftmaxCrossEntropy(9, 3, o.dtype)(o, np.array([1, 0]))
    assert loss == pytest.approx(-expected[0, 1] - expected[1, 0])
    np.testing.assert_allclose(o, np.exp(expected) - np.eye(3)[[1, 0]], atol=1e-12)


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_makes_no_finite_loss(wild: float) -> None:
    o = np.array([[0.5, 0.0, -1.0], [1.0, wild, 2.0]], np.float32)
    with np.errstate(all="ignore"):
        loss = SoftmaxCrossEntropy(2, 3, o.dtype)(o, np.array([1, 1]))
    assert not np.isfinite(loss)


def test_the_loss_of_a_certain_character_is_not_below_zero() -> None:
    levels = np.random.default_rng(0).normal(0, 1, (200, 1)).astype(np.float32)
    for level in levels:
        assert SoftmaxCrossEntropy(1, 1, level.dtype)(level[None].copy(), np.array([0])) >= 0
