"""Run commands in this process, within a time limit. This is much faster than a new process."""

import contextlib
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from charnn.commands import app
from tests.helpers.commands import only_error

SECONDS = 10  # a command that takes longer counts as hung


@contextlib.contextmanager
def deadline() -> Iterator[None]:
    """Raise if the work takes too long."""

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"hangs: more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def charnn(arguments: list[str], stdin: bytes = b"") -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, stdout and stderr."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    fed = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    code: Any = 0
    with (
        patch.multiple(sys, argv=["charnn", *arguments], stdin=fed, stdout=out, stderr=err),
        deadline(),
    ):
        try:
            app.main()
        except SystemExit as error:
            code = error.code
    for stream in (out, err):
        stream.flush()
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return code, texts[0], texts[1]


def run_here(
    *arguments: str, cwd: Path, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process."""
    with contextlib.chdir(cwd):
        code, out, err = charnn([*arguments], (text or "").encode())
    return subprocess.CompletedProcess(arguments, code, out, err)


def ok_here(*arguments: str, cwd: Path, text: str | None = None) -> str:
    """Run a command in this process that must succeed; return what it printed."""
    result = run_here(*arguments, cwd=cwd, text=text)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused_here(code: int, *arguments: str, cwd: Path) -> str:
    """Run a command in this process that must fail with one clear line; return the line."""
    result = run_here(*arguments, cwd=cwd)
    assert result.returncode == code, result.stderr
    return only_error(result.stdout, result.stderr)
