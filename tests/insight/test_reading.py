"""Reading a text with a model: surprise, ranks, expectations, states."""

import numpy as np
import pytest

from charnn.errors import DivergenceError
from charnn.evaluation import evaluate
from charnn.insight.reading import read
from charnn.network.network import RNN
from tests.helpers.inside import H, K, N, make_ids, make_model


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
    np.testing.assert_array_equal(
        reading.char_ranks[1:], 1 + np.argmax(order == ids[1:, None], axis=1)
    )
    state = model.zero_state()
    for place in range(N):
        model.logits(ids[place : place + 1, None].astype(np.intp), state)
        np.testing.assert_allclose(reading.h[:, place], state[:, 0], atol=1e-12)


def test_an_overflow_is_said() -> None:
    model = RNN(K, H, 1, "relu", np.float32)
    model.initialize("identity", seed=1)
    model.parameters.flat[...] *= 1e4
    with pytest.raises(DivergenceError):
        read(model, make_ids(), 3)
