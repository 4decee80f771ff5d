"""Each function that shows text escapes the characters it is for."""

import json
import subprocess
import sys
from pathlib import Path

from charnn.showing import (
    escaped,
    excerpt,
    json_line,
    one_line,
    printable,
    show_character,
    show_value,
    visible,
    visible_character,
)

HOSTILE = "\x1b[2J\x7f\x9b\ud801"
ESCAPED = r"\x1b[2J\x7f\x9b\ud801"


def test_every_way_escapes_what_steers_a_terminal() -> None:
    for show in (escaped, one_line, excerpt, printable, visible):
        assert show(f"é {HOSTILE}漢") == f"é {ESCAPED}漢"
    assert show_value(HOSTILE) == ESCAPED
    assert [show_character(c) for c in "é\x9b"] == ["'é' (U+00E9)", r"'\x9b' (U+009B)"]


def test_they_differ_in_line_ends_tabs_and_spaces() -> None:
    text = "a \n\t\xa0"
    assert escaped(text) == text
    assert one_line(text) == excerpt(text) == printable(text) == r"a \n\t\xa0"
    assert visible(text) == r"a ↵\t\xa0"
    assert [visible_character(c) for c in "a \n"] == ["a", "␣", "↵"]


def test_long_texts_are_cut() -> None:
    assert one_line("x" * 1000) == "x" * 1000
    assert one_line("\n" * 1000) == "\\n" * 498 + "\\..."
    assert excerpt("x" * 200) == "x" * 200
    assert excerpt("x" * 1201) == "x" * 200 + " … and 1,001 more"
    assert show_value("x" * 61) == "x" * 57 + "..."


def test_config_values_look_as_in_yaml() -> None:
    shown = [show_value(value) for value in (None, True, "é\n", 1e-3, [1, 2])]
    assert shown == ["null", "true", r"\xe9\n", "0.001", "[1, 2]"]


def test_json_stays_json_and_has_no_control_character() -> None:
    value = {"é": "\x1b\x7f\x9b\n", "n": None}
    line = json_line(value)
    assert json.loads(line) == value
    assert line.isprintable()
    assert "é" in line


def test_json_of_an_inspection_has_no_control_character(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ab\x7f\x9b" * 99)

    def charnn(command: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "charnn", *command.split()],
            cwd=tmp_path,
            capture_output=True,
            check=True,
            text=True,
        ).stdout

    charnn("train --data text --out run.npz --max-steps 1 --set model.hidden_size=4 --quiet")
    output = charnn("inspect --ckpt run.npz --data text --view surprise --json")
    assert output.removesuffix("\n").isprintable()
    assert {row["character"] for row in json.loads(output)["surprise"]} == set("ab\x7f\x9b")
