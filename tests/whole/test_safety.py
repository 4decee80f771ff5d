"""Promises of docs/safety.md: the order of a save, locks, and escaped output."""

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from charnn.checkpoint.checkpoint import load
from charnn.errors import CharnnError
from charnn.files import write_atomically
from charnn.text.corpus import Corpus
from charnn.training.metrics import MetricsLog, exclusive
from charnn.training.outputs import Outputs
from charnn.training.trainer import Trainer
from tests.helpers.checkpoints import make_checkpoint
from tests.helpers.commands import CHARNN, TRAIN, on_a_terminal
from tests.helpers.faults import watching
from tests.helpers.in_process import charnn
from tests.helpers.runs import make_metrics
from tests.helpers.texts import english


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(english(20_000))
    return tmp_path


# --- the order of things -------------------------------------------------------------------------


def operations(run: Iterator[tuple[str, str]]) -> list[str]:
    """Return the operations without repetitions. All temporary files get the same name."""
    named = (f"{name} {'temporary' if path.endswith('.tmp') else path}" for name, path in run)
    return [name for name, _ in groupby(named)]


def test_a_save_writes_reads_back_flushes_renames_and_flushes_the_folder(tmp_path: Path) -> None:
    done: list[tuple[str, str]] = []
    with watching(lambda operation, path: done.append((operation, path))):
        make_checkpoint().save(tmp_path / "run.npz")
    assert operations(iter(done)) == [
        "open temporary",
        "write temporary",
        "read temporary",
        "fsync temporary",
        "chmod temporary",
        "replace temporary",
        f"open {tmp_path}",
        f"fsync {tmp_path}",
    ]


def test_a_line_of_the_log_is_one_write(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    log = MetricsLog(path)
    log.append(make_metrics(1))
    log.close()
    done: list[tuple[str, str]] = []
    with watching(lambda operation, path: done.append((operation, path))):
        log = MetricsLog(path, 1)
        log.append(make_metrics(2))
        log.sync()
        log.close()
    # `watching` splits each write into two halves.
    assert [name for name, _ in done] == ["open", "truncate", "write", "write", "fsync"]


def test_a_line_that_does_not_fit_leaves_no_half_behind(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    halves = 0

    def full(operation: str, path: str) -> None:
        nonlocal halves
        halves += operation == "write"
        if operation == "write" and halves == 4:
            raise OSError(28, "No space left on device")

    with watching(full):
        log = MetricsLog(path)
        log.append(make_metrics(1))
        with pytest.raises(CharnnError, match=r"run\.jsonl: cannot be written: No space left"):
            log.append(make_metrics(2))
        log.close()
    assert len(path.read_text().splitlines()) == 1
    assert path.read_text().endswith("\n")


# --- what a run finds where it begins ------------------------------------------------------------


def temporary(path: Path) -> Path:
    """Return the name of the temporary file that a write of this file uses."""
    names = list[str]()
    write_atomically(path, lambda _: names.extend(p.name for p in path.parent.glob(".*.tmp")))
    path.unlink()
    return path.with_name(names[0])


def test_what_a_killed_run_left_goes_with_the_next(folder: Path) -> None:
    left = [temporary(folder / name) for name in ("run.npz", "run.best.npz")]
    others = [temporary(folder / "other.npz"), folder / "run.npz.tmp"]
    for path in left + others:
        path.touch()
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "1"], cwd=folder, check=True)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_an_empty_log_is_no_run(folder: Path) -> None:
    """A run that is killed right after it takes its lock leaves an empty log."""
    (folder / "run.jsonl").touch()
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "1"], cwd=folder, check=True)


@pytest.mark.processes
def test_files_that_appear_while_the_text_is_read_are_not_replaced(folder: Path) -> None:
    command = [part if part != "text.txt" else "-" for part in TRAIN]
    with subprocess.Popen(
        [*CHARNN, *command], cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as slow:
        time.sleep(1)  # the run needs time to look for its output files
        subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "1"], cwd=folder, check=True)
        before = (folder / "run.npz").read_bytes()
        _, said = slow.communicate(english(20_000))
    assert slow.returncode == 2
    assert "run.npz exists; continue it with --resume" in said
    assert (folder / "run.npz").read_bytes() == before


@pytest.mark.processes
def test_a_run_that_another_has_gone_on_with_is_not_set_back(folder: Path) -> None:
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "9"], cwd=folder, check=True)
    stale = load(folder / "run.npz")
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--resume"], cwd=folder, check=True)
    before = (folder / "run.npz").read_bytes()
    config = stale.config.with_values({"output.checkpoint": str(folder / "run.npz")})
    corpus = Corpus.from_text((folder / "text.txt").read_text(), val_fraction=0.1)
    with pytest.raises(CharnnError, match="another run has continued it since"):
        list(Trainer(config, corpus, resume=stale).run())
    assert (folder / "run.npz").read_bytes() == before


def test_a_lock_keeps_others_out_and_is_gone_with_its_holder(folder: Path) -> None:
    log = Outputs(folder / "run.npz").log
    hold = (
        "import sys, pathlib, charnn.training.metrics\n"
        "with charnn.training.metrics.exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CharnnError, match="another run is writing here"), exclusive(log):
            pass
        holder.kill()
    with exclusive(log):
        pass


# --- text is data --------------------------------------------------------------------------------

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r"


def test_no_error_shows_what_could_steer_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    make_checkpoint().save(folder / "good.npz")
    for arguments in (
        ["info", "--ckpt", f"{ESCAPE}.npz"],
        ["train", "--data", ESCAPE],
        ["train", "--data", "text.txt", "--out", f"{ESCAPE}/run.npz"],
        ["train", f"--{ESCAPE}"],
        ["train", "--data", "text.txt", "--set", f"{ESCAPE}=1"],
        ["train", "--data", "text.txt", "--max-steps", ESCAPE],
        [ESCAPE],
        ["eval", "--ckpt", "good.npz", "--data", "text.txt"],
        ["sample", "--ckpt", "good.npz", "--prime", ESCAPE],
        ["sample", "--ckpt", "good.npz", "--stop", "a\nb\nc"],
        ["info", "--ckpt", "a\nb\tc.npz"],
    ):
        code, _, line = charnn(arguments)
        assert code in (1, 2)
        assert line.endswith("\n")
        assert line[:-1].isprintable(), repr(line)
        assert line.startswith("charnn: error: ")


@pytest.mark.terminal
def test_a_terminal_gets_escapes_of_control_characters(folder: Path) -> None:
    (folder / "text.txt").write_text(f"{ESCAPE}\x7fking\n" * 900)
    command = [part if part != "run.npz" else f"{ESCAPE}.npz" for part in TRAIN]
    for arguments in (
        command,
        ["info", "--ckpt", f"{ESCAPE}.npz"],
        ["info", "--ckpt", f"{ESCAPE}.npz", "--json"],
        ["eval", "--ckpt", f"{ESCAPE}.npz", "--data", "text.txt"],
    ):
        shown = on_a_terminal(*arguments, cwd=folder)
        for part in ("owned\x07", "\x1b[2J\x9b", "\x9b", "\x7f"):
            assert part not in shown, (arguments, part)


@pytest.mark.terminal
def test_drawn_text_goes_raw_into_a_pipe_and_escaped_to_a_terminal(folder: Path) -> None:
    (folder / "text.txt").write_text(f"{ESCAPE}king\n" * 900)
    subprocess.run([*CHARNN, *TRAIN, "--quiet"], cwd=folder, check=True)
    sample = ["sample", "--ckpt", "run.npz", "--n", "400", "--seed", "1", "--temperature", "2"]
    raw = subprocess.run([*CHARNN, *sample], cwd=folder, capture_output=True, check=True).stdout
    assert {"\x1b", "\x07", "\x9b"} <= set(raw.decode())
    shown = on_a_terminal(*sample, cwd=folder)
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert "\\x1b" in shown
