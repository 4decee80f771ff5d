"""What `train` shows on a terminal."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import CHARNN, TRAIN, Terminal, ok, on_a_terminal

pytestmark = pytest.mark.terminal


def test_on_a_terminal_a_text_that_takes_long_is_shown_as_it_is_read(tmp_path: Path) -> None:
    with Terminal(
        "train", "--data", "-", "--out", "run.npz", cwd=tmp_path, stdin=subprocess.PIPE
    ) as terminal:
        assert terminal.process.stdin
        terminal.process.stdin.write(b"to be or not to be\n" * 10_000)
        terminal.process.stdin.flush()
        terminal.wait_for(b"kB")
        assert b"reading standard input" in terminal.shown
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 130
    assert not list(tmp_path.iterdir())


def test_on_a_terminal_there_is_a_bar_and_a_sample_and_control_characters_are_escaped(
    tmp_path: Path,
) -> None:
    (tmp_path / "text.txt").write_text("\x1b[31mred\x07 alert\n" * 500)
    shown = on_a_terminal(*TRAIN, "--max-steps", "20", cwd=tmp_path)
    assert "━" in shown
    assert "step 20  train" in shown
    assert "\\x1b" in shown
    sample = ["sample", "--ckpt", "run.npz", "--n", "300", "--seed", "1"]
    drawn = on_a_terminal(*sample, cwd=tmp_path)
    assert "\\x1b" in drawn
    for screen in (shown, drawn):
        assert "\x1b[31mred" not in screen
        assert "\x07" not in screen
    raw = ok(*sample, cwd=tmp_path)
    assert "\x1b" in raw
    assert len(raw) == 300


@pytest.mark.parametrize("columns", ["0", "", "-5", "wide", "²", "9" * 20])
def test_a_width_that_makes_no_sense_hides_nothing(
    folder: Path, trained: Path, columns: str
) -> None:
    shown = on_a_terminal(*TRAIN, "--max-steps", "10", cwd=folder, COLUMNS=columns)
    assert "step 10  train" in shown
    seen = on_a_terminal("inspect", "--ckpt", "run.npz", cwd=trained, COLUMNS=columns)
    assert "bits" in seen


def test_no_variable_forces_a_bar_into_a_file(trained: Path, tmp_path: Path) -> None:
    forced = os.environ | {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}
    commands = [
        "--help",
        "eval --json",
        "sample --novelty",
        "inspect",
        f"report -o {tmp_path}/r.html",
    ]
    for command in commands:
        checkpoint = [] if command == "--help" else ["--ckpt", "run.npz"]
        result = subprocess.run(
            [*CHARNN, *command.split(), *checkpoint],
            cwd=trained,
            env=forced,
            capture_output=True,
            check=True,
        )
        assert b"\x1b" not in result.stdout + result.stderr


def test_the_prompt_after_a_sample_begins_a_line(trained: Path) -> None:
    sample = ["sample", "--ckpt", "run.npz", "--seed", "1"]
    for n in range(20, 30):
        screen = on_a_terminal(*sample, f"--n={n}", cwd=trained)
        drawn = ok(*sample, f"--n={n}", cwd=trained)
        assert screen == drawn.removesuffix("\n") + "\n"


def test_training_shows_the_gradient_norm_and_the_share_of_clipped_steps(
    inside: Path, tmp_path: Path
) -> None:
    text = str(inside / "one.txt")
    drawn = on_a_terminal("train", "--data", text, "--out", "live.npz", "--max-steps", "30",
                          "--set", "training.clip_norm=1e-6", cwd=tmp_path)  # fmt: skip
    assert re.search(r"\|g\| \d+\.\d\d  clipped 100%  [\d,]+ chars/s", drawn)


def test_the_cursor_is_there_while_a_run_is_suspended(folder: Path) -> None:
    # The kernel does not suspend a process without a shell, so it goes on at once.
    with Terminal(*TRAIN, "--max-steps", "1000000", cwd=folder) as terminal:
        terminal.wait_for(b"step 10  train")
        before = len(terminal.shown)
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.wait_for(b"\x1b[?25h")
        assert b"\x1b[?25h" in terminal.shown[before:]
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 130
    assert re.search(rb"\x1b\[\?25h.*\x1b\[\?25l", terminal.shown[before:], re.DOTALL)


def test_after_a_suspension_the_cursor_goes_only_if_a_bar_is_drawn() -> None:
    code = """
import io, signal
from rich.console import Console
from charnn.commands.console import suspendable
shown = Console(file=io.StringIO(), force_terminal=True)
for drawn in (True, False):
    with suspendable(shown, lambda: drawn):
        signal.raise_signal(signal.SIGTSTP)
print(repr(shown.file.getvalue()))
"""
    # In a session of its own the kernel does not suspend it.
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert result.stdout.strip() == repr("\x1b[?25h\x1b[?25l" + 2 * "\x1b[?25h")
