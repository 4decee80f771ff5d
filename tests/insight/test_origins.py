"""The origins of an expectation: gradients of a loss with respect to earlier characters."""

import numpy as np
import pytest

from charnn.insight.origins import origins
from charnn.insight.reading import read
from charnn.network.loss import log_softmax
from charnn.network.network import Network

K, STEP = 5, 1e-5


def loss(model: Network, ids: list[int], place: int, at: int, along: int, step: float) -> float:
    """Return −log ŷ[place] after a move of the one-hot vector at `at` along one of its axes.

    The moved vector is an extra character, which the model never expects.
    """
    spec = model.spec
    wider = Network(K + 1, spec.hidden_size, spec.num_layers, dtype=np.float64, cell=spec.cell)
    for name, array in model.parameters.items():
        wide = wider.parameters[name]
        if name == "U0":
            wide[:, :K] = array
            wide[:, K] = array[:, ids[at]] + step * array[:, along]
        elif name == "V":
            wide[:K] = array
        elif name == "c":
            wide[:K], wide[K] = array, -1e9
        else:
            wide[...] = array
    moved = np.array([K if t == at else character for t, character in enumerate(ids[:place])])
    o = wider.logits(moved[:, None], wider.zero_state())[-1]
    return -float(log_softmax(o)[0, ids[place]])


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_they_equal_differences_for_small_changes_of_characters(cell: str, layers: int) -> None:
    rng = np.random.default_rng(1)
    model = Network(K, 4, layers, dtype=np.float64, cell=cell)
    model.parameters.flat[...] = rng.normal(0, 0.7, model.num_parameters)
    ids = rng.integers(0, K, 12).astype(np.uint8)
    found = origins(model, read(model, ids, 3), np.array([9, 3]), back=6)
    for row, place in zip(found, (9, 3), strict=True):
        for back, norm in enumerate(row, 1):
            if back > place:
                assert np.isnan(norm)
                continue
            sides = [
                [loss(model, ids.tolist(), place, place - back, j, side) for j in range(K)]
                for side in (STEP, -STEP)
            ]
            right = np.linalg.norm((np.array(sides[0]) - sides[1]) / (2 * STEP))
            assert norm == pytest.approx(right, rel=1e-6)


def test_they_end_where_the_document_begins() -> None:
    model = Network(K, 4, dtype=np.float64)
    model.initialize("uniform", seed=1)
    ids = np.array([0, 1, 2, 0, 3, 4, 1, 0], np.uint8)  # 0 is the boundary
    found = origins(model, read(model, ids, 3, boundary=0), np.array([6, 4]), boundary=0, back=5)
    assert np.isfinite(found).tolist() == [[True] * 3 + [False] * 2, [True] + [False] * 4]
    alone = np.array([0, 3, 4, 1, 0], np.uint8)
    right = origins(model, read(model, alone, 3), np.array([3]), back=3)
    np.testing.assert_allclose(found[0, :3], right[0], rtol=1e-12)


def test_a_text_shorter_than_the_lags() -> None:
    model = Network(K, 4, dtype=np.float64)
    model.initialize("uniform", seed=1)
    for boundary in (None, 0):
        ids = np.array([0, 1], np.uint8)
        found = origins(model, read(model, ids, 3, boundary=boundary), np.array([1]), boundary)
        assert np.isfinite(found).sum() == 1
