"""Consecutive windows, their scale and precision, and large windows against the textbook loop.

test_gradients.py compares small windows with automatic differentiation.
"""

import numpy as np
import pytest

from charnn.network.bptt import BPTT
from charnn.network.dropout import Dropout
from charnn.network.network import RNN
from tests.helpers.networks import (
    B,
    H,
    K,
    T,
    fast_path,
    make_model,
    make_window,
    relative,
)
from tests.helpers.textbook import loop


def test_the_scale_is_of_the_gradient_and_not_of_the_loss() -> None:
    model = make_model(2, "tanh")
    inputs, targets, state, _ = make_window(2)
    whole_loss, _, whole = fast_path(model, inputs, targets, state, None)
    scaled_loss, _, scaled = fast_path(model, inputs, targets, state, None, 0.1)
    assert whole_loss == scaled_loss
    np.testing.assert_allclose(scaled.flat, 0.1 * whole.flat, rtol=1e-12, atol=1e-15)


def test_a_window_long_enough_to_sort_its_characters_equals_the_textbook_loop() -> None:
    steps, streams, vocabulary, size = 5, 9, 70, 640
    assert steps * streams * vocabulary * size > 2 * 10**6
    rng = np.random.default_rng(2)
    model = RNN(vocabulary, size, dtype=np.float64)
    model.initialize("uniform", seed=1)
    half = vocabulary // 2
    inputs, targets = rng.integers(0, half, (2, steps, streams))
    state = rng.normal(0, 0.3, (1, streams, size))
    bptt = BPTT(model, steps, streams)
    bptt(
        inputs + half, targets, state.copy()
    )  # a window with other characters before it must change nothing
    for length in (steps, 2):
        expected = loop(model.parameters, "tanh", inputs[:length], targets[:length], state)
        loss = bptt(inputs[:length], targets[:length], state.copy())
        assert loss == pytest.approx(expected.loss, abs=1e-10)
        for name, gradient in expected.gradients.items():
            np.testing.assert_allclose(
                bptt.gradients[name], gradient, atol=1e-10, rtol=0, err_msg=name
            )


def test_float32_follows_float64() -> None:
    model = make_model(2, "tanh")
    single = RNN(K, H, 2, "tanh", np.float32)
    single.parameters.flat[...] = model.parameters.flat
    inputs, targets, state, _ = make_window(2)
    expected = loop(model.parameters, "tanh", inputs, targets, state)
    bptt = BPTT(single, T, B)
    loss = bptt(inputs, targets, state.astype(np.float32))
    assert bptt.gradients.flat.dtype == np.float32
    assert loss == pytest.approx(expected.loss, rel=1e-5)
    for name, gradient in expected.gradients.items():
        assert relative(bptt.gradients[name], gradient) < 1e-5, name


def test_a_window_leaves_nothing_behind_for_the_next() -> None:
    model = make_model(2, "tanh")
    inputs, targets, state, masks = make_window(2)
    bptt = BPTT(model, T, B, dropout=True)
    bptt(inputs, targets, state.copy(), masks=masks)
    bptt(inputs[:4], targets[:4], state.copy(), masks=masks)
    fresh = BPTT(model, T, B, dropout=True)
    fresh(inputs[:4], targets[:4], state.copy(), masks=masks)
    np.testing.assert_array_equal(bptt.gradients.flat, fresh.gradients.flat)


def test_the_state_carries_the_past_across_windows() -> None:
    """Two windows give the same loss as one long window. Only the gradient is cut."""
    model = make_model(2, "tanh")
    inputs, targets, state, _ = make_window(2)
    whole = loop(model.parameters, "tanh", inputs, targets, state)
    carried = state.copy()
    bptt = BPTT(model, T, B)
    parts = sum(bptt(inputs[part], targets[part], carried) for part in (slice(0, 4), slice(4, T)))
    assert parts == pytest.approx(whole.loss, abs=1e-10)
    np.testing.assert_allclose(carried, whole.state, atol=1e-12)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize(("H", "B"), [(96, 3), (256, 17), (640, 3)])
def test_a_model_large_enough_for_blocks_equals_the_textbook_loop(
    H: int, B: int, dropout: bool
) -> None:
    L, T, K = 2, 4, 9
    rng = np.random.default_rng(H)
    model = RNN(K, H, L, "tanh", np.float64)
    model.parameters.flat[...] = rng.normal(0, H**-0.5, model.num_parameters)
    inputs, targets = rng.integers(0, K, (2, T, B))
    state = rng.normal(0, 0.3, (L, B, H))
    masks = Dropout(0.3, (L, B, H), np.float64, seed=1)(2) if dropout else None
    expected = loop(model.parameters, "tanh", inputs, targets, state, masks)
    bptt = BPTT(model, T, B, dropout=dropout)
    assert bptt(inputs, targets, state, masks=masks) == pytest.approx(expected.loss, abs=1e-10)
    np.testing.assert_allclose(state, expected.state, atol=1e-10, rtol=0)
    for name, gradient in expected.gradients.items():
        np.testing.assert_allclose(bptt.gradients[name], gradient, atol=1e-10, rtol=0, err_msg=name)
