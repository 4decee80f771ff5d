"""Kill runs, break their disk and interrupt them. Nothing may be lost.

    python -m tests.campaigns.crash every      end the process before each of its file operations
    python -m tests.campaigns.crash disk       let each operation fail, once and from then on
    python -m tests.campaigns.crash signals    interrupt at each operation, once and twice
    python -m tests.campaigns.crash kill 200   kill -9 real commands at random moments, 200 times

With --workers two processes share each step, and `kill` kills either of them.

After each case the files on disk must load, the run must resume, and its final files must equal
those of an uninterrupted run. The first failure ends the campaign with an AssertionError.
"""

import argparse
import errno
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a forked process has only one thread

from charnn import sampling  # noqa: F401 (imported once, for all forks)
from charnn.checkpoint import checkpoint
from charnn.commands import app
from charnn.training import trainer  # noqa: F401 (imported once, for all forks)
from tests.helpers.faults import Before, watching
from tests.helpers.processes import alive, children
from tests.helpers.texts import english

TEXT = english(1500)
COMMAND = ["train", "--out", "run.npz", "--resume", "--quiet", "--seed", "1"]
SETTINGS = {
    "data.path": "text.txt",
    "model.hidden_size": "4",
    "model.num_layers": "1",
    "training.batch_size": "4",
    "training.seq_length": "8",
    "training.max_steps": "5",
    "training.save_every": "2",
    "training.eval_every": "2",
    "training.log_every": "1",
}
# The run diverges at this learning rate and at half of it, but not at a quarter.
DIVERGING = SETTINGS | {
    "model.activation": "relu",
    "training.optimizer": "sgd",
    "training.clip_norm": "null",
    "training.schedule": "constant",
    "training.learning_rate": "1e5",
}
# This run has gates, a text in two files and a validation text of its own.
GATED = SETTINGS | {
    "model.cell": "lstm",
    "data.path": "[text.txt, more.txt.gz]",
    "data.val_path": "val.txt",
}
# The documents are lines, and each of the two epochs shuffles them anew.
DOCUMENTS = SETTINGS | {
    "data.path": "text.txt",
    "data.documents": "lines",
    "training.batch_size": "8",
    "training.seq_length": "50",
}
# Workers share a step of this size.
SHARED = {
    "model.hidden_size": "128",
    "training.batch_size": "16",
    "training.threads": "2",
}
KILLED = 128 + signal.SIGKILL
TIMES = ("seconds", "chars_per_second")


def options(settings: dict[str, str]) -> list[str]:
    return [*COMMAND, *(part for item in settings.items() for part in ("--set", "=".join(item)))]


@dataclass
class Run:
    """A folder with texts, in which commands run."""

    folder: Path
    settings: dict[str, str]

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "text.txt").write_text(TEXT)
        (self.folder / "val.txt").write_text(TEXT[:200])
        (self.folder / "more.txt.gz").write_bytes(gzip.compress(TEXT[:500].encode(), mtime=0))

    def train(self, before: Before | None = None) -> tuple[int, str]:
        """Run the command in a forked process; return its exit code and its stderr."""
        child = os.fork()
        if child == 0:
            self._child(before)
        status = os.waitpid(child, 0)[1]
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code, (self.folder / "stderr").read_text()

    def _child(self, before: Before | None) -> None:
        code = 99
        try:
            os.chdir(self.folder)
            handle = os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            signal.alarm(60)
            sys.argv = ["charnn", *options(self.settings)]
            with watching(before) if before else nullcontext():
                app.main()
        except SystemExit as error:
            code = int(error.code or 0)
        finally:
            os._exit(code)

    def outputs(self) -> dict[str, Any]:
        """Return the results, which no interruption may change."""
        return {
            "run.npz": (self.folder / "run.npz").read_bytes(),
            "run.best.npz": (self.folder / "run.best.npz").read_bytes(),
            "run.jsonl": self.log(),
        }

    def log(self) -> list[dict[str, Any]]:
        """Check that all lines of the log are whole; return them without their times."""
        path = self.folder / "run.jsonl"
        content = path.read_text() if path.exists() else ""
        assert not content or content.endswith("\n"), content
        lines = [json.loads(line) for line in content.splitlines()]
        return [{key: line[key] for key in line if key not in TIMES} for line in lines]

    def leftovers(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if path.suffix == ".tmp"]

    def check_recovery(self, expected: dict[str, Any]) -> None:
        """Check that the files load and the resumed run has the same results."""
        for name in ("run.npz", "run.best.npz"):
            if (self.folder / name).exists():
                checkpoint.load(self.folder / name)
        code, said = self.train()
        assert code == 0, said
        assert self.outputs() == expected
        assert not self.leftovers()


class Campaign:
    """Runs in one temporary folder, the settings they share, and the number of runs."""

    def __init__(self, folder: Path, every: int, shared: dict[str, str]):
        self.folder = folder
        self.every = every
        self.shared = shared
        self.runs = 0

    def reference(self, settings: dict[str, str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Return the outputs of an uninterrupted run, and its file operations."""
        run = Run(self.folder / "reference", settings | self.shared)
        noted = self.folder / "operations"

        def note(operation: str, path: str) -> None:
            with noted.open("a") as file:
                file.write(f"{operation}\t{path}\n")

        code, said = run.train(note)
        assert code == 0, said
        outputs = run.outputs()
        shutil.rmtree(run.folder)
        lines = noted.read_text().splitlines()
        noted.unlink()
        return outputs, [(line.split("\t")[0], Path(line.split("\t")[1]).name) for line in lines]

    def at_each(
        self, count: int, act: Callable[[], None], *, from_then_on: bool = False
    ) -> "list[tuple[int, Before]]":
        """Return a hook for each N-th operation that acts before it."""

        def hook(number: int) -> Before:
            seen = 0

            def before(operation: str, path: str) -> None:
                nonlocal seen
                seen += 1
                # A disk that refuses writes still allows these.
                later = from_then_on and operation not in ("unlink", "truncate", "read")
                if seen == number or (seen > number and later):
                    act()

            return before

        first = random.randrange(self.every)
        return [(number, hook(number)) for number in range(1 + first, count + 1, self.every)]

    def fresh(self, settings: dict[str, str]) -> Run:
        self.runs += 1
        folder = self.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        return Run(folder, settings | self.shared)


def every(campaign: Campaign) -> str:
    """End the process before each file operation."""
    # A shared step needs a larger model, which diverges at all these learning rates.
    for settings in (SETTINGS,) if campaign.shared else (SETTINGS, DIVERGING, GATED, DOCUMENTS):
        expected, operations = campaign.reference(settings)
        for number, hook in campaign.at_each(len(operations), lambda: os._exit(KILLED)):
            run = campaign.fresh(settings)
            code, said = run.train(hook)
            assert code == KILLED, (number, said)
            run.check_recovery(expected)
    return f"{campaign.runs} crashes, each before another file operation"


def disk(campaign: Campaign) -> str:
    """Let each operation fail, alone and together with all later ones."""

    def fail(number: int) -> Callable[[], None]:
        def act() -> None:
            raise OSError(number, os.strerror(number))

        return act

    settings = SETTINGS if campaign.shared else GATED
    expected, operations = campaign.reference(settings)
    harmless = 0
    for number in (errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS):
        for lasting in (False, True):
            for place, hook in campaign.at_each(
                len(operations), fail(number), from_then_on=lasting
            ):
                where = (errno.errorcode[number], lasting, place, operations[place - 1])
                run = campaign.fresh(settings)
                code, said = run.train(hook)
                if code == 0:
                    # Nothing depends on the flush of the folder's entry, so it may fail.
                    assert not said, where
                    assert run.outputs() == expected, where
                    harmless += 1
                else:
                    assert code == 1, (where, said)
                    assert said.startswith("charnn: error: run."), (where, said)
                    # zipfile does not report why a read failed.
                    assert operations[place - 1][0] == "read" or said.endswith(
                        f": {os.strerror(number)}\n"
                    ), (where, said)
                    assert said.count("\n") == 1, (where, said)
                    run.log()
                assert not run.leftovers(), where
                run.check_recovery(expected)
    return f"{campaign.runs} failing operations, {harmless} of them without consequence"


def signals(campaign: Campaign) -> str:
    """Interrupt before each operation, once and twice."""
    expected, operations = campaign.reference(SETTINGS)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for times in (1, 2):

            def act(number: int = number, times: int = times) -> None:
                for _ in range(times):
                    os.kill(os.getpid(), number)

            for place, hook in campaign.at_each(len(operations), act):
                run = campaign.fresh(SETTINGS)
                code, said = run.train(hook)
                where = (number, times, place, operations[place - 1], code, said)
                assert code == 128 + number or (code == 0 and times == 1), where
                assert not said, where
                run.check_recovery(expected)
    return f"{campaign.runs} interrupts, each before another file operation"


def kill(campaign: Campaign, kills: int) -> str:
    """Kill real commands at random moments, `kills` in all; finish each run.

    The victim is the command or one of its workers, with equal probability.
    """
    settings = SETTINGS | {
        "model.hidden_size": "64",
        "model.dropout": "0.1",
        "training.max_steps": "120",
        "training.save_every": "1",
        "training.eval_every": "3",
    }
    command = [sys.executable, "-m", "charnn", *options(settings | campaign.shared)]
    command.remove("--quiet")
    began = time.perf_counter()
    expected, _ = campaign.reference(settings)
    longest = time.perf_counter() - began
    dead = in_a_save = workers_dead = 0
    while dead < kills:
        run = campaign.fresh(settings)
        finished = False
        while not finished and dead < kills:
            with subprocess.Popen(
                command, cwd=run.folder, stderr=subprocess.PIPE, text=True
            ) as process:
                assert process.stderr
                for line in process.stderr:
                    if line.startswith("plan: "):
                        break
                time.sleep(random.uniform(0, longest / 2))
                workers = children(process.pid)
                victim = random.choice([process.pid, *workers])
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                said = process.stderr.read()
            until = time.monotonic() + 5
            while any(map(alive, workers)):
                assert time.monotonic() < until, "a worker outlives its command"
                time.sleep(0.02)
            finished = process.returncode == 0
            if process.returncode == 1:
                assert victim in workers, said
                last = said.splitlines()[-1]
                assert last.startswith("charnn: error: a worker process ended (status -9)"), said
                assert "Traceback" not in said
                assert not run.leftovers()
                workers_dead += 1
            elif not finished:
                assert process.returncode == -signal.SIGKILL
                in_a_save += bool(run.leftovers())
            dead += not finished
        run.check_recovery(expected)
    return (
        f"{dead} kills of {campaign.runs} runs, {workers_dead} of them of a worker, "
        f"{in_a_save} while a file was written"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("campaign", choices=("every", "disk", "signals", "kill"))
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument(
        "--every", type=int, default=1, help="leave out all but each N-th operation"
    )
    parser.add_argument("--workers", action="store_true", help="share the steps out")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), chosen.every, SHARED if chosen.workers else {})
        if chosen.campaign == "kill":
            result = kill(campaign, chosen.kills)
        else:
            result = {"every": every, "disk": disk, "signals": signals}[chosen.campaign](campaign)
    print(f"{chosen.campaign}: {result}; {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
