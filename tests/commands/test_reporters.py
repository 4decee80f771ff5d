"""What the commands show on a terminal."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import charnn
from charnn.commands.reporters import LiveReporter, PlainReporter, Reporter
from charnn.training.events import Evaluating
from charnn.training.trainer import Trainer
from tests.helpers.commands import CHARNN, TRAIN, Terminal, ok, on_a_terminal
from tests.helpers.texts import english

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
    # The kernel does not suspend a process in its own session.
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert result.stdout.strip() == repr("\x1b[?25h\x1b[?25l" + 2 * "\x1b[?25h")


def reporter_of(kind: type[Reporter], folder: Path, *more: Any) -> tuple[Reporter, Trainer]:
    config = charnn.Config(
        model=charnn.ModelConfig(hidden_size=4),
        training=charnn.TrainingConfig(max_steps=10),
        output=charnn.OutputConfig(checkpoint=str(folder / "run.npz")),
    )
    trainer = Trainer(config, charnn.Corpus.from_text(english(3_000)))
    return kind(trainer, *more), trainer


def test_a_log_file_shows_how_far_a_long_validation_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter, _ = reporter_of(PlainReporter, tmp_path)
    now = 0.0
    monkeypatch.setattr("charnn.commands.reporters.time.perf_counter", lambda: now)
    for seconds, done in [(0, 1), (9, 90), (11, 110), (60, 600), (72, 720), (99, 990)]:
        now = float(seconds)
        reporter.show(Evaluating(done, 1000))
    said = capsys.readouterr().err.splitlines()
    assert said == ["validating: 11%  left 1m29s", "validating: 72%  left 28s"]


def test_bars_that_a_narrower_window_wraps_are_erased(tmp_path: Path) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    reporter, _ = reporter_of(LiveReporter, tmp_path, lambda: "sample", screen)
    assert isinstance(screen.file, io.StringIO)
    with reporter:
        reporter.show(Evaluating(1, 300))
        before = screen.file.tell()
        screen.width = 40  # now each of the two bars takes three lines
        time.sleep(0.15)
        reporter.show(Evaluating(2, 300))
        written = screen.file.getvalue()[before:]
    assert written.startswith("\x1b[2K" + 4 * "\x1b[1A\x1b[2K")


def test_the_time_left_is_shown_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=40, height=30)
    reporter, trainer = reporter_of(LiveReporter, tmp_path, lambda: "sample", screen)
    assert isinstance(reporter, LiveReporter)
    monkeypatch.setattr(trainer.progress, "step", 10_000)
    monkeypatch.setattr(reporter, "time_left", lambda: "12h05m")
    reporter.show(Evaluating(1, 300_000))
    screen.print(reporter.display())
    assert isinstance(screen.file, io.StringIO)
    lines = re.sub("\x1b[^m]*m", "", screen.file.getvalue()).splitlines()
    assert re.fullmatch("train .*10,000/10 *12h05m *", lines[0])
    assert max(map(len, lines)) <= 40
