"""Random draws depend on four numbers and on nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from charnn.draws import Purpose, fresh_seed, generator

NUMBERS = st.integers(0, 2**64 - 1)
NAMES = st.tuples(NUMBERS, st.sampled_from(Purpose), NUMBERS, NUMBERS)


@given(NAMES)
def test_the_same_name_draws_the_same_numbers(name: tuple[int, Purpose, int, int]) -> None:
    assert generator(*name).random(5).tolist() == generator(*name).random(5).tolist()


@given(NAMES, NAMES, st.integers(0, 3))
def test_names_that_differ_anywhere_draw_different_numbers(
    name: tuple[int, Purpose, int, int], other: tuple[int, Purpose, int, int], place: int
) -> None:
    mixed = list(name)
    mixed[place] = other[place]
    changed = (mixed[0], Purpose(mixed[1]), mixed[2], mixed[3])
    same = generator(*name).random(3).tolist() == generator(*changed).random(3).tolist()
    assert same == (changed == name)


def test_draws_do_not_depend_on_what_was_drawn_before() -> None:
    def draw(step: int) -> list[float]:
        return list(generator(1, Purpose.DROPOUT, step, 2).random(4))

    forwards = [draw(step) for step in range(5)]
    generator(1, Purpose.SAMPLE).random(1000)
    backwards = [draw(step) for step in reversed(range(5))]
    assert forwards == backwards[::-1]


def test_neighbours_never_meet() -> None:
    first = generator(1, Purpose.SAMPLE, 0, 0).bit_generator.random_raw(50_000).tolist()
    for step, stream in [(0, 1), (1, 0)]:
        second = generator(1, Purpose.SAMPLE, step, stream).bit_generator.random_raw(4).tolist()
        assert not set(first) & set(second)


def test_the_draws_of_released_checkpoints_stay_what_they_were() -> None:
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "INIT": 0,
        "DROPOUT": 1,
        "SAMPLE": 2,
        "SPLIT": 3,
        "SHUFFLE": 4,
    }
    raw = generator(1, Purpose.SAMPLE, 2, 3).bit_generator.random_raw(2).tolist()
    assert raw == [12259600460633315831, 4680478346402939020]


def test_a_fresh_seed_is_new_and_short_enough_to_type() -> None:
    seeds = {fresh_seed() for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)
