"""What is seen inside a model, against automatic differentiation, `evaluate` and known texts."""

from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from hypothesis import given
from hypothesis import strategies as st

from charnn.errors import DivergenceError, RequestError
from charnn.evaluation import evaluate
from charnn.insight.gradients import GradientFlow, gradient_flow
from charnn.insight.inspection import Inspection
from charnn.insight.reading import Reading, read
from charnn.insight.units import features, units
from charnn.network.cells.cell import Activation
from charnn.network.network import RNN
from charnn.text.vocabulary import Vocabulary
from tests.helpers.texts import english

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
    monkeypatch.setattr("charnn.insight.reading._MAX_LOGITS", 5 * K)
    pieces = read(model, ids, 3)
    np.testing.assert_allclose(pieces.bits, whole.bits)
    np.testing.assert_array_equal(pieces.likeliest, whole.likeliest)
    monkeypatch.setattr("charnn.insight.inspection._MAX_STATES", 2 * H * 11)
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


@pytest.mark.parametrize(
    ("norms", "reach", "verdict"),
    [
        ([2, 1, 0.1, 0.019, 0.1], 3, "vanishes: less than 1 % is left after 3 characters"),
        ([1, 5, 99, 101, 0.001], 4, "explodes: a hundredfold after 3 characters"),
        ([1, 0.009, 101], 1, "vanishes: less than 1 % is left after 1 character"),
        ([1, 0.5, 0.34], None, "holds: 34 % is left after 2 characters"),
        ([0, 0], 0, "dead: no gradient comes here at all"),
    ],
)
def test_the_verdict_is_on_what_happens_first(
    norms: list[float], reach: int | None, verdict: str
) -> None:
    flow = GradientFlow(np.array(norms), 1, 1.0, 1.0)
    assert (flow.reach, flow.verdict) == (reach, verdict)


def test_lags_end_where_the_gradient_is_too_large_for_a_number() -> None:
    model = RNN(K, H, 1, "relu", np.float64)
    ids = make_ids()
    model.parameters["W0"][...] = 1e20 * np.eye(H)
    model.parameters["V"][...] = 1 + np.arange(K)[:, None]
    nothing: Any = np.zeros(N)
    reading = Reading(ids, np.ones((1, N, H)), nothing, nothing, nothing, nothing)
    (flow,) = gradient_flow(model, reading)
    assert len(flow.norms) == 8
    assert np.isfinite(flow.norms).all()
    assert flow.verdict.startswith("explodes: a hundredfold after 1 character")


def test_two_characters_have_one_position_and_no_lag() -> None:
    model = make_model(2)
    (first, _) = gradient_flow(model, read(model, make_ids()[:2], 1))
    assert (len(first.norms), first.positions) == (1, 1)
    assert first.verdict == "not known: the text is too short"


# --- units ---------------------------------------------------------------------------------------

PLAY = """\
KING:
He said "no (never), "
and left.

“Go

on (a [b) c]
Not a speaker: or
Small:
"""


def test_features_of_a_known_text() -> None:
    found = features(PLAY)

    def where(name: str) -> list[str]:
        pairs = zip(PLAY, found[name], strict=True)
        return [
            part for part in "".join(c if value else "|" for c, value in pairs).split("|") if part
        ]

    assert where("speaker's line") == ["KING:"]
    assert "".join(where("upper case")) == "KINGHGNS"
    assert where("inside quotes") == ['"no (never), ', "“Go\n"]
    assert where("inside brackets") == ["(never", "(a [b) c"]
    distance = found["distance to the last newline"]
    assert distance[:7].tolist() == [1, 2, 3, 4, 5, 0, 1]
    position = found["position in the line"]
    assert position[:7].tolist() == [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 0, 1 / 23]


def test_a_text_without_lines_has_no_place_in_them() -> None:
    assert not {"distance to the last newline", "position in the line"} & set(features("ab (c)"))


@given(st.text("\"“”([)] \nAa':", min_size=2, max_size=40), st.data())
def test_only_the_place_in_the_line_and_the_speaker_know_what_comes(text: str, data: Any) -> None:
    end = data.draw(st.integers(1, len(text)))
    whole, part = features(text), features(text[:end])
    for name in set(part) - {"position in the line", "speaker's line"}:
        np.testing.assert_array_equal(whole[name][:end], part[name], err_msg=name)


def planted(text: str, tracks: dict[tuple[int, int], tuple[str, float]]) -> Reading:
    """A reading of noise, but for units that follow a feature with a factor."""
    h = np.random.default_rng(1).normal(size=(2, len(text), 30))
    for (layer, index), (name, factor) in tracks.items():
        h[layer, :, index] += factor * features(text)[name]
    nothing: Any = np.zeros(len(text))
    return Reading(nothing, h, nothing, nothing, nothing, nothing)


def test_units_that_follow_something_are_found_and_no_feature_hides_the_others() -> None:
    tracks = {
        (0, 3): ("upper case", 9.0),
        (0, 4): ("upper case", 8.0),
        (1, 7): ("speaker's line", -7.0),
        (1, 9): ("distance to the last newline", 0.05),
    }
    text = english(6000)
    found = units(planted(text, tracks), text, 3)
    names = {(unit.layer, unit.index): unit.feature for unit in found}
    assert names == {place: name for place, (name, _) in tracks.items() if place != (0, 4)}
    assert found[0].correlation > 0.9
    assert found[0].name == "0:3"
    speaker = next(unit for unit in found if unit.feature == "speaker's line")
    assert -1 < speaker.correlation < -0.8


def test_scores_are_measured_where_units_were_not_chosen() -> None:
    """Of many units that follow nothing, the best on one half are nothing on the other."""
    text = english(600)
    h = np.random.default_rng(2).normal(size=(1, 600, 2000))
    nothing: Any = np.zeros(600)
    reading = Reading(nothing, h, nothing, nothing, nothing, nothing)
    found = units(reading, text, 5)
    upper = features(text)["upper case"][:300]
    best = max(abs(np.corrcoef(h[0, :300, index], upper)[0, 1]) for index in range(2000))
    assert best > 0.15
    assert np.mean([abs(unit.correlation) for unit in found]) < 0.1


def test_chosen_units_come_as_they_are_named() -> None:
    text = english(2000)
    reading = planted(text, {(1, 2): ("upper case", 9.0)})
    chosen = [(1, 2), (0, 29), (1, 2)]
    found = units(reading, text, 5, chosen)
    assert [(unit.layer, unit.index) for unit in found] == chosen
    assert (found[0].feature, found[0].correlation > 0.9) == ("upper case", True)
    for unit in ((2, 0), (0, H)):
        with pytest.raises(RequestError, match=r"layers 0 to 1, units 0 to 5"):
            Inspection(make_model(2), Vocabulary("abcdefg"), make_ids(), N, chosen=[unit])


def test_a_text_with_nothing_to_follow_gives_the_units_that_vary_most() -> None:
    text = "床前明月光" * 50
    reading = planted(text, {})
    reading.h[1, :, 4] *= 3
    found = units(reading, text, 2)
    assert (found[0].name, found[0].feature, found[0].correlation) == ("1:4", None, 0.0)
    assert units(reading, text, 2, [(0, 1)])[0].name == "0:1"


def test_relu_s_activations_are_scaled_by_the_largest() -> None:
    model = make_model(1, "relu", 2)
    model.parameters["b0"][...] = 3
    seen = Inspection(model, Vocabulary("abcdefg"), make_ids(), N, chosen=[(0, 1)])
    (unit,) = seen.units
    assert seen.activations(unit).max() > 1
    assert seen.scaled(unit).max() == 1
