"""Inspection finds units that follow known features of a text."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.errors import RequestError
from charnn.insight.inspection import Inspection
from charnn.insight.reading import Reading
from charnn.insight.units import features, units
from charnn.text.vocabulary import Vocabulary
from tests.helpers.inside import H, N, make_ids, make_model
from tests.helpers.texts import english

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
    """Return a reading of noise in which some units also follow a feature."""
    h = np.random.default_rng(1).normal(size=(2, len(text), 30))
    for (layer, index), (name, factor) in tracks.items():
        h[layer, :, index] += factor * features(text)[name]
    nothing: Any = np.zeros(len(text))
    return Reading(nothing, h, nothing, nothing, nothing, nothing, h)


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
    """No unit follows anything here. The best on one half of the text fail on the other half."""
    text = english(600)
    h = np.random.default_rng(2).normal(size=(1, 600, 2000))
    nothing: Any = np.zeros(600)
    reading = Reading(nothing, h, nothing, nothing, nothing, nothing, h)
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
