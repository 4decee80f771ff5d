"""The fast path against the textbook's loop, automatic differentiation and finite differences."""

from collections.abc import Callable
from typing import Any, Literal

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from charnn.network.bptt import BPTT
from charnn.network.dropout import Dropout
from charnn.network.loss import SoftmaxCrossEntropy, log_softmax
from charnn.network.network import RNN, parameter_shapes
from charnn.network.parameters import Parameters
from charnn.network.products import Sums
from charnn.network.textbook import TextbookBPTT
from tests.helpers.reference import loop

Float = NDArray[np.float64]
K, H, T, B = 7, 5, 6, 3
CASES = [
    (layers, activation, dropout)
    for layers in (1, 2, 3)
    for activation in ("tanh", "relu")
    for dropout in (False, True)
]


def make_model(layers: int, activation: Any, *, away_from_kinks: bool = False) -> RNN:
    """Return a float64 model with every parameter, biases too, drawn at random."""
    model = RNN(K, H, layers, activation, np.float64)
    rng = np.random.default_rng(layers)
    for parameter in model.parameters.values():
        parameter[...] = rng.normal(0, 0.5, parameter.shape)
    if away_from_kinks:
        # Large biases of either sign: every unit is clearly on or clearly off.
        for layer in range(layers):
            model.parameters[f"b{layer}"][...] = 4 * rng.choice([-1, 1, 1], H)
    return model


def make_window(layers: int, steps: int = T) -> tuple[Any, Any, Float, Any]:
    """Return inputs, targets, an incoming state and dropout masks."""
    rng = np.random.default_rng(100 + layers)
    inputs, targets = rng.integers(0, K, (2, steps, B))
    return (
        inputs,
        targets,
        rng.normal(0, 0.3, (layers, B, H)),
        Dropout(0.3, (layers, B, H), np.float64, seed=1)(2),
    )


def relative(difference: NDArray[Any], gradient: NDArray[Any]) -> float:
    return float(np.linalg.norm(difference) / np.linalg.norm(gradient))


def oracle(
    model: RNN, inputs: Any, targets: Any, state: Float, masks: Float | None
) -> Callable[[Float], Any]:
    """Return the summed loss as a function of the flat parameters, for autograd."""
    shapes = parameter_shapes(K, H, model.num_layers)

    def loss(flat: Float) -> Any:
        p, start = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            p[name] = anp.reshape(flat[start : start + size], shape)
            start += size
        h = [state[layer] for layer in range(model.num_layers)]
        total = 0.0
        for t in range(len(inputs)):
            x = np.eye(K)[inputs[t]]
            for layer in range(model.num_layers):
                a = x @ p[f"U{layer}"].T + h[layer] @ p[f"W{layer}"].T + p[f"b{layer}"]
                h[layer] = anp.tanh(a) if model.activation == "tanh" else anp.maximum(a, 0)
                x = h[layer] if masks is None else h[layer] * masks[layer]
            o = x @ p["V"].T + p["c"]
            o = o - anp.max(o, axis=1, keepdims=True)
            log_y = o - anp.log(anp.sum(anp.exp(o), axis=1, keepdims=True))
            total = total - anp.sum(log_y * np.eye(K)[targets[t]])
        return total

    return loss


def fast_path(
    model: RNN, inputs: Any, targets: Any, state: Float, masks: Float | None, scale: float = 1.0
) -> tuple[float, Float, Parameters]:
    bptt = BPTT(model, T, B, dropout=masks is not None)
    after = state.copy()
    loss = bptt(inputs, targets, after, masks=masks, scale=scale)
    return loss, after, bptt.gradients


@pytest.mark.parametrize("steps", [T, 4], ids=["full", "ragged"])
@pytest.mark.parametrize(("layers", "activation", "dropout"), CASES)
def test_the_fast_path_equals_the_textbook_loop(
    layers: int, activation: str, dropout: bool, steps: int
) -> None:
    model = make_model(layers, activation)
    inputs, targets, state, masks = make_window(layers, steps)
    used = masks if dropout else None
    loss, after, gradients = fast_path(model, inputs, targets, state, used)
    expected = loop(model.parameters, activation, inputs, targets, state, used)
    assert loss == pytest.approx(expected.loss, abs=1e-10)
    np.testing.assert_allclose(after, expected.state, atol=1e-10, rtol=0)
    for name, gradient in expected.gradients.items():
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-10, rtol=0, err_msg=name)


@pytest.mark.parametrize("steps", [T, 4], ids=["full", "ragged"])
@pytest.mark.parametrize(("layers", "activation", "dropout"), CASES)
def test_gradients_equal_automatic_differentiation(
    layers: int, activation: str, dropout: bool, steps: int
) -> None:
    model = make_model(layers, activation, away_from_kinks=activation == "relu")
    inputs, targets, state, masks = make_window(layers, steps)
    used = masks if dropout else None
    _, _, gradients = fast_path(model, inputs, targets, state, used)
    expected = model.parameters_in(np.zeros(model.num_parameters))
    loss = oracle(model, inputs, targets, state, used)
    expected.flat[...] = autograd.grad(loss)(model.parameters.flat.copy())
    for name, gradient in expected.items():
        assert relative(gradients[name] - gradient, gradient) < 1e-7, name


@pytest.mark.parametrize(("layers", "activation", "dropout"), CASES)
def test_gradients_equal_central_differences(layers: int, activation: str, dropout: bool) -> None:
    model = make_model(layers, activation, away_from_kinks=activation == "relu")
    inputs, targets, state, masks = make_window(layers)
    used = masks if dropout else None
    _, _, gradients = fast_path(model, inputs, targets, state, used)
    numeric = model.parameters_in(np.zeros(model.num_parameters))
    theta, epsilon = model.parameters.flat, 1e-5
    for i, value in enumerate(theta.copy()):
        losses = []
        for shifted in (value + epsilon, value - epsilon):
            theta[i] = shifted
            losses.append(fast_path(model, inputs, targets, state, used)[0])
        theta[i] = value
        numeric.flat[i] = (losses[0] - losses[1]) / (2 * epsilon)
    for name, gradient in numeric.items():
        assert relative(gradients[name] - gradient, gradient) < 1e-5, name


@pytest.mark.parametrize(("layers", "activation", "dropout"), CASES)
def test_the_textbook_loop_of_the_package_is_the_same_mathematics(
    layers: int, activation: str, dropout: bool
) -> None:
    model = make_model(layers, activation)
    inputs, targets, state, masks = make_window(layers)
    used = masks if dropout else None
    loss, after, gradients = fast_path(model, inputs, targets, state, used, 0.25)
    textbook = TextbookBPTT(model)
    expected = textbook(inputs, targets, state, masks=used, scale=0.25)
    assert loss == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(state, after, atol=1e-12)
    np.testing.assert_allclose(textbook.gradients.flat, gradients.flat, atol=1e-12)


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
    bptt(inputs + half, targets, state.copy())  # leaves nothing behind for others and fewer
    for T in (steps, 2):
        expected = loop(model.parameters, "tanh", inputs[:T], targets[:T], state)
        loss = bptt(inputs[:T], targets[:T], state.copy())
        assert loss == pytest.approx(expected.loss, abs=1e-10)
        for name, gradient in expected.gradients.items():
            np.testing.assert_allclose(
                bptt.gradients[name], gradient, atol=1e-10, rtol=0, err_msg=name
            )


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
        sums.columns(da, ids[:, None], found, spare=np.full_like(da, np.nan))
        np.testing.assert_allclose(found, da.T @ np.eye(vocabulary)[ids], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.intp])
def test_character_ids_of_any_dtype_are_sorted(dtype: type[np.integer[Any]]) -> None:
    N, K, H = 2000, 70, 20  # places in the sorted order exceed what 16 bits hold
    assert N * K * H > 2 * 10**6
    rng = np.random.default_rng(0)
    ids, da = rng.integers(0, K, N).astype(dtype), rng.normal(size=(N, H))
    found = np.full((H, K), np.nan)
    Sums(N, K, H, da.dtype).columns(da, ids[:, None], found, spare=np.empty_like(da))
    np.testing.assert_allclose(found, da.T @ np.eye(K)[ids], atol=1e-12)


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
        assert relative(bptt.gradients[name] - gradient, gradient) < 1e-5, name


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
    """Reading in two windows gives the loss of reading in one; only the gradient is cut."""
    model = make_model(2, "tanh")
    inputs, targets, state, _ = make_window(2)
    whole = loop(model.parameters, "tanh", inputs, targets, state)
    carried = state.copy()
    bptt = BPTT(model, T, B)
    parts = sum(bptt(inputs[part], targets[part], carried) for part in (slice(0, 4), slice(4, T)))
    assert parts == pytest.approx(whole.loss, abs=1e-10)
    np.testing.assert_allclose(carried, whole.state, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_logits_are_those_of_the_textbook_loop(activation: Literal["tanh", "relu"]) -> None:
    model = make_model(2, activation)
    inputs, targets, state, _ = make_window(2)
    expected = loop(model.parameters, activation, inputs, targets, state)
    o = model.logits(inputs, state)
    log_y = log_softmax(o.reshape(T * B, K).copy())
    loss = -log_y[np.arange(T * B), targets.reshape(-1)].sum()
    assert loss == pytest.approx(expected.loss, abs=1e-10)
    np.testing.assert_allclose(state, expected.state, atol=1e-12)


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


def test_uniform_initialisation_is_bounded_by_the_fan_in_and_biases_are_zero() -> None:
    model = RNN(65, 128, 2)
    model.initialize("uniform", seed=3)
    for name, parameter in model.parameters.items():
        if parameter.ndim == 1:
            assert not parameter.any(), name
        else:
            bound = 1 / np.sqrt(parameter.shape[1])
            assert 0.98 * bound < np.abs(parameter).max() <= bound, name
            assert parameter.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_orthogonal_and_identity_shape_w_alone() -> None:
    for init in ("orthogonal", "identity"):
        model = RNN(65, 64, 2, dtype=np.float64)
        model.initialize(init, seed=3)
        for name in ("W0", "W1"):
            W = model.parameters[name]
            np.testing.assert_allclose(W @ W.T, np.eye(64), atol=1e-12)
            assert (init == "identity") == np.array_equal(W, np.eye(64))
        assert np.abs(model.parameters["U1"]).max() <= 1 / 8


def test_normal_initialisation_has_its_standard_deviation() -> None:
    model = RNN(65, 128)
    model.initialize("normal(0.01)", seed=3, std=0.01)
    for name in ("U0", "W0", "V"):
        assert model.parameters[name].std() == pytest.approx(0.01, rel=0.05)


def test_one_seed_gives_the_same_parameters_in_both_precisions() -> None:
    double, single = RNN(9, 8, dtype=np.float64), RNN(9, 8)
    for model in (double, single):
        model.initialize("orthogonal", seed=5)
    np.testing.assert_array_equal(double.parameters.flat.astype(np.float32), single.parameters.flat)


def test_dropout_drops_its_share_keeps_the_mean_and_belongs_to_the_stream() -> None:
    masks = Dropout(0.25, (2, 8, 2000), np.float32, seed=1)(7)
    assert set(np.unique(masks)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (masks == 0).mean() == pytest.approx(0.25, abs=0.01)
    fewer = Dropout(0.25, (2, 3, 2000), np.float32, seed=1, first_stream=5)
    np.testing.assert_array_equal(masks[:, 5:], fewer(7))
    assert (masks[:, 5:] != fewer(8)).any()
