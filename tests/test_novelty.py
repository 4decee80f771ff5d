"""`copies` equals a plain search for every run."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn import novelty
from charnn.novelty import copies
from tests.helpers.copies import copied_runs
from tests.helpers.texts import english


def found(
    texts: list[str], source: str, dtype: type[np.unsignedinteger[Any]] = np.uint16
) -> tuple[int, str]:
    *encoded, read = [np.array([*map(ord, text)], dtype) for text in (*texts, source)]
    result = copies(encoded, read)
    assert result.characters == sum(map(len, texts))
    assert result.share == result.inside / max(1, result.characters)
    assert result.longest.dtype == dtype
    return result.inside, "".join(map(chr, result.longest))


@st.composite
def texts_and_source(draw: st.DrawFn) -> tuple[list[str], str]:
    """Draw a source of few or many characters, and texts made of pieces of it."""
    alphabet = draw(st.sampled_from(["a", "ab", "abcdefgh", "\x00ÿ\uffff"]))
    source = draw(st.text(alphabet, max_size=30)) * draw(st.integers(1, 8))
    source += draw(st.text(alphabet, max_size=60))
    places = st.integers(0, len(source))
    copied = st.tuples(places, places).map(lambda ends: source[min(ends) : max(ends)])
    parts = st.lists(copied | st.text(alphabet + "z", max_size=5), max_size=5)
    return draw(st.lists(parts.map("".join), max_size=3)), source


@given(texts_and_source(), st.sampled_from([1, 7, 1 << 20]))
def test_copies_are_those_of_a_plain_search(given: tuple[list[str], str], block: int) -> None:
    with patch.object(novelty, "_BLOCK", block):
        assert found(*given) == copied_runs(*given)


def test_a_known_copy_is_found_to_the_character() -> None:
    source = english(30_000)
    text = "zz" + source[5000:5033] + "zz" + source[100:119] + "zz" + source[9000:9020]
    inside, longest = found([text], source, np.uint8)
    assert (inside, longest) == (33 + 20, source[5000:5033])


def test_a_run_ends_with_its_text() -> None:
    source = english(1000)
    assert found([source[:15], source[15:30]], source) == (0, source[:15])
    assert found([source[:30]], source) == (30, source[:30])


def test_a_text_that_is_all_copied_or_repeats_itself() -> None:
    source = english(50_000, seed=1)
    assert found([source], source) == (len(source), source)
    assert found(["a" * 3000], "a" * 2000) == (3000, "a" * 2000)


def test_a_run_may_lie_across_blocks_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "_BLOCK", 1000)
    source = english(5000)
    for start in (940, 990, 999, 1000, 3999):
        text = "Z" + source[start : start + 60]
        assert found([text], source) == copied_runs([text], source)
