"""The sections of the benchmark: each measures several programs in turns and returns a table."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import (
    THREADS,
    Job,
    Options,
    Spread,
    Worker,
    best,
    installed,
    progress,
    quotient,
    race,
    workers,
)
from benchmarks.report import Table, Value
from benchmarks.steps import gated, step
from benchmarks.workload import Case, text
from charnn.config.loading import load_config

# --- sampling ------------------------------------------------------------------------------------


def sampling(options: Options) -> Table:
    """Measure the speed of sampling, H 256."""
    table = Table("Sampling")
    sizes = [("rnn", layers, streams) for streams in (1, 64) for layers in (1, 2)]
    sizes += [(cell, 1, streams) for cell in ("lstm", "gru") for streams in (1, 64)]
    for cell, layers, streams in sizes:
        progress(f"sampling {cell}, {layers} layers, {streams} streams")
        row: dict[str, Value] = {"cell": cell, "layers": str(layers), "streams": str(streams)}
        with (
            tempfile.TemporaryDirectory() as folder,
            workers("with_charnn", "with_torch") as sides,
        ):
            case = Case(256, layers, 1, 8, cell)
            checkpoint = _checkpoint(sides["with_charnn"], folder, case)
            jobs = {
                "charnn": sides["with_charnn"].prepare(
                    "sampling", checkpoint=checkpoint, streams=streams
                )
            }
            if "with_torch" in sides:
                jobs |= _torch_loops(sides["with_torch"], checkpoint, case, streams, options)
            taken = race(jobs, options.rounds, options.seconds)
        row |= {name: Spread.of(seconds).rate(streams) for name, seconds in taken.items()}
        for name in list(taken)[1:]:
            row[f"{name} ÷"] = quotient(taken[name], taken["charnn"])
        table.rows.append(row)
    table.notes.append(
        "Characters per second, all streams together; ÷: how many times faster charnn is. nn.*: "
        "nn.RNN, nn.LSTM or nn.GRU, stepped under inference_mode. By hand: bare tensors. "
        "TorchScript: the loop by hand, compiled."
    )
    return table


def _checkpoint(worker: Worker, folder: str, case: Case) -> str:
    """Write an untrained model of the case's sizes; return its path."""
    path = str(Path(folder, "model.npz"))
    worker.prepare("training", checkpoint=path, case=case)(1)
    return path


def _torch_loops(
    worker: Worker, checkpoint: str, case: Case, streams: int, options: Options
) -> dict[str, Job]:
    def fastest(function: str, **more: str) -> Job:
        forms = {
            str(threads): worker.prepare(
                function, checkpoint=checkpoint, streams=streams, threads=threads, **more
            )
            for threads in THREADS
        }
        return forms[best(forms, options.seconds)]

    jobs = {"nn.*": fastest("stepped", cell=case.cell)}
    if case.cell != "rnn":
        if streams == 1:
            jobs["by hand"] = worker.prepare("gated_by_hand", checkpoint=checkpoint, cell=case.cell)
        return jobs
    if streams > 1:
        return jobs | {"by hand": fastest("by_hand_batched")}
    for name, script in (("by hand", False), ("TorchScript", True)):
        jobs[name] = worker.prepare("by_hand", checkpoint=checkpoint, script=script)
    return jobs


# --- evaluation ----------------------------------------------------------------------------------


def evaluation(options: Options) -> Table:
    """Measure exact evaluation of one stream beside the bare matrix-vector product."""
    table = Table("Evaluation")
    for H in (256, 512):
        progress(f"evaluation H {H}")
        with (
            tempfile.TemporaryDirectory() as folder,
            workers("with_charnn", "with_numpy") as sides,
        ):
            checkpoint = _checkpoint(sides["with_charnn"], folder, Case(H, 1, 1, 8))
            taken = race(
                {
                    "charnn": sides["with_charnn"].prepare("evaluation", checkpoint=checkpoint),
                    "W h": sides["with_numpy"].prepare("matvec", H=H),
                },
                options.rounds,
                options.seconds,
            )
        row: dict[str, Value] = {"H": str(H)}
        row |= {name: Spread.of(seconds).rate() for name, seconds in taken.items()}
        row["% of W h"] = quotient(taken["W h"], taken["charnn"]).scaled(100)
        table.rows.append(row)
    table.notes.append(
        "charnn: characters per second in exact evaluation of one stream, one layer. W h: bare "
        "matrix-vector products per second, by numpy.dot in a loop."
    )
    return table


def validation(options: Options) -> Table:
    """Measure the cost of a validation every 250 steps, at the sizes of shakespeare.yaml."""
    config = load_config(Path(__file__).parents[1] / "configs" / "shakespeare.yaml")
    model, training = config.model, config.training
    assert training.seq_length != "full"
    shipped = Case(model.hidden_size, model.num_layers, training.batch_size, training.seq_length)
    table = Table("Validation during training")
    corpora = {"the plays": 4_784_718, "tinyshakespeare": 1_115_394}
    with (
        tempfile.TemporaryDirectory() as folder,
        workers("with_charnn") as sides,
    ):
        jobs = {
            name: sides["with_charnn"].prepare(
                "validation",
                checkpoint=str(Path(folder, f"{name}.npz")),
                case=shipped,
                characters=characters,
            )
            for name, characters in corpora.items()
        }
        found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in jobs}
        for turn in range(options.rounds + 1):
            progress(f"validation {turn} of {options.rounds}")
            for name, job in jobs.items():
                measured = job(1)
                if turn > 0:  # the first turn warms up
                    found[name].append(measured)
    for name, turns in found.items():
        steps = Spread.of(step for step, _, _ in turns)
        seconds = Spread.of(seconds for _, seconds, _ in turns)
        predictions = turns[0][2]
        table.rows.append(
            {
                "length of": name,
                "characters": f"{predictions:,}",
                "ms/step": steps.scaled(1e3),
                "validation, s": seconds,
                "characters/s": seconds.rate(predictions),
                "% of training": seconds.scaled(100 / (250 * steps.median)),
            }
        )
    table.notes.append(
        f"H {shipped.H}, {shipped.layers} layers, B {shipped.B}, T {shipped.T}. The validation "
        "text is the last tenth of a text of that length. Last column: the time of a validation "
        "as a share of the time of 250 steps."
    )
    return table


# --- whole processes -----------------------------------------------------------------------------


def startup(options: Options) -> Table:
    """Measure whole processes from start to exit."""
    table = Table("Start-up")
    with tempfile.TemporaryDirectory() as folder:
        with workers("with_charnn") as sides:
            checkpoint = _checkpoint(sides["with_charnn"], folder, Case(256, 2, 1, 8))
        commands = {
            "charnn --help": ["-m", "charnn", "--help"],
            "charnn sample --n 1": ["-m", "charnn", "sample", "--ckpt", checkpoint, "--n", "1"],
            'python -c "import numpy"': ["-c", "import numpy"],
        }
        for peer in ("torch", "jax"):
            if installed(peer):
                commands[f'python -c "import {peer}"'] = ["-c", f"import {peer}"]
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(options.rounds + 1):
            progress(f"startup {turn} of {options.rounds}")
            for name, arguments in commands.items():
                began = time.perf_counter()
                _python(arguments)
                if turn > 0:  # the first turn compiles and fills the caches
                    taken[name].append(time.perf_counter() - began)
    torch = taken.get('python -c "import torch"')
    for name, seconds in taken.items():
        row: dict[str, Value] = {"process": name, "seconds": Spread.of(seconds)}
        if torch:
            row["% of import torch"] = quotient(seconds, torch).scaled(100)
        table.rows.append(row)
    return table


def _python(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def corpora(options: Options) -> Table:
    """Measure the time and the memory that reading a large text takes."""
    table = Table("Corpora")
    with tempfile.TemporaryDirectory() as folder:
        block = text(1_000_000)
        for megabytes in (1, options.megabytes):
            path = Path(folder, f"{megabytes}.txt")
            with path.open("w") as file:
                for _ in range(megabytes):
                    file.write(block)
            seconds, peaks = [], []
            for turn in range(options.rounds):
                progress(f"corpora {megabytes} MB, {turn + 1} of {options.rounds}")
                taken, peak = _one_step(str(path), str(Path(folder, "run.npz")))
                seconds.append(taken)
                peaks.append(peak / 1e6)
            table.rows.append(
                {"MB": str(megabytes), "seconds": Spread.of(seconds), "peak MB": Spread.of(peaks)}
            )
    small, large = (row["seconds"] for row in table.rows)
    assert isinstance(small, Spread)
    assert isinstance(large, Spread)
    speed = (options.megabytes - 1) / (large.median - small.median)
    table.notes.append(
        "`charnn train --max-steps 1` on a generated text, from start to exit; peak: anonymous "
        f"memory. The additional MB of the large text are read at {speed:.0f} MB/s."
    )
    return table


def _one_step(path: str, out: str) -> tuple[float, int]:
    """Train one step on a text; return the seconds and the peak of anonymous memory in bytes."""
    command = [sys.executable, "-m", "charnn", "train", "--data", path, "--out", out]
    command += ["--overwrite", "--quiet", "--max-steps", "1", "--set", "data.val_fraction=0"]
    command += ["--set", "model.hidden_size=256", "--set", "model.num_layers=1"]
    began = time.perf_counter()
    with subprocess.Popen(command) as process:
        peak = _peak_until(process.pid, lambda: process.poll() is not None)
    if process.returncode:
        raise RuntimeError(f"charnn train exited with {process.returncode}")
    return time.perf_counter() - began, peak


def _peak_until(pid: int, over: Callable[[], bool]) -> int:
    """Return the peak of a process's anonymous memory in bytes, until `over` returns true."""
    peak = 0
    while not over():
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"/proc/{pid}/status").read_text()
            peak = max(peak, int(status.partition("RssAnon:")[2].split()[0]) * 1024)
        time.sleep(0.005)
    return peak


def memory(options: Options) -> Table:
    """Measure whether resident memory grows over 10,000 steps."""
    table = Table("Memory")
    with (
        tempfile.TemporaryDirectory() as folder,
        workers("with_charnn") as sides,
    ):
        job = sides["with_charnn"].prepare(
            "resident",
            checkpoint=str(Path(folder, "run.npz")),
            case=Case(64, 1, 8, 32),
            characters=100_000,
        )
        made = 0
        for steps in (100, 1000, 10_000):
            progress(f"memory, {steps} steps")
            table.rows.append({"steps": f"{steps:,}", "resident MB": job(steps - made) / 1e6})
            made = steps
    table.notes.append("H 64, one layer, B 8, T 32, with logs, validations and checkpoints.")
    return table


SECTIONS: dict[str, Callable[[Options], Table]] = {
    function.__name__: function
    for function in (step, gated, sampling, evaluation, validation, startup, corpora, memory)
}
