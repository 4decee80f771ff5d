"""Input and output of the commands: pipes, full disks, closed streams, encodings."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

import charnn
from tests.helpers.commands import CHARNN, TRAIN


def test_a_closed_pipe_ends_quietly(trained: Path) -> None:
    command = f"{' '.join(CHARNN)} sample --ckpt run.npz --n 1000000 --seed 1 | head -c 10"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=trained,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, len(result.stdout), result.stderr) == (0, 10, b"")


def test_help_read_by_halves_ends_quietly(trained: Path) -> None:
    command = f"{' '.join(CHARNN)} train --help | head -c 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=trained, capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"U", b"")


def test_a_full_disk_behind_stdout_is_one_line(trained: Path) -> None:
    sample = ["sample", "--ckpt", "run.npz", "--seed", "1"]
    for command in (["config"], ["--help"], ["train", "--help"], ["--version"], sample):
        with Path("/dev/full").open("wb") as full:
            result = subprocess.run(
                [*CHARNN, *command], cwd=trained, stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert result.returncode == 1
        line = b"charnn: error: standard output: No space left on device\n"
        assert result.stderr == line


@pytest.mark.processes
def test_a_run_under_nohup_outlives_its_terminal(folder: Path) -> None:
    command = "trap '' HUP; exec " + " ".join([*CHARNN, *TRAIN, "--max-steps=400"])
    with subprocess.Popen(command, shell=True, cwd=folder, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith(b"step 10/"):
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        process.stderr.read()
    assert process.returncode == 0
    assert charnn.load(folder / "run.npz").progress.step == 400


@pytest.mark.processes
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_stop_no_training(folder: Path, closed: str) -> None:
    command = " ".join([*CHARNN, *TRAIN, "--threads", "2", closed])
    result = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert charnn.load(folder / "run.npz").progress.step == 40
    assert result.stdout == b""


def test_results_need_an_open_stdout(trained: Path) -> None:
    for command in (
        "inspect --ckpt run.npz",
        "eval --ckpt run.npz",
        "info --ckpt run.npz",
        "config",
    ):
        shell = " ".join([*CHARNN, command, ">&-"])
        result = subprocess.run(shell, shell=True, cwd=trained, capture_output=True, check=False)
        line = b"charnn: error: standard output is closed\n"
        assert (result.returncode, result.stderr) == (1, line)


def test_output_is_utf8_whatever_the_locale(folder: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    printed = subprocess.run(
        [*CHARNN, "config"], cwd=folder, env=environment, capture_output=True, check=True
    ).stdout
    assert "W on ±1/√H" in printed.decode("utf-8")
