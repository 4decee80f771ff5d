"""Measure and predict training under MPI: `python -m benchmarks.cluster` prints Markdown tables.

It starts jobs of 1, 2, 4 and 8 ranks on this machine, which measure steps, products and sums. A
model with a few constants is fitted to some of the figures. It predicts the others, and the speed
on other networks.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measuring import PAUSE, Spread, quotient
from benchmarks.report import Table, machine
from benchmarks.with_charnn import training
from benchmarks.with_numpy import sgemm
from benchmarks.workload import Case, K
from charnn.machine import blas_threads, cores
from charnn.network.spec import Spec
from charnn.ranks import ALONE, Ranks, join

RANKS = (1, 2, 4, 8)
CASES = [Case(512, 1, 64, 64), Case(256, 1, 64, 64)]
FITTED = [Case(H, 1, B, 64) for H in (128, 256, 512, 1024) for B in (8, 16, 32, 64)]
PREDICTED = [Case(H, 1, B, 64) for H in (256, 512, 1024, 2048) for B in (64, 256, 1024)]
SUMMED = [2**k for k in range(10, 25, 2)]  # bytes
NODES = (2, 4, 8, 16, 32, 64)
ROUNDS, SECONDS = 11, 0.25

Turn = Callable[[int], Any]


# --- in a job ------------------------------------------------------------------------------------


@dataclass
class Job:
    """The measurements of a job: all ranks work together, or the first one works alone."""

    ranks: Ranks

    def race(self, turns: dict[str, Turn], rounds: int = ROUNDS) -> dict[str, list[float]]:
        """Run the turns one after the other; return the seconds per unit in each round.

        Only the first rank runs a turn whose name begins with "alone". The others sleep.
        """
        units = {}
        for name, turn in turns.items():
            self._seconds(name, turn, 1)
            once = self._seconds(name, turn, 2)
            units[name] = self.ranks.gather(max(1, round(SECONDS / once)))[0]
        taken: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(rounds):
            for name, turn in turns.items():
                taken[name].append(self._seconds(name, turn, units[name]))
        return taken

    def _seconds(self, name: str, turn: Turn, n: int) -> float:
        time.sleep(PAUSE)
        self.ranks.gather(None)
        began = time.perf_counter()
        if not name.startswith("alone") or self.ranks.rank == 0:
            turn(n)
        seconds = time.perf_counter() - began
        self.ranks.gather(None)
        return seconds / n

    def sums(self) -> list[float]:
        """Return the seconds of a sum over the ranks, for each size of array."""

        def turn(size: int) -> Turn:
            array = np.zeros(size // 4, np.float32)

            def run(n: int) -> None:
                for _ in range(n):
                    self.ranks.sum(array)

            return run

        turns = {str(size): turn(size) for size in SUMMED}
        return [min(seconds) for seconds in self.race(turns, 3).values()]


def measure() -> None:
    """Run one rank of a job. The first rank prints the measurements as JSON."""
    job = Job(join())
    ranks, n = job.ranks, job.ranks.size
    record: dict[str, Any] = {"steps": {}, "sums": job.sums() if n > 1 else []}
    with ExitStack() as stack:
        stack.enter_context(blas_threads(1))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def steps(name: str, case: Case, threads: int, together: bool) -> Turn:
            if not together and ranks.rank:
                return lambda n: None
            path = str(folder / f"{name} {case}.npz")
            return training(path, case, threads=threads, ranks=ranks if together else ALONE)

        for case in FITTED if n == 1 else CASES:
            turns = {"together": steps("together", case, 1, True)}
            if n == cores():
                turns |= {
                    "alone": steps("alone", case, 1, False),
                    "alone, all cores": steps("all", case, n, False),
                    "larger": steps("larger", case._replace(B=n * case.B), 1, True),
                    "alone, sgemm": sgemm(),
                    "sgemm": sgemm(),
                }
            record["steps"][str(tuple(case))] = job.race(turns)
    if ranks.rank == 0:
        print(json.dumps(record))


# --- the model -----------------------------------------------------------------------------------


def gradient_bytes(case: Case) -> int:
    """Return the bytes that the ranks sum after a step."""
    return 4 * Spec(K, case.H, case.layers).num_parameters


def on(ranks: int, case: Case) -> Case:
    """Return one rank's share of a case."""
    return case._replace(B=case.B // ranks)


def relative_fit(terms: list[list[float]], seconds: list[float]) -> list[float]:
    """Return the factors of the terms that minimise the squared relative errors of the seconds."""
    scaled = np.array(terms) / np.array(seconds)[:, None]
    factors: list[float] = np.linalg.lstsq(scaled, np.ones(len(seconds)), rcond=None)[0].tolist()
    return factors


@dataclass
class Compute:
    """The seconds of a step on one core: FLOP, time steps and parameters, each times a constant."""

    per_flop: float
    per_time_step: float
    per_parameter: float

    @staticmethod
    def terms(case: Case) -> list[float]:
        """Return the FLOP, time steps and parameters, in the order of the constants."""
        return [case.flop, case.T * case.layers, gradient_bytes(case) / 4]

    def __call__(self, case: Case) -> float:
        """Return the seconds of a step."""
        constants = (self.per_flop, self.per_time_step, self.per_parameter)
        return float(np.dot(self.terms(case), constants))


@dataclass
class Network:
    """The seconds of a sum over n machines: a latency for each turn, plus bytes over bandwidth.

    MPICH sums long arrays by halving, adding and collecting. This takes 2 log₂ n turns, in which
    2 (n − 1) / n of the array pass every wire (Thakur, Rabenseifner & Gropp 2005).
    """

    name: str
    latency: float
    bandwidth: float

    def __call__(self, machines: int, size: int) -> float:
        """Return the seconds for an array of ``size`` bytes."""
        turns = 2 * math.ceil(math.log2(machines))
        return turns * self.latency + 2 * (machines - 1) / machines * size / self.bandwidth


# The latencies are the usual figures for a message between two programs on these networks.
NETWORKS = [
    Network("10 Gbit/s Ethernet", 30e-6, 10e9 / 8),
    Network("100 Gbit/s InfiniBand", 2e-6, 100e9 / 8),
]


@dataclass
class Model:
    """Predicts the seconds of a step, on this machine or on several machines like it."""

    compute: Compute
    sums: dict[int, list[float]]  # latency and seconds per byte, by number of ranks
    slowdown: float  # the slowdown of a core while all cores are busy

    def here(self, ranks: int, case: Case) -> float:
        """Return the seconds of a step on this machine."""
        seconds = self.compute(on(ranks, case)) * max(1, ranks / cores())
        if ranks == 1:
            return seconds
        latency, per_byte = self.sums[ranks]
        return seconds * self.slowdown + latency + per_byte * gradient_bytes(case)

    def across(self, machines: int, case: Case, network: Network) -> float:
        """Return the seconds of a step on machines with a rank on each core."""
        seconds = self.here(cores(), on(machines, case))
        return seconds + (network(machines, gradient_bytes(case)) if machines > 1 else 0)


# --- the tables ----------------------------------------------------------------------------------


def start(ranks: int) -> dict[str, Any]:
    """Start a job; return its measurements."""
    print(f"{ranks} ranks", file=sys.stderr, flush=True)
    mpiexec = str(Path(sys.executable).with_name("mpiexec"))
    launcher = [mpiexec, "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, "-m", "benchmarks.cluster", "--rank"]
    record: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    return record


def tables(records: dict[int, dict[str, Any]]) -> list[Table]:
    """Fit the model to the measurements; return all tables."""
    alone = records[1]["steps"]
    seconds = [median(alone[str(tuple(case))]["together"]) for case in FITTED]
    compute = Compute(*relative_fit([Compute.terms(case) for case in FITTED], seconds))
    sums = {
        n: relative_fit([[1.0, size] for size in SUMMED], record["sums"])
        for n, record in records.items()
        if n > 1
    }
    busy = next(iter(records[cores()]["steps"].values()))
    slowdown = quotient(busy["sgemm"], busy["alone, sgemm"]).median
    model = Model(compute, sums, slowdown)
    return [
        fitted(model, seconds),
        scaling(records),
        compared(model, records),
        *(predicted(model, network) for network in NETWORKS),
    ]


def fitted(model: Model, seconds: list[float]) -> Table:
    """Return the constants and the error of the fit."""
    table = Table("The constants")
    compute = model.compute
    rows = {
        "FLOP a second, one core": f"{1 / compute.per_flop / 1e9:.0f} G",
        "for each time step of a layer": f"{compute.per_time_step * 1e6:.1f} µs",
        "for each parameter": f"{compute.per_parameter * 1e9:.2f} ns",
        "a core's slowdown while all are busy": f"{model.slowdown:.2f}×",
    }
    for n, (latency, per_byte) in model.sums.items():
        value = f"{latency * 1e6:.0f} µs + bytes / {1e-9 / per_byte:.1f} GB/s"
        rows[f"a sum over {n} ranks"] = value
    table.rows += [{"constant": name, "value": value} for name, value in rows.items()]
    off = [model.compute(case) / t - 1 for case, t in zip(FITTED, seconds, strict=True)]
    table.notes.append(
        f"The fit has {len(FITTED)} sizes on one core, H 128 to 1024, B 8 to 64. It is off by "
        f"{min(off):+.0%} to {max(off):+.0%}, {np.mean(np.abs(off)):.0%} on average."
    )
    return table


def scaling(records: dict[int, dict[str, Any]]) -> Table:
    """Compare all cores with one."""
    table = Table(f"{cores()} ranks on {cores()} cores")
    for name, taken in records[cores()]["steps"].items():
        n = cores()
        sgemm_gain = quotient(taken["alone, sgemm"], taken["sgemm"]).scaled(n)
        gain = quotient(taken["alone"], taken["together"])
        larger = quotient(taken["alone"], taken["larger"]).scaled(n)
        table.rows.append(
            {
                "(H, layers, B, T)": name,
                "one rank, ms": Spread.of(taken["alone"]).scaled(1e3),
                "batch divided, ms": Spread.of(taken["together"]).scaled(1e3),
                "gain": gain,
                "B each: gain": larger,
                "sgemm: gain": sgemm_gain,
                "times one process on all cores": quotient(
                    taken["alone, all cores"], taken["together"]
                ),
            }
        )
    return table


def compared(model: Model, records: dict[int, dict[str, Any]]) -> Table:
    """Compare the measurements with the model, for all numbers of ranks."""
    table = Table("Measured and predicted")
    for n, record in records.items():
        for case in CASES:
            taken = record["steps"][str(tuple(case))]["together"]
            found, told = median(taken), model.here(n, case)
            table.rows.append(
                {
                    "ranks": str(n) + (f" on {cores()} cores" if n > cores() else ""),
                    "(H, layers, B, T)": str(tuple(case)),
                    "GFLOP a rank": on(n, case).flop / 1e9,
                    "MB summed": gradient_bytes(case) / 1e6 if n > 1 else None,
                    "measured, ms": Spread.of(taken).scaled(1e3),
                    "predicted, ms": told * 1e3,
                    "off by": f"{told / found - 1:+.0%}",
                }
            )
    return table


def predicted(model: Model, network: Network) -> Table:
    """Predict the gain of more machines."""
    table = Table(f"Machines with {cores()} ranks each, {network.name}")
    for case in PREDICTED:
        one = model.across(1, case, network)
        gains = {
            n: one / model.across(n, case, network) for n in NODES if 4 * n * cores() <= case.B
        }
        paying = [n for n, gain in gains.items() if gain >= n / 2]
        table.rows.append(
            {
                "H, B": f"{case.H}, {case.B}",
                "one machine, ms": one * 1e3,
                "MB summed": gradient_bytes(case) / 1e6,
                **{f"{n}": gains.get(n) for n in NODES},
                "pays up to": str(max(paying, default=1)),
            }
        )
    return table


def main() -> None:
    """Measure all jobs and print the tables. With ``--rank``, run one rank of a job."""
    if sys.argv[1:] == ["--rank"]:
        measure()
        return
    records = {n: start(n) for n in RANKS}
    print("".join(f"- {name}: {value}\n" for name, value in machine().items()))
    print("\n".join(table.markdown().rstrip() + "\n" for table in tables(records)), end="")


if __name__ == "__main__":
    main()
