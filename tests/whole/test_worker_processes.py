"""However a real command with workers ends, its workers end and its checkpoint is whole."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from charnn.checkpoint.checkpoint import load
from tests.helpers.commands import CHARNN
from tests.helpers.processes import alive, children
from tests.helpers.runs import log_lines
from tests.helpers.texts import english

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("program", "reason"),
    [("/no/python", "a worker cannot be started: No such file"), ("/bin/false", "(status 1)")],
)
def test_without_a_python_to_start_there_is_one_clear_line(
    folder: Path, program: str, reason: str
) -> None:
    code = f"import sys; sys.executable = {program!r}; from charnn.commands.app import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, *TRAIN, "--quiet"], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("charnn: error: a worker ")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


TRAIN = ["train", "--data", "text.txt", "--out", "run.npz", "--max-steps", "30", "--seed", "1"]
for setting in (
    "model.hidden_size=128",
    "model.dropout=0.1",
    "training.batch_size=32",
    "training.seq_length=16",
    "training.threads=3",
    "training.eval_every=10",
    "training.save_every=5",
):
    TRAIN += ["--set", setting]


ENDLESS = [*TRAIN, "--max-steps", "1000000"]


RESUME = [*CHARNN, "train", "--resume", "--out", "run.npz", "--quiet"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(english(20_000))
    return tmp_path


@contextmanager
def running(folder: Path, until: str = "step 20/") -> Iterator[tuple[Any, list[int]]]:
    """Start an endless run in its own process group; yield the process and its workers."""
    with subprocess.Popen(
        [*CHARNN, *ENDLESS], cwd=folder, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stderr
        assert any(until in line for line in process.stderr)
        while len(workers := children(process.pid)) < 2:
            time.sleep(0.001)
        yield process, workers
    wait_until_gone(workers)
    assert load(folder / "run.npz").progress.step >= 0
    subprocess.run([*RESUME, "--stop-after", "1"], cwd=folder, check=True)


def wait_until_gone(processes: list[int]) -> None:
    until = time.monotonic() + 2
    while any(map(alive, processes)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_stopped_and_resumed_ends_with_the_same_bytes(folder: Path) -> None:
    def outputs() -> tuple[Any, ...]:
        files = [(folder / name).read_bytes() for name in ("run.npz", "run.best.npz")]
        return *files, log_lines(folder / "run.jsonl")

    subprocess.run([*CHARNN, *TRAIN, "--quiet"], cwd=folder, check=True)
    expected = outputs()
    again = [*CHARNN, *TRAIN, "--quiet", "--overwrite", "--stop-after", "13"]
    subprocess.run(again, cwd=folder, check=True)
    assert outputs() != expected
    subprocess.run(RESUME, cwd=folder, check=True)
    assert outputs() == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_ends_it_with_a_save(folder: Path, number: int) -> None:
    with running(folder) as (process, workers):
        for worker in workers:  # as a service manager does
            os.kill(worker, number)
        os.killpg(process.pid, number)
        said = process.stderr.read()
        assert process.wait() == 128 + number
        assert "interrupted:" in said
        assert "error" not in said
        assert load(folder / "run.npz").progress.step >= 20


def test_workers_ignore_signals_while_they_start_too(folder: Path) -> None:
    with running(folder, until="plan: ") as (process, workers):
        for worker in workers:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(worker, number)
        assert any("step 10/" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM


def test_two_interrupts_end_it_at_once_and_the_workers_too(folder: Path) -> None:
    with running(folder) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 128 + signal.SIGINT


def test_workers_end_with_the_first_process(folder: Path) -> None:
    with running(folder) as (process, _):
        process.kill()


def test_a_killed_worker_is_one_clear_line_and_the_checkpoint_is_whole(folder: Path) -> None:
    with running(folder) as (process, workers):
        os.kill(workers[-1], signal.SIGKILL)
        said = process.stderr.read()
        assert process.wait() == 1
        assert said.splitlines()[-1].startswith(
            "charnn: error: a worker process ended (status -9), perhaps for lack of memory; "
        )
        assert said.count("charnn: error") == 1
        assert "Traceback" not in said
    assert not list(folder.glob(".*.tmp"))
