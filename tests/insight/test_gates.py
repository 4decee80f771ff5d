"""The views of gates show what the textbook form computes, one character at a time."""

from typing import Any

import numpy as np
import pytest

from charnn.errors import RequestError
from charnn.insight.inspection import Inspection
from charnn.insight.tables import tables
from charnn.network.arrays import one_hot
from charnn.network.network import Network
from charnn.text.vocabulary import Vocabulary

K, H, N = 7, 5, 12


def inspected(cell: str, unit: tuple[int, int] = (1, 3)) -> Inspection:
    """Return the inspection of a random network of two layers."""
    model = Network(K, H, 2, cell=cell, dtype=np.float64)
    draw = np.random.default_rng(2)
    model.parameters.flat[...] = draw.normal(0, 0.8, model.num_parameters)
    ids = draw.integers(0, K, N).astype(np.uint32)
    return Inspection(model, Vocabulary("abcdefg"), ids, N, chosen=[unit])


def by_the_textbook(seen: Inspection, layer: int, index: int) -> list[list[float]]:
    """Return the gates of a unit at every place. In an LSTM, s comes last."""
    model = seen.model
    lstm = model.spec.cell == "lstm"
    zero = np.zeros((H, 1))
    states: list[Any] = [(zero, zero) if lstm else zero] * 2
    found = []
    for x in one_hot(seen.ids, K, np.dtype(np.float64)):
        below = x[:, None]
        for number in (0, 1):
            p = {
                letter: array if array.ndim == 2 else array[:, None]
                for letter, array in model.parameters.of_layer(number).items()
            }
            cell = model.spec.cell_class("tanh", p)
            states[number], memory = cell.textbook_step(p, below, states[number])
            below = states[number][0] if lstm else states[number]
            if number == layer:
                parts = [*memory, states[number][1]] if lstm else memory[:3]
                found.append([part[index, 0] for part in parts])
    return found


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("lstm", ["input", "forget", "new", "output", "state"]),
        ("gru", ["reset", "update", "new"]),
    ],
)
@pytest.mark.parametrize("unit", [(0, 0), (1, 3)])
def test_gates_are_those_of_the_textbook_form(
    cell: str, names: list[str], unit: tuple[int, int]
) -> None:
    seen = inspected(cell, unit)
    table = tables(seen, "gates", 5)["gates"]
    name = f"{unit[0]}:{unit[1]}"
    assert table.columns == ["place", "character", *(f"{name} {gate}" for gate in names)]
    rows = [row[2:] for row in table.rows]
    np.testing.assert_allclose(rows, by_the_textbook(seen, *unit), atol=1e-12)


def test_a_vanilla_rnn_has_none() -> None:
    with pytest.raises(RequestError, match="an rnn has no gates"):
        inspected("rnn").gates(inspected("rnn").units[0])
