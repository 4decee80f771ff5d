"""Characters are shown safely."""

from charnn.showing import show_character


def test_characters_are_shown_safely() -> None:
    assert show_character("é") == "'é' (U+00E9)"
    assert show_character("\x1b") == "'\\x1b' (U+001B)"
