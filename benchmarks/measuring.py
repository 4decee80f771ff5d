"""Measure programs in turns: each side has its own process, and one works while the others wait.

The threads of OpenBLAS, OpenMP and XLA spin for a while after their work is done. In one process,
or without a pause, the threads of one library would take the cores from the next library.
"""

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.workload import Case

Run = Callable[[int], Any]  # does n units of work; may return a result

PAUSE = 0.1  # seconds before each turn, so that the threads of the last turn fall asleep
THREADS = sorted({1, os.cpu_count() or 1})


@dataclass(frozen=True)
class Options:
    """How long to measure, and which sizes."""

    rounds: int
    seconds: float  # length of a turn
    cases: list[Case]  # sizes of the training step; empty for the grid
    megabytes: int  # size of the large text


@dataclass(frozen=True)
class Spread:
    """The median of several turns, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Summarise at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def scaled(self, factor: float) -> "Spread":
        """Return the spread in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)

    def rate(self, units: float = 1.0) -> "Spread":
        """Convert the seconds that ``units`` units took to units per second."""
        return Spread(units / self.median, units / self.high, units / self.low)


class Worker:
    """A process that loads one side's libraries and works only on request."""

    def __init__(self, side: str):
        """Start the process; `side` is a module of this package whose functions return a `Run`."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, side), daemon=True)
        self._process.start()
        theirs.close()
        self._jobs = 0

    def prepare(self, function: str, **arguments: Any) -> "Job":
        """Call one of the side's functions and keep the `Run` it returns."""
        self._ask(self._jobs, function, arguments)
        self._jobs += 1
        return Job(self, self._jobs - 1)

    def work(self, job: int, n: int) -> tuple[float, Any]:
        """Do n units of a job; return the seconds they took and the result of the `Run`."""
        time.sleep(PAUSE)
        seconds, result = self._ask(job, None, n)
        return seconds, result

    def _ask(self, *request: Any) -> Any:
        self._connection.send(request)
        try:
            error, answer = self._connection.recv()
        except EOFError:
            raise RuntimeError("a worker process died; its error is printed above") from None
        if error:
            raise RuntimeError(error)
        return answer

    def stop(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()


@contextmanager
def workers(*sides: str) -> Iterator[dict[str, Worker]]:
    """Start a worker for each side whose library is installed."""
    started = {side: Worker(side) for side in sides if installed(side)}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.stop()


def installed(side: str) -> bool:
    """Whether the library that a side measures can be imported."""
    return find_spec(side.removeprefix("with_")) is not None


def _serve(connection: Connection, side: str) -> None:
    """Answer requests until the other end is closed."""
    module = import_module(f"benchmarks.{side}")
    jobs: dict[int, Run] = {}
    while True:
        try:
            job, function, argument = connection.recv()
        except EOFError:
            return
        try:
            answer = None
            if function:
                jobs[job] = getattr(module, function)(**argument)
            else:
                began = time.perf_counter()
                result = jobs[job](argument)
                answer = time.perf_counter() - began, result
            connection.send((None, answer))
        except Exception as error:  # the main process reports every failure
            connection.send((f"{side}: {type(error).__name__}: {error}", None))


@dataclass(frozen=True)
class Job:
    """Work that a worker has prepared."""

    worker: Worker
    number: int

    def __call__(self, n: int) -> Any:
        """Do n units; return the result of the `Run`."""
        return self.worker.work(self.number, n)[1]

    def seconds(self, n: int) -> float:
        """Do n units; return the seconds per unit."""
        return self.worker.work(self.number, n)[0] / n

    def units(self, seconds: float) -> int:
        """Warm up; return the number of units that take about ``seconds`` seconds."""
        n = 1
        self.seconds(n)
        while (taken := self.seconds(n) * n) < seconds / 4:
            n = max(2 * n, min(10 * n, round(n * seconds / 2 / max(taken, 1e-6))))
        return max(1, round(n * seconds / taken))


def race(jobs: dict[str, Job], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Run the jobs in turns of about ``seconds``; return the seconds per unit in each round."""
    units = {name: job.units(seconds) for name, job in jobs.items()}
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            taken[name].append(job.seconds(units[name]))
    return taken


def quotient(over: list[float], under: list[float]) -> Spread:
    """Return the ratio of each round, because a slow machine slows both sides of a round."""
    return Spread.of(a / b for a, b in zip(over, under, strict=True))


def best(forms: dict[str, Job], seconds: float) -> str:
    """Return the name of the form that is fastest in the best of three short turns."""
    units = {name: job.units(seconds / 2) for name, job in forms.items()}
    taken = {name: float("inf") for name in forms}
    for _ in range(3):
        for name, job in forms.items():
            taken[name] = min(taken[name], job.seconds(units[name]))
    return min(taken, key=taken.__getitem__)


def progress(text: str) -> None:
    """Print the name of the current measurement to stderr."""
    print(text, file=sys.stderr, flush=True)
