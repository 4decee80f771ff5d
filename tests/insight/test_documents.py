"""Inspection reads each of several documents from the zero state."""

import json
from pathlib import Path

import numpy as np
import pytest

from charnn.insight.gradients import gradient_flow
from charnn.insight.inspection import Inspection
from charnn.insight.reading import read
from charnn.network.flow import gradients_back
from charnn.network.network import Network
from charnn.showing import BOUNDARY, BOUNDARY_NAME
from charnn.text.vocabulary import Vocabulary
from tests.helpers.commands import ok, on_a_terminal

TEXT = [[1, 2, 3], [3, 3], [2], [1, 2, 1, 2, 1, 3]]
IDS = np.concatenate([[0], *([*part, 0] for part in TEXT)]).astype(np.uint8)


def make(cell: str) -> Network:
    model = Network(4, 6, 2, dtype=np.float64, cell=cell)
    model.initialize("uniform", seed=1)
    return model


def test_what_is_around_a_place_is_of_its_own_document() -> None:
    vocabulary = Vocabulary("abc" + BOUNDARY)
    ids = vocabulary.encode(BOUNDARY + BOUNDARY.join(["abc", "cc", "b", "abab"]) + BOUNDARY)
    seen = Inspection(make("rnn"), vocabulary, ids, len(ids))
    assert [seen.around(place, 2, 2) for place in (1, 3, 4, 5, 6, 8, 11)] == [
        ("", "bc"), ("ab", ""), ("bc", ""), ("", "c"), ("c", ""), ("", ""), ("a", "ab"),
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_document_is_read_as_if_it_were_alone(cell: str) -> None:
    model = make(cell)
    together, at = read(model, IDS, 3, boundary=0), 0
    for part in TEXT:
        alone = read(model, np.array([0, *part, 0], np.uint8), 3)
        places, n = slice(at + 1, at + len(part) + 2), len(part) + 1
        np.testing.assert_allclose(together.bits[places], alone.bits[1:], rtol=1e-12)
        np.testing.assert_array_equal(together.char_ranks[places], alone.char_ranks[1:])
        states = together.states[:, at : at + n]
        np.testing.assert_allclose(states, alone.states[:, :n], rtol=1e-12)
        at += n


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradients_go_back_to_the_beginning_of_a_document(cell: str) -> None:
    model = make(cell)
    reading = read(model, IDS, 3, boundary=0)
    last = np.array([len(IDS) - 2])
    found = gradients_back(model, IDS, reading.states, last, len(TEXT[-1]), boundary=0)
    alone = read(model, np.array([0, *TEXT[-1], 0], np.uint8), 3)
    right = gradients_back(model, alone.ids, alone.states, np.array([6]), 6)
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one.states, other.states, rtol=1e-10, atol=1e-300)
        np.testing.assert_allclose(one.x, other.x, rtol=1e-10, atol=1e-300)
    flows = gradient_flow(model, reading, boundary=0)
    assert 1 < len(flows[0].norms) <= 1 + len(TEXT[-1])
    assert all(np.isfinite(flow.norms).all() for flow in flows)


def test_gates_begin_anew_with_each_document() -> None:
    known = Vocabulary("abc" + BOUNDARY)
    model, boundary = make("gru"), 3
    ids = np.array([3, 0, 1, 3, 0, 1, 3], np.uint8)
    assert known.boundary == boundary
    seen = Inspection(model, known, ids, 10)
    for unit in seen.units:
        for values in seen.gates(unit).values():
            np.testing.assert_allclose(values[:3], values[3:6], rtol=1e-12)


@pytest.fixture(scope="module", params=["lines", "blank-lines"])
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp(request.param)
    poems = [f"{a}{b}\n{b}{a}" if "-" in request.param else a + b for a in "abcdef" for b in "klmn"]
    (folder / "t.txt").write_text(("\n\n" if "-" in request.param else "\n").join(poems))
    ok("train", "--data", "t.txt", "--out", "t.npz", "--max-steps", "3", "--set",
       f"data.documents={request.param}", "--set", "model.cell=gru", "--set",
       "model.hidden_size=8", cwd=folder)  # fmt: skip
    return folder


def test_no_output_has_the_boundary_itself(documents: Path) -> None:
    for view in ("surprise", "expectation", "memory", "gates", "gradients"):
        table = ok("inspect", "--ckpt", "t.npz", "--view", view, cwd=documents)
        shown = on_a_terminal("inspect", "--ckpt", "t.npz", "--view", view, cwd=documents)
        if view != "gradients":
            assert BOUNDARY_NAME in table
            assert BOUNDARY_NAME in shown
        as_json = ok("inspect", "--ckpt", "t.npz", "--view", view, "--json", cwd=documents)
        assert BOUNDARY not in str(json.loads(as_json))
    assert (
        BOUNDARY_NAME
        in json.loads(ok("info", "--ckpt", "t.npz", "--json", cwd=documents))["vocabulary"]
    )
    ok("info", "--ckpt", "t.npz", cwd=documents)
    ok("report", "--ckpt", "t.npz", "-o", "t.html", cwd=documents)
    page = (documents / "t.html").read_text()
    assert BOUNDARY not in page
    assert "\\ud800" in page  # in the data of the page, which shows it by its name
