"""Compare the speed of this version and another checkout: `python -m benchmarks.versions DIR`.

Both take turns. This prints their times for a training step, a sampled character and an evaluated
character, and the ratio this ÷ other, round by round. Both run in this Python with the same
libraries.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import geometric_mean
from typing import Any

HERE = Path(__file__).parents[1]


def serve(handle: int) -> None:
    """Answer requests with the benchmarks of the checkout that Python finds first."""
    connection = Connection(handle)
    sides, workload = import_module("benchmarks.with_charnn"), import_module("benchmarks.workload")
    case = getattr(workload, "Case", None) or workload.Cell  # older versions call it Cell
    serving, jobs = import_module("benchmarks.measuring"), []
    while True:
        try:
            job, function, argument = connection.recv()
        except EOFError:
            return
        if function:
            path, *rest = argument
            sizes = [case(*each) if isinstance(each, tuple) else each for each in rest]
            jobs.append(getattr(sides, function)(path, *sizes))
            connection.send((None, None))
        else:
            began = serving.time.perf_counter()
            jobs[job](argument)
            connection.send((None, (serving.time.perf_counter() - began, None)))


def main() -> None:
    """Measure both versions and print the ratios."""
    from benchmarks.measuring import Job, Spread, Worker, quotient, race
    from benchmarks.steps import GATED_GRID, GRID

    class Checkout(Worker):
        """A worker that runs a checkout's own charnn and benchmarks."""

        def __init__(self, folder: Path):
            self._connection, theirs = Pipe()
            self._serving = subprocess.Popen(
                [sys.executable, __file__, "--serve", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env=os.environ | {"PYTHONPATH": str(folder)},
                cwd=folder,
            )
            theirs.close()
            self._jobs = 0

        def make(self, function: str, *arguments: Any) -> Job:
            self._ask(self._jobs, function, arguments)
            self._jobs += 1
            return Job(self, self._jobs - 1)

        def stop(self) -> None:
            self._connection.close()
            self._serving.wait()

    @contextmanager
    def checkouts() -> Iterator[dict[str, Checkout]]:
        both = {"this": Checkout(HERE), "other": Checkout(given.other.resolve())}
        try:
            yield both
        finally:
            for one in both.values():
                one.stop()

    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("other", type=Path, help="the folder of another checkout")
    parser.add_argument("--restarts", type=int, default=5, help="processes of each version (5)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each process (3)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn (0.5)")
    parser.add_argument("--only", choices=["step", "gated", "sampling", "evaluation"])
    given = parser.parse_args()
    work: list[tuple[str, str, tuple[Any, ...]]] = []
    for case in GRID:
        work.append((f"step {tuple(case)}", "step", ("training", "{0}", tuple(case)[:4])))
    for case in GATED_GRID:
        work.append((f"step {tuple(case)}", "gated", ("training", "{0}", tuple(case))))
    case = next(one for one in GRID if one.B == 1)
    loop = ("training", "{0}", tuple(case)[:4], "textbook")
    work.append((f"textbook step {tuple(case)}", "step", loop))
    for layers, streams in ((1, 1), (2, 1), (1, 64), (2, 64)):
        made = ("sampling", "{1}", streams)
        work.append((f"sampling {layers} layers, {streams} texts", "sampling", made))
    for H in (256, 512):
        work.append((f"evaluation H {H}", "evaluation", ("evaluation", "{1}")))
    ratios: dict[str, list[float]] = {}
    for name, kind, (function, path, *rest) in work:
        if given.only not in (None, kind):
            continue
        taken: dict[str, list[float]] = {"this": [], "other": []}
        # The addresses of its arrays change the speed of a process by some percent. So each
        # version runs in several processes.
        for _ in range(given.restarts):
            with tempfile.TemporaryDirectory() as folder, checkouts() as both:
                model = Path(folder, "model.npz")
                if path == "{1}":
                    words = name.split()
                    H, layers = (int(words[2]), 1) if kind == "evaluation" else (256, int(words[1]))
                    both["this"].make("training", str(model), (H, layers, 1, 8))
                    both["this"].work(0, 1)
                jobs = {
                    who: checkout.make(
                        function, str(model if path == "{1}" else Path(folder, f"{who}.npz")), *rest
                    )
                    for who, checkout in both.items()
                }
                for who, seconds in race(jobs, given.rounds, given.seconds).items():
                    taken[who] += seconds
        ratio = quotient(taken["this"], taken["other"])
        ratios.setdefault(kind, []).append(ratio.median)
        ms = {who: Spread.of(seconds).scaled(1e3).median for who, seconds in taken.items()}
        print(
            f"{name:34} this {ms['this']:9.4f} ms  other {ms['other']:9.4f} ms  "
            f"this ÷ other {ratio.median:.3f} ({ratio.low:.3f}–{ratio.high:.3f})",
            flush=True,
        )
    for kind, found in ratios.items():
        print(f"{kind}: geometric mean {geometric_mean(found):.3f}, highest {max(found):.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
    else:
        main()
