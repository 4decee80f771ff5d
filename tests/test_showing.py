"""charnn shows characters safely."""

import math
from collections.abc import Callable

import pytest

from charnn.showing import escaped, excerpt, json_line, one_line, printable, show_character

# These are control characters, a surrogate, a zero-width space, a byte-order mark, a soft hyphen, a
# direction override, an isolate, the separators of lines and paragraphs, and a tag.
HIDDEN = "\x00\x07\x1b\x7f\x9b\udc80\u200b\ufeff\xad\u202e\u2066\u2028\u2029\U000e0041"


def test_characters_are_shown_safely() -> None:
    assert show_character("é") == "'é' (U+00E9)"
    assert show_character("\x1b") == "'\\x1b' (U+001B)"


@pytest.mark.parametrize("shown", [escaped, one_line, excerpt, printable])
@pytest.mark.parametrize("character", HIDDEN)
def test_what_is_invisible_or_turns_a_line_around_is_escaped(
    shown: Callable[[str], str], character: str
) -> None:
    found = shown(f"a{character}b")
    assert character not in found
    assert found.startswith("a\\")
    assert found.isprintable()


def test_whole_texts_keep_what_belongs_to_writing() -> None:
    text = "line\n\tAl\u200cefba \U0001f469\u200d\U0001f4bb e\u0301 漢\u3000字 5\xa0km"
    assert escaped(text) == text


def test_json_has_no_numbers_that_are_not_finite() -> None:
    value = {"a": math.nan, "b": [1.5, (math.inf, "NaN")], "c": None, "d": True}
    assert json_line(value) == '{"a": null, "b": [1.5, [null, "NaN"]], "c": null, "d": true}'
