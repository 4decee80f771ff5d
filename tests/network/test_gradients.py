"""The fast path and the textbook loop agree with automatic and numeric differentiation."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.network import cells
from charnn.network.bptt import BPTT
from charnn.network.cells.cell import Activation
from charnn.network.dropout import Dropout
from charnn.network.network import Network
from charnn.network.textbook import TextbookBPTT
from tests.helpers import leaky
from tests.helpers.networks import B, H, K, T, relative
from tests.helpers.oracle import Float, Step, gru, loss_and_gradients, lstm, vanilla

STEPS: dict[str, Step] = {
    "tanh": vanilla("tanh"),
    "relu": vanilla("relu"),
    "leaky": leaky.leaky_step,
    "lstm": lstm,
    "gru": gru,
}
CELLS = {"tanh": "rnn", "relu": "rnn"}  # the others are named like their cell

# A mask is true where a stream restarts from the zero state: nowhere; at the start, as in an epoch;
# at one place in two streams; often, as in short documents; everywhere.
NOWHERE = None
START = np.zeros((T, B), bool)
START[0] = True
APART = np.zeros((T, B), bool)
APART[2, 0] = APART[4, 1] = True
SHORT = np.random.default_rng(0).random((T, B)) < 0.4
EVERYWHERE = np.ones((T, B), bool)
RESETS = {
    "nowhere": NOWHERE, "start": START, "apart": APART, "short": SHORT, "everywhere": EVERYWHERE
}  # fmt: skip
CASES = [
    pytest.param(layers, kind, dropout, resets, id=f"{layers}-{kind}-{dropout}-{name}")
    for layers in (1, 2, 3)
    for kind in STEPS
    for dropout in ("whole", "dropout")
    for name, resets in RESETS.items()
]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cells.CELLS, leaky.NAME, leaky.PLACE)


def make_network(layers: int, kind: str, *, away_from_kinks: bool = False) -> Network:
    """Return a float64 network with random parameters, biases included."""
    activation: Activation = "relu" if kind == "relu" else "tanh"
    network = Network(K, H, layers, activation, np.float64, cell=CELLS.get(kind, kind))
    rng = np.random.default_rng(layers)
    for parameter in network.parameters.values():
        parameter[...] = rng.normal(0, 0.5, parameter.shape)
    if away_from_kinks:
        # Large biases of either sign keep every unit clearly on or clearly off.
        for layer in range(layers):
            network.parameters[f"b{layer}"][...] = 4 * rng.choice([-1, 1, 1], H)
    return network


def make_window(
    network: Network, dropout: str, steps: int = T, streams: int = B
) -> tuple[Any, Any, Float, Float | None]:
    """Return inputs, targets, an incoming state and dropout masks."""
    layers = network.num_layers
    rng = np.random.default_rng(100 + layers)
    inputs, targets = rng.integers(0, K, (2, steps, streams))
    masks: Any = (
        Dropout(0.3, (layers, streams, H), np.float64, seed=1)(2) if dropout == "dropout" else None
    )
    return inputs, targets, rng.normal(0, 0.3, network.spec.state_shape(streams)), masks


@pytest.mark.parametrize("steps", [T, 4], ids=["full", "ragged"])
@pytest.mark.parametrize(("layers", "kind", "dropout", "resets"), CASES)
def test_fast_path_and_textbook_loop_equal_automatic_differentiation(
    layers: int, kind: str, dropout: str, resets: Any, steps: int
) -> None:
    network = make_network(layers, kind, away_from_kinks=kind == "relu")
    inputs, targets, state, masks = make_window(network, dropout, steps)
    used = None if resets is None else resets[:steps]
    right, gradients = loss_and_gradients(
        network, STEPS[kind], inputs, targets, state, masks=masks, resets=used
    )
    states = []
    for loop in (BPTT(network, T, B, dropout=masks is not None), TextbookBPTT(network)):
        after = state.copy()
        loss = loop(inputs, targets, after, resets=used, masks=masks)
        states.append(after)
        assert loss == pytest.approx(right, abs=1e-10)
        for name, gradient in gradients.items():
            assert relative(loop.gradients[name], gradient) < 1e-7, (type(loop), name)
    np.testing.assert_allclose(states[0], states[1], atol=1e-12)


@pytest.mark.parametrize("resets", [NOWHERE, SHORT], ids=["nowhere", "short"])
@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("layers", [1, 3])
def test_gradients_equal_central_differences(layers: int, kind: str, resets: Any) -> None:
    network = make_network(layers, kind, away_from_kinks=kind == "relu")
    inputs, targets, state, masks = make_window(network, "dropout")
    bptt = BPTT(network, T, B, dropout=True)

    def loss() -> float:
        return bptt(inputs, targets, state.copy(), resets=resets, masks=masks)

    numeric = network.parameters_in(np.zeros(network.num_parameters))
    theta, epsilon = network.parameters.flat, 1e-5
    for i, value in enumerate(theta.copy()):
        theta[i] = value + epsilon
        above = loss()
        theta[i] = value - epsilon
        numeric.flat[i] = (above - loss()) / (2 * epsilon)
        theta[i] = value
    loss()
    for name, gradient in numeric.items():
        assert relative(bptt.gradients[name], gradient) < 1e-5, name


@given(st.data(), st.sampled_from(sorted(STEPS)), st.integers(1, 2), st.integers(1, 3))
def test_a_window_with_resets_is_its_parts_each_from_the_zero_state(
    data: Any, kind: str, layers: int, streams: int
) -> None:
    """The loss of several documents in one window is the sum of their own losses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cells.CELLS, leaky.NAME, leaky.PLACE)
        network = make_network(layers, kind)
        inputs, targets, state, _ = make_window(network, "whole", T, streams)
        flags = st.lists(st.booleans(), min_size=T * streams, max_size=T * streams)
        resets = np.array(data.draw(flags)).reshape(T, streams)
        bptt, after = BPTT(network, T, streams), state.copy()
        loss = bptt(inputs, targets, after, resets=resets)
        gradient = bptt.gradients.flat.copy()
        alone, total, sum_of_parts = BPTT(network, T, 1), 0.0, np.zeros_like(gradient)
        for stream in range(streams):
            starts = [0, *(t for t in range(1, T) if resets[t, stream]), T]
            own: Any = state[:, stream : stream + 1].copy()
            for start, end in pairwise(starts):
                if start > 0 or resets[0, stream]:
                    own = network.zero_state()
                part = (slice(start, end), slice(stream, stream + 1))
                total += alone(inputs[part], targets[part], own)
                sum_of_parts += alone.gradients.flat
            np.testing.assert_allclose(after[:, stream], own[:, 0], atol=1e-12)
        assert loss == pytest.approx(total, abs=1e-10)
        np.testing.assert_allclose(gradient, sum_of_parts, atol=1e-10)


def test_a_mask_without_any_reset_is_as_none() -> None:
    network = make_network(2, "tanh")
    inputs, targets, state, _ = make_window(network, "whole")
    found = []
    for resets in (None, np.zeros((T, B), bool)):
        bptt, after = BPTT(network, T, B), state.copy()
        loss = bptt(inputs, targets, after, resets=resets)
        found.append((loss, after.tobytes(), bptt.gradients.flat.tobytes()))
    assert found[0] == found[1]


def test_buffers_of_an_earlier_window_with_resets_leave_nothing_behind() -> None:
    network = make_network(2, "leaky")
    inputs, targets, state, _ = make_window(network, "whole")
    used, fresh = BPTT(network, T, B), BPTT(network, T, B)
    used(inputs, targets, state.copy(), resets=SHORT)
    for bptt in (used, fresh):
        bptt(inputs[:4], targets[:4], state.copy())
    np.testing.assert_array_equal(used.gradients.flat, fresh.gradients.flat)
