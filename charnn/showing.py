"""TODO."""

import unicodedata


def escaped(text: str) -> str:
    """Make a text safe to show on a terminal: control characters but \\n and \\t become escapes."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"
        else character
        for character in text
    )


def one_line(text: str) -> str:
    """Make a text safe to show on a terminal and keep it on one line, at most 1000 characters."""
    line = escaped(text[:1000]).replace("\n", "\\n").replace("\t", "\\t")
    return line if len(line) <= 1000 else line[:997] + "..."


def show_character(character: str) -> str:
    """Return a character and its code point, control characters escaped: 'é' (U+00E9)."""
    shown = character if character.isprintable() else character.encode("unicode_escape").decode()
    return f"'{shown}' (U+{ord(character):04X})"
