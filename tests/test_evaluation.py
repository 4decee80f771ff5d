"""The exact loss equals that of a textbook loop, and segments come close to it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.evaluation import Evaluation, evaluate, evaluating
from charnn.network.loss import log_softmax
from charnn.network.network import RNN
from charnn.text.corpus import Corpus
from tests.helpers.textbook import loop
from tests.helpers.texts import english


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.from_text(english(20_000))


@pytest.fixture(scope="module")
def model(corpus: Corpus) -> RNN:
    model = RNN(len(corpus.vocabulary), 24, 2)
    model.initialize("uniform", seed=1)
    return model


def test_the_loss_is_the_plain_loop_s_mean(model: RNN, corpus: Corpus) -> None:
    ids = corpus.ids[:1500]
    x, y = ids[:-1, None].astype(np.intp), ids[1:, None].astype(np.intp)
    expected = loop(model.parameters, "tanh", x, y, model.zero_state()).loss / len(x)
    result = evaluate(model, ids)
    assert result.nats_per_char == pytest.approx(expected, abs=1e-6)
    assert result.bits_per_char == pytest.approx(expected / math.log(2), abs=1e-6)
    assert result.perplexity == pytest.approx(math.exp(expected), rel=1e-6)
    assert result.predictions == len(ids) - 1


def test_accuracy_counts_the_most_probable_character(corpus: Corpus) -> None:
    model = RNN(len(corpus.vocabulary), 3)
    model.parameters["c"][5] = 1  # character 5 is always the most probable
    result = evaluate(model, corpus.ids)
    assert result.accuracy == pytest.approx((corpus.ids[1:] == 5).mean())


@pytest.mark.parametrize("segments", [2, 7, 64])
def test_segments_make_every_prediction_once_and_come_close(
    model: RNN, corpus: Corpus, segments: int
) -> None:
    exact = evaluate(model, corpus.ids)
    fast = evaluate(model, corpus.ids, segments=segments)
    assert fast.predictions == exact.predictions == fast.total
    assert fast.nats_per_char == pytest.approx(exact.nats_per_char, abs=1e-4)
    assert fast.accuracy == pytest.approx(exact.accuracy, abs=1e-3)


def test_a_segment_is_read_from_the_zero_state_after_its_warm_up(
    model: RNN, corpus: Corpus
) -> None:
    """Compute three segments one by one. With large weights the start matters."""
    rough = RNN(model.vocab_size, 24, 2, dtype=np.float64)
    rough.initialize("orthogonal", seed=2)
    rough.parameters.flat[...] *= 1.2
    ids, warmup = corpus.ids[:1000], 20
    expected = 0.0
    for start, end in ((0, 333), (333, 666), (666, 999)):
        state = rough.zero_state()
        if start:
            rough.logits(ids[start - warmup : start, None], state)
        log_y = log_softmax(rough.logits(ids[start:end, None], state)[:, 0])
        expected -= log_y[np.arange(end - start), ids[start + 1 : end + 1]].sum()
    *_, result = evaluating(rough, ids, segments=3, warmup=warmup)
    assert result.total_nats == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("context", [1, 7, 64, 500, 5000])
def test_with_a_context_each_block_is_read_from_the_zero_state(
    model: RNN, corpus: Corpus, context: int
) -> None:
    """Run the textbook loop on each block. Context 1 needs several passes of blocks."""
    ids = corpus.ids[:1500].astype(np.intp)
    expected = 0.0
    for start in range(0, len(ids) - 1, context):
        block = ids[start : start + context + 1, None]
        state = model.zero_state()
        expected += loop(model.parameters, "tanh", block[:-1], block[1:], state).loss
    result = evaluate(model, ids.astype(np.uint8), context=context)
    assert result.predictions == result.total == len(ids) - 1
    assert result.total_nats == pytest.approx(expected, rel=1e-6)


def test_a_context_as_long_as_the_text_is_no_limit(model: RNN, corpus: Corpus) -> None:
    ids = corpus.ids[:1500]
    assert evaluate(model, ids, context=1499) == evaluate(model, ids)
    assert evaluate(model, ids, context=10**30) == evaluate(model, ids)


def test_progress_only_grows(model: RNN, corpus: Corpus) -> None:
    for scores in (
        evaluating(model, corpus.ids, segments=3),
        evaluating(model, corpus.ids, context=50),
    ):
        done = [score.predictions for score in scores]
        assert done == sorted(set(done))
        assert done[-1] == len(corpus.ids) - 1


def test_two_characters_are_one_prediction(model: RNN) -> None:
    assert evaluate(model, np.array([1, 2], dtype=np.uint8), segments=64).predictions == 1


@given(st.integers(2, 5000), st.integers(1, 9), st.integers(1, 12))
def test_the_parts_of_a_validation_are_the_whole(N: int, segments: int, parts: int) -> None:
    model = RNN(5, 4, dtype=np.float64)
    model.initialize("uniform", seed=1)
    ids = np.random.default_rng(0).integers(0, 5, N).astype(np.uint8)
    shares = [
        [*evaluating(model, ids, segments=segments, part=part, parts=parts)]
        for part in range(parts)
    ]
    assert all(share[-1].predictions == share[0].total for share in shares if share)
    if min(segments, (N - 1) // 512) <= 1:
        assert [bool(share) for share in shares] == [True] + [False] * (parts - 1)
    whole = evaluate(model, ids, segments=segments)
    total = Evaluation.sum(share[-1] for share in shares if share)
    assert (total.predictions, total.correct) == (whole.total, whole.correct)
    assert total.total_nats == pytest.approx(whole.total_nats, rel=1e-12)
    # Threads divide the part of one process further.
    threaded = [*evaluating(model, ids, segments=segments, part=0, parts=parts, threads=3)]
    assert threaded[-1].correct == shares[0][-1].correct
    assert threaded[-1].predictions == threaded[0].total == shares[0][-1].predictions
    assert threaded[-1].total_nats == pytest.approx(shares[0][-1].total_nats, rel=1e-12)
