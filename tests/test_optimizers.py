"""Every update rule equals its formula, written with new arrays."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from charnn.config.keys import TrainingConfig
from charnn.optimizers import Average, clip, learning_rate_at, make_optimizer

Float = NDArray[np.float64]
Rule = Callable[[Float, list[Float]], Float]


def sgd(theta: Float, gradients: list[Float]) -> Float:
    v = np.zeros_like(theta)
    for g in gradients:
        v = 0.8 * v + g
        theta = theta - 0.05 * v
    return theta


def adagrad(theta: Float, gradients: list[Float]) -> Float:
    s = np.zeros_like(theta)
    for g in gradients:
        s = s + g**2
        theta = theta - 0.05 * g / np.sqrt(s + 1e-6)
    return theta


def rmsprop(theta: Float, gradients: list[Float]) -> Float:
    s = np.zeros_like(theta)
    for g in gradients:
        s = 0.95 * s + 0.05 * g**2
        theta = theta - 0.05 * g / (np.sqrt(s) + 1e-6)
    return theta


def adam(theta: Float, gradients: list[Float]) -> Float:
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = 0.85 * m + 0.15 * g
        v = 0.99 * v + 0.01 * g**2
        m_hat, v_hat = m / (1 - 0.85**t), v / (1 - 0.99**t)
        theta = theta - 0.05 * m_hat / (np.sqrt(v_hat) + 1e-6)
    return theta


@pytest.mark.parametrize("rule", [sgd, adagrad, rmsprop, adam], ids=lambda rule: rule.__name__)
def test_ten_updates_follow_the_formula(rule: Rule) -> None:
    config = TrainingConfig.model_validate(
        {
            "optimizer": rule.__name__,
            "momentum": 0.8,
            "alpha": 0.95,
            "beta1": 0.85,
            "beta2": 0.99,
            "eps": 1e-6,
        }
    )
    rng = np.random.default_rng(0)
    theta = rng.normal(size=50)
    gradients = [rng.normal(size=50) * 10.0 ** rng.integers(-6, 3, 50) for _ in range(10)]
    expected = rule(theta.copy(), gradients)
    optimizer = make_optimizer(config, theta)
    for step, g in enumerate(gradients, start=1):
        optimizer.update(theta, g.copy(), 0.05, step)
    np.testing.assert_allclose(theta, expected, rtol=1e-10)


@pytest.mark.parametrize("size", [3, 70_000], ids=["small", "several blocks"])
def test_the_average_weighs_each_step_by_a_power_of_the_decay(size: int) -> None:
    thetas = np.random.default_rng(0).normal(size=(9, size))
    mean = np.full(size, 7.0)
    average = Average(mean, 0.8)
    for step, theta in enumerate(thetas, start=1):
        average.update(theta, step)
        weights = 0.8 ** np.arange(step)[::-1]
        expected = weights @ thetas[:step] / weights.sum()
        np.testing.assert_allclose(mean, expected, rtol=1e-12, atol=1e-14)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(0.1, 100))
def test_clipping_by_norm_shortens_and_never_turns(values: list[float], limit: float) -> None:
    g = np.array(values)
    before = g.copy()
    norm, clipped = clip(g, limit, None)
    assert norm == pytest.approx(np.linalg.norm(before))
    assert clipped == (norm > limit)
    assert np.linalg.norm(g) <= limit * (1 + 1e-12)
    np.testing.assert_allclose(g * max(norm, limit), before * limit, atol=1e-6)


def test_clipping_by_element_limits_each_on_its_own() -> None:
    g = np.array([-7.0, -5.0, 0.5, 5.1])
    norm, clipped = clip(g, None, 5.0)
    assert norm == pytest.approx(math.sqrt(49 + 25 + 0.25 + 26.01))
    assert clipped
    np.testing.assert_array_equal(g, [-5.0, -5.0, 0.5, 5.0])
    assert not clip(g, None, 5.0)[1]


def schedule(**keys: object) -> list[float]:
    config = TrainingConfig.model_validate({"learning_rate": 0.1, **keys})
    return [learning_rate_at(config, step, 100) for step in range(101)]


def test_warm_up_rises_in_equal_steps_to_the_learning_rate() -> None:
    rates = schedule(schedule="constant", warmup_steps=10)
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 0.01)
    assert rates[10:] == [0.1] * 91


def test_cosine_falls_from_the_learning_rate_to_the_minimum() -> None:
    rates = schedule(schedule="cosine", warmup_steps=20, min_learning_rate=0.02)
    assert rates[20] == 0.1
    assert rates[60] == pytest.approx(0.06)
    assert rates[100] == pytest.approx(0.02)
    assert all(a > b for a, b in pairwise(rates[20:]))


def test_step_multiplies_by_gamma_every_step_size() -> None:
    rates = schedule(schedule="step", step_size=30, gamma=0.5)
    assert rates[29:31] == [0.1, 0.05]
    assert rates[90] == pytest.approx(0.0125)
