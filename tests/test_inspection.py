"""What is seen inside a model, against automatic differentiation, `evaluate` and known texts."""

import random
from pathlib import Path
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import charnn
from charnn.config import Config
from charnn.corpus import Corpus
from charnn.errors import DivergenceError, RequestError
from charnn.evaluation import evaluate
from charnn.inspection import GradientFlow, Inspection, features, gradient_flow, read, units
from charnn.model import RNN, Activation
from charnn.training import Trainer
from tests.texts import english

K, H, N = 7, 6, 40


def make_model(layers: int, activation: Activation = "tanh", scale: float = 1.0) -> RNN:
    model = RNN(K, H, layers, activation, np.float64)
    model.initialize("uniform", seed=layers)
    model.parameters.flat[...] *= scale
    return model


def make_ids() -> Any:
    return np.random.default_rng(4).integers(0, K, N).astype(np.uint8)


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 3])
def test_surprisals_sum_to_the_exact_loss_and_ranks_and_expectations_are_those_of_the_logits(
    layers: int,
) -> None:
    model, ids = make_model(layers, scale=3), make_ids()
    reading = read(model, ids, 3)
    assert reading.bits[1:].mean() == pytest.approx(evaluate(model, ids).bits_per_char, rel=1e-12)
    assert np.isnan(reading.bits[0])
    o = model.logits(ids[:-1, None].astype(np.intp), model.zero_state())[:, 0]
    y = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
    order = np.argsort(-y, axis=1)
    np.testing.assert_array_equal(reading.likeliest[1:], order[:, :3])
    np.testing.assert_allclose(reading.probabilities[1:], -np.sort(-y, axis=1)[:, :3])
    np.testing.assert_array_equal(reading.ranks[1:], 1 + np.argmax(order == ids[1:, None], axis=1))
    state = model.zero_state()
    for place in range(N):
        model.logits(ids[place : place + 1, None].astype(np.intp), state)
        np.testing.assert_allclose(reading.h[:, place], state[:, 0], atol=1e-12)


def test_long_texts_are_read_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = make_model(2, scale=3), make_ids()
    whole = read(model, ids, 3)
    monkeypatch.setattr("charnn.inspection._MAX_LOGITS", 5 * K)
    pieces = read(model, ids, 3)
    np.testing.assert_allclose(pieces.bits, whole.bits)
    np.testing.assert_array_equal(pieces.likeliest, whole.likeliest)
    monkeypatch.setattr("charnn.inspection._MAX_STATES", 2 * H * 11)
    from charnn.corpus import Vocabulary

    assert len(Inspection(model, Vocabulary("abcdefg"), ids, 30).ids) == 11


def test_an_overflow_is_said() -> None:
    model = RNN(K, H, 1, "relu", np.float32)
    model.initialize("identity", seed=1)
    model.parameters.flat[...] *= 1e4
    with pytest.raises(DivergenceError):
        read(model, make_ids(), 3)


# --- gradient flow -------------------------------------------------------------------------------


def differentiated(model: RNN, ids: Any, t: int, lags: int) -> list[list[float]]:
    """Return ‖∂L(t)/∂h(t−k)‖ of each layer and lag, by autograd.

    What is added to h(t−k) is 0; the derivative with respect to it is that of h(t−k).
    """
    p = {name: np.array(array) for name, array in model.parameters.items()}
    f = anp.tanh if model.activation == "tanh" else lambda a: anp.maximum(a, 0)

    def loss(added: Any) -> Any:
        h = [anp.zeros(H) for _ in range(model.num_layers)]
        for s in range(t + 1):
            x = np.eye(K)[ids[s]]
            for layer in range(model.num_layers):
                a = p[f"U{layer}"] @ x + p[f"W{layer}"] @ h[layer] + p[f"b{layer}"]
                x = h[layer] = f(a) + added[layer, s]
        o = p["V"] @ x + p["c"]
        return anp.log(anp.sum(anp.exp(o))) - o[ids[t + 1]]

    gradient = grad(loss)(np.zeros((model.num_layers, t + 1, H)))
    return [
        [float(np.linalg.norm(gradient[layer, t - lag])) for lag in range(lags + 1)]
        for layer in range(model.num_layers)
    ]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("layers", [1, 3])
def test_gradient_flow_is_that_of_automatic_differentiation(
    layers: int, activation: Activation
) -> None:
    model, ids, lags = make_model(layers, activation, 1.7), make_ids(), 9
    flows = gradient_flow(model, read(model, ids, 1), lags, positions=4)
    positions = [9, 18, 28, 38]  # evenly from the furthest lag to the last prediction
    expected = np.mean([differentiated(model, ids, t, lags) for t in positions], axis=0)
    assert expected.min() > 0
    for layer, flow in enumerate(flows):
        assert flow.positions == 4
        np.testing.assert_allclose(flow.norms, expected[layer], rtol=1e-6, atol=0)
        W = model.parameters[f"W{layer}"]
        radius = np.abs(np.linalg.eigvals(W)).max()
        assert flow.spectral_radius == pytest.approx(radius)
        assert flow.largest_singular_value == pytest.approx(np.linalg.svd(W)[1][0])
