"""The package's textbook loop computes what the fast path computes."""

import numpy as np
import pytest

from charnn.network.textbook import TextbookBPTT
from tests.helpers.networks import CASES, fast_path, make_model, make_window


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
