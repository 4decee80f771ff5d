"""Encoding: unknown characters, and ids of long texts."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.showing import BOUNDARY, show_character
from charnn.text import spool
from charnn.text.corpus import Corpus
from charnn.text.encoding import UnknownCharactersError
from charnn.text.vocabulary import Vocabulary
from tests.helpers.blocks import SIZES, pieces_of


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


def unknown_ones(text: str, known: str) -> str:
    """Describe the characters of a text that are not known, place by place."""
    places: dict[str, str] = {}
    total, line, column = 0, 1, 1
    for character in text:
        if character not in known:
            total += 1
            shown = f"{show_character(character)} at line {line}, column {column}"
            places.setdefault(character, shown)
        line, column = (line + 1, 1) if character == "\n" else (line, column + 1)
    count = "1 character is" if total == 1 else f"{total} characters are"
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    few = "; ".join(list(places.values())[:5])
    return f"{count} not in the vocabulary ({len(places)} different): {few}{more}"


def test_in_documents_the_place_is_the_document_and_its_character() -> None:
    text = BOUNDARY.join(["", "ab", "béé", "", "a\nxb", ""])
    with pytest.raises(UnknownCharactersError) as caught:
        Vocabulary("ab\n" + BOUNDARY).encode(text)
    assert str(caught.value) == (
        "3 characters are not in the vocabulary (2 different): 'é' (U+00E9) at document 2, "
        "character 2; 'x' (U+0078) at document 4, character 3"
    )


def test_a_boundary_that_is_unknown_is_named() -> None:
    with pytest.raises(UnknownCharactersError) as caught:
        Corpus.from_text("ab\nbac\n", vocabulary=Vocabulary("ab\n"), documents="lines")
    assert str(caught.value) == (
        "4 characters are not in the vocabulary (2 different): ⟨end⟩ between documents; "
        "'c' (U+0063) at document 2, character 3"
    )


@given(st.text("ab" + BOUNDARY, max_size=40), SIZES)
def test_the_place_in_a_document_does_not_depend_on_where_pieces_are_cut(
    text: str, size: int
) -> None:
    before = (BOUNDARY + text).split(BOUNDARY)[1:]
    with pieces_of(size), pytest.raises(UnknownCharactersError) as caught:
        Vocabulary("ab" + BOUNDARY).encode(BOUNDARY + text + "x")
    place = f"document {len(before)}, character {len(before[-1]) + 1}"
    assert str(caught.value).endswith(f"'x' (U+0078) at {place}")


@given(st.text("abcdefg\né😀", max_size=40), st.text("abg\n", min_size=1), SIZES)
def test_unknown_characters_are_named_or_skipped_wherever_pieces_are_cut(
    text: str, known: str, size: int
) -> None:
    vocabulary = Vocabulary(known)
    kept = "".join(character for character in text if character in known)
    with pieces_of(size):
        assert vocabulary.decode(vocabulary.encode(text, unknown="skip")) == kept
    if kept != text:
        with pieces_of(size), pytest.raises(UnknownCharactersError) as caught:
            vocabulary.encode(text)
        assert str(caught.value) == unknown_ones(text, known)
    if len(kept) > 1:
        with pieces_of(size):
            skipping = Corpus.from_text(text, vocabulary=vocabulary, unknown="skip")
        assert vocabulary.decode(skipping.ids) == kept
        assert skipping.skipped == len(text) - len(kept)


@pytest.mark.parametrize("different", [3, 255, 256, 300, 70_000])
def test_the_ids_of_a_long_text_lie_in_a_file_without_a_name(
    different: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first characters take a byte each; later ones need wider numbers.
    points = [point for point in range(different + 0x800) if not 0xD800 <= point < 0xE000]
    text = "ba" * 5000 + "".join(map(chr, points[:different][::-1])) + "abc\n"
    plain = Corpus.from_text(text)
    assert plain.vocabulary.decode(plain.ids) == text
    monkeypatch.setattr(spool, "IN_MEMORY", 5000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = set(Path("/proc/self/fd").iterdir())
    long = Corpus.from_text(text)
    assert long.vocabulary == plain.vocabulary
    assert long.fingerprint == plain.fingerprint
    assert long.ids.dtype == plain.ids.dtype
    np.testing.assert_array_equal(long.ids, plain.ids)
    assert not long.ids.flags.writeable
    assert list(tmp_path.iterdir()) == []
    del long
    assert set(Path("/proc/self/fd").iterdir()) == files
