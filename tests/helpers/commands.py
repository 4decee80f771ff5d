"""Run each command in its own process, as a shell does."""

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import Self

CHARNN = [sys.executable, "-m", "charnn"]
# These arguments start a short run on text.txt.
TRAIN = ["train", "--data", "text.txt", "--out", "run.npz", "--max-steps", "40", "--seed", "1"]
TRAIN += ["--set", "model.hidden_size=16", "--set", "model.num_layers=2"]
TRAIN += ["--set", "training.eval_every=10"]


def run(*arguments: str, cwd: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for its end."""
    return subprocess.run(
        [*CHARNN, *arguments],
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def ok(*arguments: str, cwd: Path, text: str | None = None) -> str:
    """Run a command that must succeed; return what it printed."""
    result = run(*arguments, cwd=cwd, text=text)
    assert result.returncode == 0, result.stderr
    return result.stdout


class Terminal:
    """A command on a pseudo-terminal. The end of the `with` block kills it if it still runs.

    A thread reads the output all the time, because a full terminal blocks the command.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        stdin: int | None = None,
        environment: dict[str, str] | None = None,
    ):
        self.shown = b""
        self._controller, terminal = pty.openpty()
        self._closing = Event()
        self.process = subprocess.Popen(
            [*CHARNN, *arguments],
            cwd=cwd,
            stdin=stdin,
            stdout=terminal,
            stderr=terminal,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"} | (environment or {}),
            start_new_session=True,
        )
        os.close(terminal)
        self._reading = Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        with contextlib.suppress(
            OSError
        ):  # reading fails once the last writer has closed the terminal
            while not self._closing.is_set():
                if select.select([self._controller], [], [], 0.02)[0]:
                    self.shown += os.read(self._controller, 65536)

    def wait_for(self, words: bytes) -> None:
        """Wait until the terminal shows some words."""
        until = time.monotonic() + 60
        while words not in self.shown:
            assert self._reading.is_alive(), self.shown
            assert time.monotonic() < until, self.shown
            time.sleep(0.01)

    def wait(self) -> int:
        """Wait until the command ends; return its exit code."""
        code = self.process.wait(60)
        self._reading.join(60)
        return code

    def close(self) -> None:
        """Close the terminal, as closing its window does."""
        self._closing.set()
        self._reading.join()
        os.close(self._controller)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self.process:
            self.process.kill()
        if not self._closing.is_set():
            self.close()


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed on a terminal; return its screen."""
    with Terminal(*arguments, cwd=cwd, environment=environment) as terminal:
        assert terminal.wait() == 0, terminal.shown
    return terminal.shown.decode().replace("\r\n", "\n")


def refused(code: int, *arguments: str, cwd: Path, text: str | None = None) -> str:
    """Run a command that must fail with one clear line; return the line."""
    result = run(*arguments, cwd=cwd, text=text)
    assert result.returncode == code, result.stderr
    return only_error(result.stdout, result.stderr)


def only_error(out: str, err: str) -> str:
    """Check that a command printed one error line and nothing else; return the error."""
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("charnn: error: ")
    return lines[0].removeprefix("charnn: error: ")


def train_small(folder: Path, text: str, name: str, layers: int = 1, *more: str) -> None:
    """Train a small model on a text; write NAME.txt, NAME.npz and the files beside it."""
    (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    arguments = ["--data", f"{name}.txt", "--out", f"{name}.npz", "--seed", "1", "--quiet"]
    for setting in (f"model.num_layers={layers}", "model.hidden_size=16", "training.log_every=5"):
        arguments += ["--set", setting]
    ok("train", *arguments, "--max-steps", "40", *more, cwd=folder)
