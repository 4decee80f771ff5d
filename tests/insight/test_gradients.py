"""The gradient flow equals that of automatic differentiation."""

from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from charnn.insight.gradients import GradientFlow, gradient_flow
from charnn.insight.reading import Reading, read
from charnn.network.cells.cell import Activation
from charnn.network.network import RNN
from tests.helpers.inside import H, K, N, make_ids, make_model


def differentiated(model: RNN, ids: Any, t: int, lags: int) -> list[list[float]]:
    """Return ‖∂L(t)/∂h(t−k)‖ of each layer and lag, by autograd.

    The loss adds 0 to h(t−k). The derivative by this 0 is the derivative by h(t−k).
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


@pytest.mark.parametrize(
    ("norms", "reach", "verdict"),
    [
        ([2, 1, 0.1, 0.019, 0.1], 3, "vanishes: less than 1 % is left after 3 characters"),
        ([1, 5, 99, 101, 0.001], 4, "explodes: a hundredfold after 3 characters"),
        ([1, 0.009, 101], 1, "vanishes: less than 1 % is left after 1 character"),
        ([1, 0.5, 0.34], None, "holds: 34 % is left after 2 characters"),
        ([0, 0], 0, "dead: no gradient reaches it"),
    ],
)
def test_the_verdict_is_on_what_happens_first(
    norms: list[float], reach: int | None, verdict: str
) -> None:
    flow = GradientFlow(0, "h", np.array(norms), 1, 1.0, 1.0)
    assert (flow.reach, flow.verdict) == (reach, verdict)


def test_lags_end_where_the_gradient_is_too_large_for_a_number() -> None:
    model = RNN(K, H, 1, "relu", np.float64)
    ids = make_ids()
    model.parameters["W0"][...] = 1e20 * np.eye(H)
    model.parameters["V"][...] = 1 + np.arange(K)[:, None]
    nothing: Any = np.zeros(N)
    h = np.ones((1, N, H))
    reading = Reading(ids, h, nothing, nothing, nothing, nothing, h)
    (flow,) = gradient_flow(model, reading)
    assert len(flow.norms) == 8
    assert np.isfinite(flow.norms).all()
    assert flow.verdict.startswith("explodes: a hundredfold after 1 character")


def test_two_characters_have_one_position_and_no_lag() -> None:
    model = make_model(2)
    (first, _) = gradient_flow(model, read(model, make_ids()[:2], 1))
    assert (len(first.norms), first.positions) == (1, 1)
    assert first.verdict == "not known: the text is too short"
