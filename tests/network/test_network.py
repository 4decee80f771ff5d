"""Logits and initialisation of a network."""

from typing import Literal

import numpy as np
import pytest

from charnn.network.loss import log_softmax
from charnn.network.network import RNN, Network
from charnn.network.spec import Spec
from tests.helpers.networks import B, K, T, make_model, make_window
from tests.helpers.textbook import loop


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


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gates_may_be_closed_as_tight_as_numbers_allow(cell: str) -> None:
    model = Network(K, 8, 2, dtype=np.float32, cell=cell)
    model.initialize("uniform", seed=3)
    for name, parameter in model.parameters.items():
        if name[0] == "b":
            parameter[:] = -1000  # exp(1000) is infinite
    inputs, *_ = make_window(2)
    o = model.logits(inputs, model.zero_state(inputs.shape[1]))  # a warning would be an error
    assert np.isfinite(o).all()


@pytest.mark.parametrize(("cell", "gain"), [("rnn", 1), ("gru", 1), ("lstm", 4)])
def test_uniform_initialisation_goes_by_the_fan_in(cell: str, gain: float) -> None:
    model = Network.from_config(Spec(65, 128, 2, cell), 65, np.float32)
    model.initialize("uniform", seed=3)
    for name, parameter in model.parameters.items():
        if parameter.ndim == 1:
            assert not parameter.any() or cell == "lstm", name
            continue
        fan_in = 1 if name == "U0" else parameter.shape[1]  # U0 takes a one-hot vector
        std = (gain if name[0] == "U" else 1 / np.sqrt(3)) / np.sqrt(fan_in)
        assert 0.98 * np.sqrt(3) * std < np.abs(parameter).max() <= np.sqrt(3) * std, name
        assert parameter.std() == pytest.approx(std, rel=0.05)


def test_orthogonal_and_identity_shape_w_alone() -> None:
    for init in ("orthogonal", "identity"):
        model = RNN(65, 64, 2, dtype=np.float64)
        model.initialize(init, seed=3)
        for name in ("W0", "W1"):
            W = model.parameters[name]
            np.testing.assert_allclose(W @ W.T, np.eye(64), atol=1e-12)
            assert (init == "identity") == np.array_equal(W, np.eye(64))
        assert np.abs(model.parameters["U1"]).max() <= np.sqrt(3) / 8


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


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_the_number_of_parameters_is_that_of_the_arrays(cell: str, layers: int) -> None:
    network = Network(K, 4, layers, cell=cell)
    sizes = [parameter.size for _, parameter in network.parameters.items()]
    assert network.num_parameters == network.parameters.flat.size == sum(sizes)
