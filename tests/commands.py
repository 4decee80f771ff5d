"""Commands as a shell would run them."""

import subprocess
import sys
from pathlib import Path

CHARNN = [sys.executable, "-m", "charnn"]


def run(*arguments: str, cwd: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
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
