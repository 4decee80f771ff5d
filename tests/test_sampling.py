"""Sampling: the distribution, the draws, and the text."""

import itertools
import math
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from charnn.errors import RequestError
from charnn.network.network import RNN
from charnn.sampling import Sampling, Writer, opening, probabilities, sample, write
from charnn.text.encoding import UnknownCharactersError
from charnn.text.vocabulary import Vocabulary

LOGITS = arrays(np.float32, (2, 6), elements=st.floats(-30, 30, width=32))
TOP_P = st.floats(0.01, 1) | st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 1.0])


@pytest.fixture(scope="module")
def model() -> RNN:
    """A model of 5 characters with strong likes and dislikes."""
    model = RNN(5, 8, 2, dtype=np.float64)
    model.initialize("uniform", seed=1, std=1.5)
    return model


VOCABULARY = Vocabulary("\nabcd")


@pytest.fixture(scope="module")
def cycle() -> RNN:
    """A model that knows one thing: a, b, c, a, b, c …"""
    model = RNN(3, 3)
    model.parameters["U0"][...] = 5 * np.eye(3)
    model.parameters["V"][...] = 5 * np.roll(np.eye(3), 1, axis=0)
    return model


# --- probabilities -------------------------------------------------------------------------------


@given(LOGITS, st.floats(0.05, 20))
def test_probabilities_are_the_softmax_of_logits_over_temperature(
    o: NDArray[np.float32], temperature: float
) -> None:
    before = o.copy()
    p = probabilities(o, Sampling(temperature=temperature))
    # By ratios: log p_i − log p_j = (o_i − o_j) / temperature.
    with np.errstate(over="ignore"):
        exact = [[sum(np.exp((row - own) / temperature)) for own in row] for row in o.astype(float)]
    assert np.allclose(p, 1 / np.array(exact), rtol=1e-9)
    assert p.dtype == np.float64
    assert np.array_equal(o, before)


@given(
    arrays(np.float32, (2, 6), elements=st.floats(-(2.0**127), 2.0**127, width=32)),
    st.floats(5e-324, 1e300),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(5e-324, 1),
)
def test_the_most_extreme_logits_and_settings_still_give_probabilities(
    o: NDArray[np.float32], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    # Warnings, of overflow for instance, are errors here.
    p = probabilities(o, Sampling(temperature=temperature, top_k=top_k, top_p=top_p))
    assert (p >= 0).all()
    assert np.allclose(p.sum(axis=1), 1)


@given(arrays(np.float32, (2, 6), elements=st.integers(-30, 30)))
def test_a_temperature_near_zero_leaves_only_the_most_probable(o: NDArray[np.float32]) -> None:
    p = probabilities(o, Sampling(temperature=1e-12))
    best = o == o.max(axis=1, keepdims=True)
    assert np.allclose(p, best / best.sum(axis=1, keepdims=True))


@given(LOGITS, st.floats(0.05, 20) | st.just(1e20))
def test_top_1_is_greedy_at_any_temperature(o: NDArray[np.float32], temperature: float) -> None:
    p = probabilities(o, Sampling(temperature=temperature, top_k=1))
    assert p.tolist() == np.eye(6)[o.argmax(axis=1)].tolist()


@given(LOGITS, st.integers(1, 8))
def test_top_k_keeps_the_k_most_probable_in_proportion(o: NDArray[np.float32], k: int) -> None:
    p = probabilities(o, Sampling())
    for logits, row, whole in zip(o, probabilities(o, Sampling(top_k=k)), p, strict=True):
        ranking = np.argsort(-logits, kind="stable")
        expected = np.zeros(6)
        expected[ranking[:k]] = whole[ranking[:k]] / whole[ranking[:k]].sum()
        assert np.allclose(row, expected, rtol=1e-12)
        assert np.array_equal(row > 0, expected > 0)


@given(LOGITS, TOP_P)
def test_top_p_keeps_the_smallest_set_whose_mass_reaches_p(
    o: NDArray[np.float32], top_p: float
) -> None:
    for row, whole in zip(
        probabilities(o, Sampling(top_p=top_p)), probabilities(o, Sampling()), strict=True
    ):
        kept = np.flatnonzero(row)
        mass = whole[kept].sum()
        assert np.allclose(row[kept], whole[kept] / mass)
        # By brute force over all sets; within rounding, a set that reaches p or one just short.
        reaching = [
            members
            for size in range(1, 7)
            for members in itertools.combinations(range(6), size)
            if whole[list(members)].sum() >= top_p - 1e-12
        ]
        assert mass >= top_p - 1e-12
        smallest = min(map(len, reaching))
        strictly = min(
            (len(m) for m in reaching if whole[list(m)].sum() >= top_p + 1e-12), default=6
        )
        assert smallest <= len(kept) <= strictly
        assert min(whole[kept]) >= max(np.delete(whole, kept), default=0)


def test_ties_keep_the_smaller_ids() -> None:
    assert probabilities(np.zeros((1, 4)), Sampling(top_k=2)).tolist() == [[0.5, 0.5, 0, 0]]
    assert probabilities(np.zeros((1, 4)), Sampling(top_p=0.5)).tolist() == [[0.5, 0.5, 0, 0]]


def test_top_p_measures_what_top_k_has_left() -> None:
    o = np.log(np.array([[0.4, 0.3, 0.2, 0.1]]))
    # Of 4/7 and 3/7, the first alone reaches half.
    assert probabilities(o, Sampling(top_k=2, top_p=0.5)).tolist() == [[1, 0, 0, 0]]
    assert np.count_nonzero(probabilities(o, Sampling(top_p=0.5))) == 2


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
    # Whatever was read, the next character is drawn from these; it takes several blocks of draws.
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
    """After a at the beginning of a line comes b, elsewhere a line's end."""
    model, known = RNN(4, 4), Vocabulary("\nabc")
    model.parameters["U0"][...] = 5 * np.eye(4)
    model.parameters["W0"][3, 0] = 5  # one unit knows whether a line ended before a
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
    # More than one group of 64.
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


@pytest.mark.parametrize("stop", ["a", "ba"])
def test_each_of_many_texts_ends_at_its_own_stop(model: RNN, stop: str) -> None:
    whole = text_of(model, 30, samples=6).split("\n---\n")
    ended = text_of(model, 30, samples=6, stop=stop).split("\n---\n")
    expected = [t[: t.index(stop) + len(stop)] if stop in t else t for t in whole]
    assert ended == expected
    assert len(set(map(len, ended))) > 1  # they do differ
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
