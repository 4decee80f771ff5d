"""Text to ids: the vocabulary, reading, the splits, and the streams against min-char-rnn's loop."""

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnn.errors import CorpusError
from charnn.showing import show_character
from charnn.text.corpus import Corpus
from charnn.text.encoding import UnknownCharactersError
from charnn.text.reading import read_text
from charnn.text.streams import Streams, fitting_batch_size
from charnn.text.vocabulary import Vocabulary

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


# --- the vocabulary ------------------------------------------------------------------------------


@given(TEXTS)
def test_the_vocabulary_is_the_sorted_distinct_code_points(text: str) -> None:
    vocabulary = Vocabulary(text)
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert len(vocabulary) == len(set(text))
    assert all(character in vocabulary for character in text)
    assert vocabulary == Vocabulary(text[::-1])
    assert hash(vocabulary) == hash(Vocabulary(text[::-1]))
    assert vocabulary != Vocabulary(text + next(c for c in map(chr, range(99)) if c not in text))


@given(TEXTS)
def test_any_text_survives_encoding_and_decoding(text: str) -> None:
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    assert ids.tolist() == [vocabulary.characters.index(character) for character in text]
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(ids.tolist()) == text


@pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_ids_take_as_few_bytes_as_they_can(size: int, dtype: type) -> None:
    text = "".join(map(chr, range(size)))
    ids = Vocabulary(text).encode(text)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(size))


@settings(max_examples=50)
@given(st.integers(1, 7), st.integers(1, 20), st.integers(0, 2**32), st.booleans())
def test_a_column_of_u_is_u_times_a_one_hot_vector(K: int, N: int, seed: int, single: bool) -> None:
    rng = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    U = (rng.normal(size=(5, K)) * 10.0 ** rng.integers(-20, 20, (5, K))).astype(dtype)
    ids = rng.integers(0, K, N)
    one_hot = Vocabulary("abcdefg"[:K]).one_hot(ids, dtype)
    assert one_hot.shape == (N, K)
    assert one_hot.dtype == dtype
    assert np.array_equal(one_hot @ U.T, U[:, ids].T)


def test_one_hot_keeps_the_shape_of_the_ids() -> None:
    assert Vocabulary("abc").one_hot(np.array([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]


def test_unknown_characters_are_an_error_with_code_point_place_and_count() -> None:
    with pytest.raises(UnknownCharactersError) as caught:
        Vocabulary("ab\n").encode("abé\na\x07bé😀")
    assert str(caught.value) == (
        "4 characters are not in the vocabulary (3 different): 'é' (U+00E9) at line 1, column 3; "
        "'\\x07' (U+0007) at line 2, column 2; '😀' (U+1F600) at line 2, column 5"
    )
    assert caught.value.exit_code == 1


def test_only_the_first_few_unknown_characters_are_named() -> None:
    with pytest.raises(UnknownCharactersError) as caught:
        Vocabulary("z").encode("abcdefgh")
    assert str(caught.value).endswith("'e' (U+0065) at line 1, column 5 and 3 more")


@given(TEXTS, TEXTS)
def test_unknown_characters_can_be_skipped(known: str, text: str) -> None:
    vocabulary = Vocabulary(known)
    ids = vocabulary.encode(text, unknown="skip")
    assert vocabulary.decode(ids) == "".join(c for c in text if c in set(known))


def test_a_vocabulary_of_nothing_is_refused() -> None:
    with pytest.raises(CorpusError, match="at least one character"):
        Vocabulary("")


def test_characters_are_shown_safely() -> None:
    assert show_character("é") == "'é' (U+00E9)"
    assert show_character("\x1b") == "'\\x1b' (U+001B)"


# --- reading -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of texts, and the current directory."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"b.txt": "beta ", "a.txt": "älpha ", "10.txt": "ten ", "c.md": "no"}.items():
        Path(name).write_text(text, encoding="utf-8")
    with gzip.open("z.gz", "wb") as file:
        file.write(b"zipped ")
    return tmp_path


def test_files_gzips_folders_and_globs_are_read_and_joined_in_order(folder: Path) -> None:
    assert read_text(["a.txt"]) == "älpha "
    assert read_text(["b.txt", "z.gz", "a.txt"]) == "beta zipped älpha "
    assert read_text([str(folder)]) == read_text(["*.txt"]) == "ten älpha beta "
    assert read_text(["[bz].*"]) == "beta zipped "


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder: Path) -> None:
    Path("[a].txt").write_text("literal")
    assert read_text(["[a].txt"]) == "literal"


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO("\ufeffpipé\r\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw, encoding="ascii"))
    assert read_text(["-"]) == "pipé\r\n"


def test_the_byte_order_mark_is_dropped_and_line_ends_are_kept(folder: Path) -> None:
    Path("dos.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text(["dos.txt"]) == "one\r\ntwo\rthree\n"
    assert read_text(["dos.txt"], normalize_newlines=True) == "one\ntwo\nthree\n"


def read_error(path: str) -> str:
    with pytest.raises(CorpusError) as caught:
        read_text([path])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("start", "offset"), [(b"", 6), (b"\xef\xbb\xbf", 9)])
def test_a_byte_that_is_not_utf8_is_named_with_line_and_offset(
    folder: Path, start: bytes, offset: int
) -> None:
    Path("bad.txt").write_bytes(start + b"one\ntw\xe9\nthree\n")
    found = read_error("bad.txt")
    assert found.startswith(f"bad.txt:2: not UTF-8 text: byte 0xe9 at offset {offset}; ")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nope.txt", "nope.txt: No such file or directory"),
        ("nope/*.txt", "nope/*.txt: no file matches"),
        ("empty", "empty: a folder without *.txt files"),
        ("a\0b", ""),
        ("x" * 300, "x" * 300 + ": File name too long"),
        ("x" * 300 + "*", "x" * 300 + "*: "),
    ],
)
def test_a_path_that_leads_nowhere_is_one_line(folder: Path, path: str, message: str) -> None:
    Path("empty").mkdir()
    assert read_error(path).startswith(message)


def test_a_gzip_file_damaged_anywhere_is_one_line(folder: Path) -> None:
    whole = gzip.compress(b"to be or not to be, " * 40, mtime=0)
    Path("z.gz").write_bytes(whole[:-12])
    assert read_error("z.gz").startswith("z.gz: not a whole gzip file: ")
    Path("z.gz").write_bytes(b"plain text")
    assert read_error("z.gz").startswith("z.gz: not a whole gzip file: ")
    for place in range(10, len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        Path("z.gz").write_bytes(damaged)
        assert read_error("z.gz").startswith("z.gz: not a whole gzip file: ")


# --- splits --------------------------------------------------------------------------------------


@given(st.integers(20, 3000))
def test_ninety_and_ten_percent_are_the_usual_slices(n: int) -> None:
    text = "ab" * (n // 2) + "c" * (n % 2)
    corpus = Corpus.from_text(text, val_fraction=0.1)
    decode = corpus.vocabulary.decode
    assert decode(corpus.split("train")) == text[: int(n * 0.9)]
    assert decode(corpus.split("val")) == text[int(n * 0.9) :]
    assert len(corpus.split("test")) == 0


@given(st.integers(200, 500), st.floats(0.01, 0.4), st.floats(0.01, 0.4))
def test_the_splits_lie_side_by_side_and_cover_the_text(n: int, val: float, test: float) -> None:
    text = "".join(map(chr, range(n)))
    corpus = Corpus.from_text(text, val_fraction=val, test_fraction=test)
    parts = [corpus.split("train"), corpus.split("val"), corpus.split("test")]
    assert np.concatenate(parts).tolist() == corpus.ids.tolist() == corpus.split("all").tolist()
    assert len(parts[1]) == pytest.approx(n * val, abs=1)
    assert len(parts[2]) == pytest.approx(n * test, abs=1)


def test_the_vocabulary_is_of_all_splits_unless_it_is_given() -> None:
    text = "ab" * 45 + "cd" * 5
    assert Corpus.from_text(text, val_fraction=0.1).vocabulary.characters == "abcd"
    assert Corpus.from_text("abab", vocabulary=Vocabulary("xab")).ids.tolist() == [0, 1, 0, 1]
    with pytest.raises(UnknownCharactersError):
        Corpus.from_text("abc", vocabulary=Vocabulary("ab"))


def test_the_fingerprint_is_the_sha256_of_the_text() -> None:
    assert Corpus.from_text("né\n").fingerprint == (
        "9f8aa52f24100ff479a39365dc8e7f691f435006b610381220ee69b2745d2b67"
    )


@pytest.mark.parametrize(
    ("text", "val", "test", "message"),
    [
        ("", 0.0, 0.0, "the text is empty; predicting takes at least 2 characters"),
        ("a", 0.0, 0.0, "the text holds one character; "),
        ("aa", 0.1, 0.0, "2 characters leave 1 for the train split; "),
        ("a" * 10, 0.1, 0.0, "10 characters leave 1 for the val split; "),
        ("a" * 10, 0.2, 0.1, "10 characters leave 1 for the test split; "),
    ],
)
def test_a_text_too_short_to_predict_from_is_refused(
    text: str, val: float, test: float, message: str
) -> None:
    with pytest.raises(CorpusError) as caught:
        Corpus.from_text(text, val_fraction=val, test_fraction=test)
    assert str(caught.value).startswith(message)


# --- streams -------------------------------------------------------------------------------------


@st.composite
def streams(draw: st.DrawFn) -> Streams:
    B, T = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    N = draw(st.integers(B + 1, 80))
    return Streams(np.arange(N, dtype=np.uint8), B, T, draw(st.booleans()))


def window(streams: Streams, step: int, which: slice = slice(None)) -> tuple[Any, Any]:
    b = len(range(streams.batch_size)[which])
    inputs, targets = np.full((2, streams.seq_length, b), -1)
    streams.read(step, inputs, targets, which)
    return inputs[: streams.length(step)], targets[: streams.length(step)]


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
        assert list(map(streams.starts_epoch, numbers)) == [True] + [False] * (steps - 1)
        windows = [window(streams, step) for step in numbers]
        inputs = np.concatenate([inputs for inputs, _ in windows])
        targets = np.concatenate([targets for _, targets in windows])
        read = len(inputs)
        assert read == length or (streams.drop_last and length - streams.seq_length <= read)
        for b in range(streams.batch_size):
            # The ids are their own places in the text.
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
    # The rule as that script has it.
    n, p = 0, 0
    while n < steps:
        reset = False
        if p + T + 1 >= len(data) or n == 0:
            reset, p = True, 0
        inputs, targets = window(streams, n)
        assert streams.starts_epoch(n) == reset
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
