"""Sampling: the draws and the text. `test_sampling_probabilities` tests the distribution."""

import itertools
import math
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charnn.errors import RequestError
from charnn.network.network import RNN
from charnn.sampling import Sampling, Writer, probabilities
from charnn.text.encoding import UnknownCharactersError
from charnn.text.vocabulary import Vocabulary
from charnn.writing import opening, sample, write


@pytest.fixture(scope="module")
def model() -> RNN:
    """A model of 5 characters with strong preferences."""
    model = RNN(5, 8, 2, dtype=np.float64)
    model.initialize("uniform", seed=1, std=1.5)
    return model


VOCABULARY = Vocabulary("\nabcd")


@pytest.fixture(scope="module")
def cycle() -> RNN:
    """A model that writes only a, b, c, a, b, c …"""
    model = RNN(3, 3)
    model.parameters["U0"][...] = 5 * np.eye(3)
    model.parameters["V"][...] = 5 * np.roll(np.eye(3), 1, axis=0)
    return model


# --- drawing -------------------------------------------------------------------------------------


def chi_square(counts: NDArray[np.intp], p: NDArray[np.float64]) -> float:
    expected = counts.sum() * p[p > 0]
    statistic: float = (((counts[p > 0] - expected) ** 2) / expected).sum()
    return statistic


P = np.array([0.0, 0.5, 0.05, 0.0, 0.3, 0.15, 0.0])
CHI_SQUARE_3_DEGREES = 16.27  # exceeded by chance once in 1000


# --- generating ----------------------------------------------------------------------------------


def ids_of(model: RNN, n: int, **options: Any) -> NDArray[np.intp]:
    """Return n turns of a writer, (n, M)."""
    seed, texts, first = options.pop("seed"), options.pop("samples", 1), options.pop("first", 0)
    writer = Writer(model)
    writer.read(options.pop("prime", np.array([0])))
    turns = writer.fork(texts).draw(Sampling(**options), seed=seed, first=first)
    return np.stack(list(itertools.islice(turns, n)))


@pytest.mark.parametrize("samples", [1, 10])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 1e35])
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.9}], ids=str)
def test_generated_frequencies_are_the_model_s_probabilities(
    samples: int, temperature: float, options: dict[str, Any]
) -> None:
    model = RNN(7, 2)
    with np.errstate(divide="ignore"):
        model.parameters["c"][...] = np.maximum(np.log(P), -1e38)
    o = model.parameters["c"][None]
    expected = probabilities(o, Sampling(temperature=temperature, **options))[0]
    # The next character never depends on the text. The draws take several blocks.
    turns = 20_000 // samples
    ids = ids_of(model, turns, seed=3, samples=samples, temperature=temperature, **options)
    counts = np.bincount(ids.ravel(), minlength=7)
    assert not counts[expected == 0].any()
    assert chi_square(counts, expected) < CHI_SQUARE_3_DEGREES


def test_each_character_follows_from_all_those_before_it(model: RNN) -> None:
    for length in (1, 511, 512, 513, 1025):
        text = np.random.default_rng(length).integers(0, 5, length)
        expected = []
        for _ in range(6):
            o = model.logits(text[:, None], model.zero_state())[-1, 0]
            expected.append(int(o.argmax()))
            text = np.append(text, expected[-1])
        prime = text[:length]
        assert ids_of(model, 6, prime=prime, seed=1, greedy=True)[:, 0].tolist() == expected
        assert ids_of(model, 6, prime=prime, seed=1, top_k=1)[:, 0].tolist() == expected


def test_a_seed_names_a_text_and_its_number_names_one_of_several(model: RNN) -> None:
    several = ids_of(model, 40, seed=5, samples=4)
    assert np.array_equal(several, ids_of(model, 40, seed=5, samples=4))
    for m in range(4):
        assert np.array_equal(several[:, [m]], ids_of(model, 40, seed=5, first=m))
    assert len({tuple(several[:, m]) for m in range(4)}) == 4
    assert not np.array_equal(several, ids_of(model, 40, seed=6, samples=4))


def test_sampling_options_reach_the_draws(model: RNN) -> None:
    greedy = ids_of(model, 60, seed=1, greedy=True)
    assert np.array_equal(greedy, ids_of(model, 60, seed=2, temperature=1e-9))
    assert np.array_equal(greedy, ids_of(model, 60, seed=2, top_p=1e-9))
    assert not np.array_equal(greedy, ids_of(model, 60, seed=2))


# --- the sampling and the writer -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1}, "temperature must be a number > 0, got -1"),
        ({"temperature": 0}, "temperature must be a number > 0, got 0"),
        ({"temperature": math.nan}, "temperature must be a number > 0, got nan"),
        ({"temperature": math.inf}, "temperature must be a number > 0, got inf"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0}, "top_p must be > 0 and at most 1, got 0"),
        ({"top_p": 1.5}, "top_p must be > 0 and at most 1, got 1.5"),
        ({"top_p": math.nan}, "top_p must be > 0 and at most 1, got nan"),
    ],
)
def test_values_out_of_range_are_refused_at_once(
    model: RNN, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(message)):
        Sampling(**values)
    with pytest.raises(RequestError, match=re.escape(message)):
        sample(model, VOCABULARY, 5, seed=1, **values)  # nothing is drawn yet


def test_a_sampling_stays_as_it_was_checked() -> None:
    with pytest.raises(AttributeError):
        Sampling().temperature = 2.0  # type: ignore[misc]  # it is read-only, as mypy knows


def test_the_state_of_a_writer_is_that_after_its_last_character(model: RNN) -> None:
    writer, state = Writer(model), model.zero_state()
    text = [0, 3, 1]
    writer.read(np.array(text))
    for ids in itertools.islice(writer.draw(Sampling(), seed=4), 5):
        text.append(int(ids[0]))
        state = model.zero_state()
        model.logits(np.array(text)[:, None], state)
        np.testing.assert_allclose(writer.state, state, atol=1e-5)


def test_a_writer_reads_between_draws(model: RNN) -> None:
    writer, plain = Writer(model), Writer(model)
    writer.read(np.array([1]))
    turns = writer.draw(Sampling(greedy=True), seed=1)
    drawn = [int(next(turns)[0]), int(next(turns)[0])]
    writer.read(np.array([2, 2, 4]))
    plain.read(np.array([1, *drawn, 2, 2, 4]))
    expected = itertools.islice(plain.draw(Sampling(greedy=True), seed=1), 4)
    assert [int(next(turns)[0]) for _ in range(4)] == [int(ids[0]) for ids in expected]


def test_forks_go_on_from_where_the_writer_is_and_leave_it_alone(model: RNN) -> None:
    writer = Writer(model)
    writer.read(np.array([0]))
    begun = [int(ids[0]) for ids in itertools.islice(writer.draw(Sampling(), seed=1), 3)]
    before = writer.state.copy()
    fork = writer.fork(2)
    forked = np.stack(list(itertools.islice(fork.draw(Sampling(), seed=9), 6)))
    np.testing.assert_array_equal(writer.state, before)
    for number in range(2):
        alone = ids_of(model, 6, prime=np.array([0, *begun]), seed=9, first=number)
        assert forked[:, [number]].tolist() == alone.tolist()


# --- text ----------------------------------------------------------------------------------------


def text_of(model: RNN, n: int, vocabulary: Vocabulary = VOCABULARY, **options: Any) -> str:
    return "".join(sample(model, vocabulary, n, **({"seed": 1} | options)))


ABC = Vocabulary("abc")


def test_the_prime_comes_first_and_n_counts_what_follows(cycle: RNN) -> None:
    assert text_of(cycle, 5, ABC, prime="ab", greedy=True) == "ab" + "cabca"
    assert text_of(cycle, 0, ABC, prime="ab") == "ab"
    assert text_of(cycle, 2, ABC, prime="b", greedy=True, samples=3) == "bca\n---\nbca\n---\nbca"
    assert text_of(cycle, 0, ABC, prime="b", samples=2) == "b\n---\nb"


def test_without_a_prime_one_is_read_but_not_printed(cycle: RNN) -> None:
    assert text_of(cycle, 4, ABC, greedy=True) == "bcab"
    assert text_of(cycle, 2, ABC, greedy=True, samples=2) == "bc\n---\nbc"


@pytest.mark.parametrize(
    ("characters", "opened", "primed"),
    [("b a\n", "\n", "\nab"), ("b a\t", " ", " ab"), ("ba", "a", "ab")],
)
def test_a_text_begins_a_line_with_and_without_a_prime(
    characters: str, opened: str, primed: str
) -> None:
    vocabulary = Vocabulary(characters)
    assert opening(vocabulary, "") == opened
    assert opening(vocabulary, "ab") == primed


def test_after_a_prime_comes_what_follows_it_at_the_beginning_of_a_line() -> None:
    """The model writes b after an a that begins a line, and a newline after others."""
    model, known = RNN(4, 4), Vocabulary("\nabc")
    model.parameters["U0"][...] = 5 * np.eye(4)
    model.parameters["W0"][3, 0] = 5  # unit 3 shows whether a line ended before a
    model.parameters["V"][...] = 0
    model.parameters["V"][2, 3], model.parameters["V"][3, 3] = 5, -5
    assert text_of(model, 1, known, prime="a", greedy=True) == "ab"
    assert text_of(model, 1, known, prime="a", greedy=True, samples=2) == "ab\n---\nab"


@pytest.mark.parametrize("samples", [1, 2])
def test_the_prime_may_stay_out_of_the_text(model: RNN, samples: int) -> None:
    whole = text_of(model, 20, prime="ab", samples=samples)
    pieces = write(
        model, VOCABULARY, 20, Sampling(), prime="ab", shows_prime=False, seed=1, samples=samples
    )
    drawn = [text.removeprefix("ab") for text in whole.split("\n---\n")]
    assert "".join(pieces).split("\n---\n") == drawn


def test_the_same_seed_gives_the_same_text_and_a_shorter_one_is_its_beginning(model: RNN) -> None:
    text = text_of(model, 200)
    assert len(text) == 200
    assert text_of(model, 200) == text
    assert text_of(model, 50) == text[:50]
    assert text_of(model, 200, seed=2) != text


def test_text_streams_character_by_character(cycle: RNN) -> None:
    pieces = sample(cycle, ABC, 10**9, prime="ab", seed=1, greedy=True)
    assert list(itertools.islice(pieces, 4)) == ["ab", "c", "a", "b"]


def test_many_texts_are_the_single_texts_of_their_numbers(model: RNN) -> None:
    # This makes more than one group of 64.
    texts = text_of(model, 15, samples=67, prime="a").split("\n---\n")
    assert len(texts) == 67
    assert texts[0] == text_of(model, 15, prime="a")
    for m in (1, 63, 64, 66):
        ids = ids_of(model, 15, prime=VOCABULARY.encode("\na"), seed=1, first=m)
        assert texts[m] == "a" + VOCABULARY.decode(ids)


def test_the_stop_text_is_printed_then_the_text_ends(cycle: RNN) -> None:
    assert text_of(cycle, 9, ABC, prime="a", stop="ca", greedy=True) == "abca"
    assert text_of(cycle, 9, ABC, prime="a", stop="ca", greedy=True, samples=2) == "abca\n---\nabca"
    assert text_of(cycle, 9, ABC, prime="a", stop="cb", greedy=True) == "a" + "bca" * 3


@pytest.mark.parametrize("samples", [1, 2])
def test_of_several_stop_texts_the_first_that_comes_ends(cycle: RNN, samples: int) -> None:
    for stops in (["cab", "ca", "b"], ["b", "cab"], ["cc", "b", ""]):
        text = text_of(cycle, 9, ABC, prime="a", stop=stops, greedy=True, samples=samples)
        assert text.split("\n---\n") == ["ab"] * samples
    text = text_of(cycle, 9, ABC, prime="a", stop=["bcab", "bca"], greedy=True, samples=samples)
    assert text.split("\n---\n") == ["abca"] * samples


@pytest.mark.parametrize("samples", [1, 2])
def test_a_stop_text_that_began_in_the_prime_does_not_count(cycle: RNN, samples: int) -> None:
    text = text_of(cycle, 9, ABC, prime="c", stop="ca", greedy=True, samples=samples)
    assert text.split("\n---\n") == ["cabca"] * samples


@pytest.mark.parametrize("samples", [1, 2])
def test_a_stop_text_may_be_longer_than_the_text(cycle: RNN, samples: int) -> None:
    text = text_of(cycle, 2, ABC, prime="a", stop="bcabcab", greedy=True, samples=samples)
    assert text.split("\n---\n") == ["abc"] * samples


@pytest.mark.parametrize("stop", ["a", "ba"])
def test_each_of_many_texts_ends_at_its_own_stop(model: RNN, stop: str) -> None:
    whole = text_of(model, 30, samples=6).split("\n---\n")
    ended = text_of(model, 30, samples=6, stop=stop).split("\n---\n")
    expected = [t[: t.index(stop) + len(stop)] if stop in t else t for t in whole]
    assert ended == expected
    assert len(set(map(len, ended))) > 1  # the lengths do differ
    assert text_of(model, 30, stop=stop) == expected[0]


@pytest.mark.parametrize("words", [{"prime": "ax"}, {"stop": "x"}])
@pytest.mark.parametrize("samples", [1, 2])
def test_a_prime_or_stop_outside_the_vocabulary_is_refused(
    cycle: RNN, samples: int, words: dict[str, str]
) -> None:
    with pytest.raises(UnknownCharactersError, match="'x'"):
        text_of(cycle, 5, ABC, samples=samples, **words)


@pytest.mark.parametrize("stop", ["", "😀😂"])
def test_memory_does_not_grow_with_the_length_of_a_text(stop: str) -> None:
    model = RNN(3, 2)
    vocabulary = Vocabulary("😀😁😂")  # four bytes each
    model.parameters["c"][...] = [0, 0, -1e9]  # the stop text never comes
    pieces = sample(model, vocabulary, 10**9, stop=stop, seed=1)
    list(itertools.islice(pieces, 100))
    tracemalloc.start()
    try:
        list(itertools.islice(pieces, 1000))
        before, _ = tracemalloc.get_traced_memory()
        for _ in itertools.islice(pieces, 4096):
            pass
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096
