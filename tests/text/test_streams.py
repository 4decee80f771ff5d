"""Streams and windows, and min-char-rnn's loop as a special case."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charnn.text.streams import Streams, fitting_batch_size


@st.composite
def streams(draw: st.DrawFn) -> Streams:
    B, T = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    N = draw(st.integers(B + 1, 80))
    return Streams(np.arange(N, dtype=np.uint8), B, T, draw(st.booleans()))


def window(streams: Streams, step: int, which: slice = slice(None)) -> tuple[Any, Any]:
    b = len(range(streams.batch_size)[which])
    inputs, targets = np.full((2, streams.seq_length, b), -1)
    streams.read(step, inputs, targets, np.zeros(inputs.shape, bool), which)
    return inputs[: streams.length(step)], targets[: streams.length(step)]


def is_reset(streams: Streams, step: int) -> bool:
    """Return whether a step begins from the zero state. No other place of it may."""
    inputs = np.empty((streams.seq_length, streams.batch_size), np.intp)
    resets = np.ones(inputs.shape, bool)  # as an earlier step may have left them
    anywhere = streams.read(step, inputs, inputs.copy(), resets)
    if anywhere:
        assert resets[0].all()
        assert not resets[1 : streams.length(step)].any()
    return anywhere


@given(streams(), st.integers(0, 60), st.data())
def test_some_streams_are_read_as_they_are_among_all(
    streams: Streams, step: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, streams.batch_size - 1))
    which = slice(first, data.draw(st.integers(first + 1, streams.batch_size)))
    for part, whole in zip(window(streams, step, which), window(streams, step), strict=True):
        np.testing.assert_array_equal(part, whole[:, which])


@given(streams())
def test_an_epoch_reads_each_stream_once_from_its_start_without_gaps(streams: Streams) -> None:
    steps, length = streams.steps_per_epoch, (len(streams.ids) - 1) // streams.batch_size
    for epoch in range(2):
        numbers = range(epoch * steps, (epoch + 1) * steps)
        assert [is_reset(streams, step) for step in numbers] == [True] + [False] * (steps - 1)
        windows = [window(streams, step) for step in numbers]
        inputs = np.concatenate([inputs for inputs, _ in windows])
        targets = np.concatenate([targets for _, targets in windows])
        read = len(inputs)
        assert read == length or (streams.drop_last and length - streams.seq_length <= read)
        for b in range(streams.batch_size):
            # Each id is its own place in the text.
            assert inputs[:, b].tolist() == list(range(b * length, b * length + read))
        assert np.array_equal(targets, inputs + 1)


@given(streams())
def test_windows_are_full_but_for_the_last_of_an_epoch(streams: Streams) -> None:
    steps, T = streams.steps_per_epoch, streams.seq_length
    sizes = [len(window(streams, step)[0]) for step in range(steps)]
    assert sizes[:-1] == [T] * (steps - 1)
    assert 1 <= sizes[-1] <= T
    assert not streams.drop_last or sizes[-1] == min(T, streams.stream_length)


@given(streams(), st.integers(0, 60))
def test_characters_are_the_predictions_of_the_first_steps(streams: Streams, steps: int) -> None:
    expected = sum(window(streams, step)[1].size for step in range(steps))
    assert streams.characters(steps) == expected


@given(st.integers(1, 9), st.integers(0, 60), st.integers(1, 40))
def test_drop_last_moves_through_the_text_like_min_char_rnn(T: int, more: int, steps: int) -> None:
    data = list(range(T + 1 + more))
    streams = Streams(np.array(data, dtype=np.uint8), 1, T, drop_last=True)
    # This is the script's rule.
    n, p = 0, 0
    while n < steps:
        reset = False
        if p + T + 1 >= len(data) or n == 0:
            reset, p = True, 0
        inputs, targets = window(streams, n)
        assert is_reset(streams, n) == reset
        assert inputs[:, 0].tolist() == data[p : p + T]
        assert targets[:, 0].tolist() == data[p + 1 : p + T + 1]
        p += T
        n += 1


@given(st.integers(2, 300), st.integers(1, 40), st.integers(1, 60))
def test_the_fitting_batch_is_the_largest_whose_streams_are_long_enough(
    characters: int, batch_size: int, seq_length: int
) -> None:
    fits = [B for B in range(1, batch_size + 1) if (characters - 1) // B >= seq_length]
    assert fitting_batch_size(characters, batch_size, seq_length) == max(fits, default=1)
