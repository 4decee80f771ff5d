"""Dynamic evaluation equals a plain loop and learns only from characters it has scored."""

from typing import Any

import numpy as np
import pytest

import charnn
from charnn.adaptation import adapting
from charnn.errors import DivergenceError
from charnn.evaluation import evaluate
from charnn.network.network import Network
from charnn.network.textbook import TextbookBPTT
from charnn.text.corpus import Corpus
from tests.helpers.texts import english

K = 9


def fresh(cell: str = "rnn", dtype: Any = np.float64) -> Network:
    model = Network(K, 6, 2, dtype=dtype, cell=cell)
    model.initialize("uniform", seed=1)
    return model


def some(characters: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, K, characters)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("characters", [2, 65, 200])
def test_it_is_what_the_equations_say(cell: str, characters: int) -> None:
    ids, rate, model, plain = some(characters), 0.01, fresh(cell), fresh(cell)
    *_, found = adapting(model, ids, rate=rate)
    theta, state = plain.parameters.flat, plain.zero_state()
    trained, v, nats = theta.copy(), np.zeros_like(theta), 0.0
    bptt = TextbookBPTT(plain)
    for step, at in enumerate(range(0, characters - 1, 64), 1):
        x, y = ids[at : at + 64][: characters - 1 - at, None], ids[at + 1 : at + 65, None]
        nats += bptt(x, y, state, scale=1 / len(x))
        g = bptt.gradients.flat
        v = 0.999 * v + 0.001 * g**2
        theta -= rate * g / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        theta += 0.002 * (trained - theta)
    assert found.total_nats == pytest.approx(nats, rel=1e-10)
    assert found.predictions == found.total == characters - 1
    np.testing.assert_allclose(model.parameters.flat, theta, rtol=0, atol=1e-8)


def test_no_score_depends_on_what_comes_later() -> None:
    first = some(500)
    for cut in (1, 64, 130, 321):
        second = np.concatenate([first[:cut], some(500 - cut, seed=1)])
        sums = [[each.total_nats for each in adapting(fresh(), ids)] for ids in (first, second)]
        scored = (cut - 1) // 64  # whole segments whose targets are the same in both
        assert sums[0][:scored] == sums[1][:scored]
        assert sums[0][scored] != sums[1][scored]


def test_without_learning_it_is_the_exact_loss() -> None:
    ids = some(1000)
    *_, found = adapting(fresh(), ids, rate=1e-300)
    expected = evaluate(fresh(), ids)
    assert found.total_nats == pytest.approx(expected.total_nats, rel=1e-12)
    assert found.correct == expected.correct


def test_it_learns_a_text_that_repeats_itself() -> None:
    ids, model = np.tile(some(50), 100), fresh(dtype=np.float32)
    *_, found = adapting(model, ids, rate=0.003)
    assert found.nats_per_char < evaluate(fresh(dtype=np.float32), ids).nats_per_char - 0.2
    assert evaluate(model, ids).nats_per_char < found.nats_per_char
    assert found.accuracy > 1.5 * evaluate(fresh(dtype=np.float32), ids).accuracy


def test_it_is_repeatable() -> None:
    ids = some(300)
    runs = [[*adapting(fresh(dtype=np.float32), ids)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert charnn.adapt(fresh(dtype=np.float32), ids) == runs[0][-1]


def test_documents_are_read_from_the_zero_state() -> None:
    corpus = Corpus.from_text(english(2000), documents="lines")
    known, ids = corpus.vocabulary, corpus.ids
    model = Network(len(known), 8, dtype=np.float64)
    model.initialize("uniform", seed=1)
    *_, found = adapting(model, ids, rate=1e-300, boundary=known.boundary)
    expected = evaluate(model, ids, boundary=known.boundary)
    assert found.total_nats == pytest.approx(expected.total_nats, rel=1e-12)


def test_a_rate_that_is_too_high_is_an_error() -> None:
    model = Network(K, 6, activation="relu")
    model.initialize("uniform", seed=1)
    with pytest.raises(DivergenceError, match="lower the rate"):
        list(adapting(model, some(5000), rate=1e30))
