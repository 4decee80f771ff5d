"""An interrupt at any time gives an exit code and no traceback, and spoils nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charnn.checkpoint.checkpoint import load
from tests.helpers.checkpoints import make_checkpoint
from tests.helpers.commands import CHARNN, TRAIN, Terminal
from tests.helpers.texts import english

pytestmark = pytest.mark.processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(english(20_000))
    return tmp_path


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [TRAIN, ["eval", "--ckpt", "good.npz"]], ids=["train", "eval"])
def test_an_interrupt_while_the_text_is_read_leaves_nothing(
    tmp_path: Path, number: signal.Signals, command: list[str]
) -> None:
    make_checkpoint().save(tmp_path / "good.npz")
    arguments = [part if part != "text.txt" else "-" for part in command]
    arguments += [] if "--data" in arguments else ["--data", "-"]
    with subprocess.Popen(
        [*CHARNN, *arguments], cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until_it_reads(process.pid)
        process.send_signal(number)
        assert process.stderr
        assert process.stderr.read() == b""
    assert process.returncode in (128 + number, -number)
    assert [path.name for path in tmp_path.iterdir()] == ["good.npz"]


@pytest.mark.parametrize("command", [CHARNN, [str(Path(sys.executable).parent / "charnn")]])
@pytest.mark.parametrize("module", ["typer", "yaml", "numpy"])
def test_an_interrupt_while_python_imports_is_an_exit_code(
    folder: Path, command: list[str], module: str
) -> None:
    (folder / f"{module}.py").write_text("import os\nos.kill(os.getpid(), 2)\n")
    result = subprocess.run(
        [*command, *TRAIN],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (130, b"")
    assert not (folder / "run.npz").exists()


def wait_until_it_reads(process: int) -> None:
    """Wait until a process sleeps in a read of its standard input."""
    for _ in range(600):
        time.sleep(0.05)
        if Path(f"/proc/{process}/syscall").read_text().startswith("0 0x0 "):
            return
    raise TimeoutError


@pytest.mark.parametrize(("number", "times"), [(SIGNALS[0], 1), (SIGNALS[0], 2), (SIGNALS[2], 1)])
def test_an_interrupt_while_it_validates_saves_or_at_least_spoils_nothing(
    folder: Path, number: signal.Signals, times: int
) -> None:
    # Validation reads nine tenths of a longer text after every step, so it takes most of the time.
    (folder / "text.txt").write_text(english(200_000))
    settings = ["--set", "data.val_fraction=0.9", "--set", "training.eval_every=1"]
    command = [*CHARNN, *TRAIN, *settings, "--max-steps", "100000"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("step 2/" in line for line in process.stderr)
        for _ in range(times):
            process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert load(folder / "run.npz").progress.step >= (0 if times == 2 else 2)
    resume = [*CHARNN, "train", "--resume", "--out", "run.npz", "--stop-after", "1", "--quiet"]
    subprocess.run(resume, cwd=folder, check=True)
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.terminal
def test_a_terminal_that_closes_while_the_text_is_read_ends_it(folder: Path) -> None:
    arguments = [part if part != "text.txt" else "-" for part in TRAIN]
    with Terminal(*arguments, cwd=folder, stdin=subprocess.PIPE) as terminal:
        wait_until_it_reads(terminal.process.pid)
        terminal.close()
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.wait() in (129, -signal.SIGHUP)
    assert [path.name for path in folder.iterdir()] == ["text.txt"]
