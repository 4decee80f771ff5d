"""Text from files and models, made safe to show: escapes, excerpts and JSON. Reprs of objects.

Every text from outside charnn passes through this module before a terminal shows it.
"""

import json
import math
import unicodedata
from typing import Any

_MOST_OF_A_LINE = 1000  # characters
_MOST_OF_AN_EXCERPT = 200
_MOST_OF_A_VALUE = 60
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # categories of Unicode
_KEPT = "\n\t\u200c\u200d"

BOUNDARY = "\ud800"  # between documents: half of a UTF-16 pair, which UTF-8 cannot contain
BOUNDARY_NAME = "⟨end⟩"


def _escape(character: str) -> str:
    if character == BOUNDARY:
        return BOUNDARY_NAME
    return character.encode("unicode_escape").decode()


def escaped(text: str) -> str:
    """Escape characters that are invisible or move others. Use it for whole texts.

    These are control and format characters, surrogates, and the separators of lines and
    paragraphs. \\n, \\t and the two joiners stay: scripts and emoji are written with joiners.
    """
    return "".join(
        _escape(character)
        if unicodedata.category(character) in _HIDDEN and character not in _KEPT
        else character
        for character in text
    )


def one_line(text: str) -> str:
    """Escape as `printable` does, and keep at most 1000 characters. Use it for messages."""
    line = printable(text[:_MOST_OF_A_LINE])
    return line if len(line) <= _MOST_OF_A_LINE else line[: _MOST_OF_A_LINE - 3] + "..."


def excerpt(text: str, most: int = _MOST_OF_AN_EXCERPT) -> str:
    """Keep 200 characters on one line and count the rest. Use it for long texts among figures."""
    more = len(text) - most
    return one_line(text[:most]) + (f" … and {more:,} more" if more > 0 else "")


def printable(text: str) -> str:
    """Escape all characters that are not printable, also \\n and \\t. Use it in tables."""
    return "".join(
        character if character.isprintable() else _escape(character) for character in text
    )


def visible(text: str) -> str:
    """Show a line end as ↵ and escape as `printable` does. Use it for coloured text."""
    return printable(text.replace("\n", "↵"))


def visible_character(character: str) -> str:
    """Show a space as ␣ and all others as `visible` does. Use it for a single character."""
    return "␣" if character == " " else visible(character)


def show_character(character: str) -> str:
    """Show a character and its code point, as 'é' (U+00E9). Use it in errors about a character."""
    if character == BOUNDARY:
        return BOUNDARY_NAME
    return f"'{printable(character)}' (U+{ord(character):04X})"


def show_value(value: Any) -> str:
    """Show a value as YAML writes it, in 60 ASCII characters. Use it in errors about a config."""
    text = "null" if value is None else str(value)
    if isinstance(value, bool):
        text = text.lower()
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _MOST_OF_A_VALUE else text[: _MOST_OF_A_VALUE - 3] + "..."


def show_loss(nats: float) -> str:
    """Show a loss per character in both units, as 1.4653 nats/char (2.114 bits)."""
    return f"{nats:.4f} nats/char ({nats / math.log(2):.3f} bits)"


def json_line(value: Any) -> str:
    """Return a value as one line of JSON that is safe on a terminal. Use it for `--json`.

    JSON has no NaN and no infinity, so they become null.
    """
    # JSON escapes the control characters below 0x20 only. Terminals also obey 0x7F to 0x9F.
    escapes = {point: f"\\u{point:04x}" for point in range(0x7F, 0xA0)}
    escapes[ord(BOUNDARY)] = BOUNDARY_NAME
    return json.dumps(_finite(value), ensure_ascii=False).translate(escapes)


def _finite(value: Any) -> Any:
    """Return a JSON value with None for each number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value


class Shown:
    """Gives a class a short repr for notebooks: its name and its `str`.

    The class defines `__str__`: a few facts in one or more lines, never an array.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def _lines(self, *names: str) -> str:
        """Return the named attributes, each on a line of its own, for the end of a longer `str`."""
        return "".join(f"\n  {name}: {getattr(self, name)}" for name in names)
