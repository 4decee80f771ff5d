"""Measure the training step beside PyTorch, JAX and a large product, on grids of sizes."""

import math
import tempfile
from pathlib import Path
from statistics import geometric_mean

from benchmarks.measuring import (
    THREADS,
    Job,
    Options,
    Spread,
    best,
    progress,
    quotient,
    race,
    workers,
)
from benchmarks.report import Table, Value
from benchmarks.workload import SGEMM, Case

GRID = [
    Case(100, 1, 1, 25),
    Case(128, 1, 32, 64),
    Case(128, 2, 50, 50),
    Case(256, 1, 32, 64),
    Case(256, 2, 64, 64),
    Case(512, 1, 64, 64),
    Case(512, 2, 64, 128),
    Case(1024, 1, 64, 64),
]
GATED_GRID = [
    Case(*sizes, cell)
    for cell in ("lstm", "gru")
    for sizes in (
        (128, 1, 32, 64),
        (256, 1, 32, 64),
        (128, 2, 50, 50),
        (256, 2, 64, 64),
        (512, 1, 64, 64),
        (512, 2, 64, 64),
    )
]
SGEMM_FLOP = 2.0 * SGEMM**3


def step(options: Options) -> Table:
    """Measure the training step on a grid of sizes, or on those of ``--case``."""
    return _table("Training step", options.cases or GRID, options)


def gated(options: Options) -> Table:
    """Measure the training step of LSTM and GRU on a grid of sizes."""
    table = _table("Training step of LSTM and GRU", GATED_GRID, options)
    table.notes.append(
        "PyTorch has a kernel for nn.LSTM that computes all gates of a step at once. It has none "
        "for nn.GRU."
    )
    return table


def _table(title: str, cases: list[Case], options: Options) -> Table:
    table = Table(title)
    for case in cases:
        progress(f"step {tuple(case)}")
        table.rows.append(_case(case, options))
    table.notes.append(
        "Cases are (H, layers, B, T, cell); milliseconds per step, median (lowest–highest); ÷: how "
        "many times faster charnn is, round by round. % of sgemm: charnn's speed, with "
        "6·B·T·H·((2L−1)·G·H + K) FLOP a step (G = 1, 4 for lstm, 3 for gru), as a share of the "
        "speed of a 2048 × 2048 × 2048 product in NumPy, measured in the same rounds. Loop: the "
        "textbook's equations, one character at a time."
    )
    for peer in ("PyTorch", "JAX"):
        for cell in dict.fromkeys(case.cell for case in cases):
            ratios = {
                case: value.median
                for case, row in zip(cases, table.rows, strict=True)
                if case.cell == cell and isinstance(value := row.get(f"{peer} ÷"), Spread)
            }
            batched = [value for case, value in ratios.items() if case.B > 1]
            if batched:
                without = f", without B = 1 {geometric_mean(batched):.2f}×"
                table.notes.append(
                    f"{cell} against {peer}: geometric mean {geometric_mean(ratios.values()):.2f}×"
                    f"{without * (len(batched) < len(ratios))}, lowest {min(ratios.values()):.2f}×."
                )
    return table


def _case(case: Case, options: Options) -> dict[str, Value]:
    """Measure one case in new processes, so that no side inherits another case's memory."""
    with (
        tempfile.TemporaryDirectory() as folder,
        workers("with_charnn", "with_numpy", "with_torch", "with_jax") as sides,
    ):
        checkpoint = str(Path(folder, "run.npz"))
        own = sides["with_charnn"].prepare("training", checkpoint=checkpoint, case=case)
        losses = own(1), own(2)
        row: dict[str, Value] = {"case": str(tuple(case))}
        jobs = {"charnn": own, "sgemm": sides["with_numpy"].prepare("sgemm")}
        for peer, side, forms in (
            ("PyTorch", "with_torch", _torch_forms()),
            ("JAX", "with_jax", _jax_forms()),
        ):
            if side in sides:
                common = {"checkpoint": checkpoint, "case": case}
                prepared = {
                    name: sides[side].prepare("training", **common, **form)
                    for name, form in forms.items()
                }
                for name, job in prepared.items():
                    more = peer == "PyTorch" and (forms[name]["embedding"] or case.cell == "gru")
                    _same(f"{peer} ({name})", job, losses[: 1 if more else 2])
                form = best(prepared, options.seconds)
                row[f"{peer}'s form"], jobs[peer] = form, prepared[form]
        if case.B == 1:
            path = str(Path(folder, "loop.npz"))
            jobs["loop"] = sides["with_charnn"].prepare(
                "training", checkpoint=path, case=case, loop="textbook"
            )
            _same("the loop", jobs["loop"], losses)
        taken = race(jobs, options.rounds, options.seconds)
    forms_of = {name: row.pop(name) for name in list(row) if name.endswith("form")}
    peers = [name for name in ("PyTorch", "JAX", "loop") if name in taken]
    for name in ("charnn", *peers):
        row[name] = Spread.of(taken[name]).scaled(1e3)
    for name in peers:
        row[f"{name} ÷"] = quotient(taken[name], taken["charnn"])
    row["sgemm GFLOP/s"] = Spread.of(taken["sgemm"]).rate(SGEMM_FLOP / 1e9)
    share = quotient(taken["sgemm"], taken["charnn"]).scaled(100 * case.flop / SGEMM_FLOP)
    row["% of sgemm"] = share
    return row | forms_of


def _torch_forms() -> dict[str, dict[str, object]]:
    return {
        f"{entry}, {threads} thread{'s' * (threads > 1)}": {
            "embedding": entry == "embedding",
            "threads": threads,
        }
        for entry in ("one-hot", "embedding")
        for threads in THREADS
    }


def _jax_forms() -> dict[str, dict[str, object]]:
    return {
        f"{entry}{f', unrolled by {unroll}' * (unroll > 1)}": {
            "embedding": entry == "embedding",
            "unroll": unroll,
        }
        for entry in ("one-hot", "embedding")
        for unroll in (1, 4)
    }


def _same(name: str, job: Job, losses: tuple[float, ...]) -> None:
    """Check by the losses of steps 1 and 3 that a side computes the same as charnn.

    The loss of step 3 follows two updates, so it depends on gradients, clipping and Adam. In
    PyTorch, an embedding learns one matrix more and nn.GRU has two biases, so only step 1 agrees.
    """
    for n, loss in enumerate(losses, start=1):
        found = job(n)
        if not math.isclose(found, loss, abs_tol=1e-4):
            raise RuntimeError(f"{name} computes something else: loss {found}, charnn {loss}")
