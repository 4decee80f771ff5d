"""Measure how far back each cell remembers: `make memory` prints a table and draws memory.svg.

Each cell learns the task recall of data/tasks.py for several mean gaps, with about equal parameters
and equal steps. Windows are longer than the gaps, so that truncation does not limit the memory.
This needs matplotlib.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

HERE = Path(__file__).parent
GAPS = (5, 10, 20, 40, 80, 160)
CELLS = {"rnn": (128, 3e-3), "lstm": (60, 1e-2), "gru": (70, 1e-2)}  # hidden_size, learning_rate
SETTINGS = {
    "model.num_layers": 1,
    "model.dropout": 0,
    "training.batch_size": 16,
    "training.seq_length": 256,
    "training.warmup_steps": 50,
    "training.clip_norm": 1,
    "training.weight_decay": 0,
    "training.ema_decay": 0,
    "training.threads": 1,
    "training.eval_every": 10**6,
    "training.seed": 1,
}
CHARNN = [sys.executable, "-m", "charnn"]


class Found(NamedTuple):
    """The measurements of a trained network.

    Attributes:
        parameters: the number of parameters.
        excess: bits per line above the best possible model; guessing the letter costs three.
        reach: how many characters back the gradient of a loss fades to 1 %, at most 200.
    """

    parameters: int
    excess: float
    reach: int


def run(folder: Path, cell: str, gap: int, optimum: float, steps: int) -> Found:
    """Train a cell on a gap and measure it on the last tenth of the text."""
    text, out = folder / f"{gap}.txt", folder / f"{cell}-{gap}.npz"
    H, rate = CELLS[cell]
    values: dict[str, Any] = SETTINGS | {
        "model.cell": cell,
        "model.hidden_size": H,
        "training.learning_rate": rate,
        "training.max_steps": steps,
    }
    sets = [f"--set={key}={value}" for key, value in values.items()]
    command = [*CHARNN, "train", "--data", str(text), "--out", str(out), "--quiet", *sets]
    subprocess.run(command, check=True)
    best = ["--ckpt", str(out.with_suffix(".best.npz"))]
    figures = json.loads(subprocess.check_output([*CHARNN, "eval", *best, "--json"]))
    look = [*CHARNN, "inspect", *best, "--view", "gradients", "--n", "5000", "--json"]
    layers = json.loads(subprocess.check_output(look))["layers"]
    held = json.loads(subprocess.check_output([*CHARNN, "info", best[1], "--json"]))
    reach = max(200 if layer["reach"] is None else layer["reach"] for layer in layers)
    excess = (figures["bits_per_char"] - optimum) * (gap + 4)
    print(
        f"{cell}, gap {gap}: {excess:.3f} bits per line above the optimum",
        file=sys.stderr,
        flush=True,
    )
    return Found(held["parameters"], excess, reach)


def draw(found: dict[tuple[str, int], Found]) -> None:
    """Draw the excess and the reach against the gap."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "charnn", "font.size": 9}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for colour, cell in zip(("C3", "C0", "C2"), CELLS, strict=True):
            runs = [found[cell, gap] for gap in GAPS]
            left.plot(GAPS, [one.excess for one in runs], "o-", color=colour, label=cell)
            right.plot(GAPS, [one.reach for one in runs], "o-", color=colour, label=cell)
        letters = math.log2(8)
        left.axhline(letters, color="grey", lw=0.8)
        left.annotate("the letter is guessed", (GAPS[0], letters), va="bottom")
        left.set_title("bits a line above the optimum", loc="left", fontsize="medium")
        right.set_title("gradient reach, characters", loc="left", fontsize="medium")
        right.set_yscale("log")
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set_xticks(GAPS, list(map(str, GAPS)))
            axes.set_xlabel("mean gap, characters")
            axes.grid(alpha=0.3)
        left.legend(fontsize="small", loc="center left")
        figure.savefig(HERE / "memory.svg", metadata={"Date": None})


def main() -> None:
    """Train all cells on all gaps, print the table and draw."""
    parser = argparse.ArgumentParser(prog="python docs/memory.py", description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="steps of a run (2000)")
    parser.add_argument("--jobs", type=int, default=2, help="parallel runs, one core each (2)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.jobs) as pool:
        folder, optimum = Path(name), {}
        for gap in GAPS:
            command = [sys.executable, str(HERE.parent / "data" / "tasks.py"), "recall"]
            command += [str(folder / f"{gap}.txt"), "--gap", str(gap)]
            said = subprocess.check_output(command, text=True)
            optimum[gap] = float(re.findall(r"last tenth ([\d.]+)", said)[0])
        jobs = {
            (cell, gap): pool.submit(run, folder, cell, gap, optimum[gap], given.steps)
            for gap in GAPS
            for cell in CELLS
        }
        found = {key: job.result() for key, job in jobs.items()}
    draw(found)
    print(f"| mean gap | {' | '.join(f'{cell}: excess | reach' for cell in CELLS)} |")
    print(f"|---|{'---|---|' * len(CELLS)}")
    for gap in GAPS:
        cells = [found[cell, gap] for cell in CELLS]
        columns = " | ".join(
            f"{one.excess:.2f} | {one.reach if one.reach < 200 else '200 or more'}" for one in cells
        )
        print(f"| {gap} | {columns} |")
    sizes = ", ".join(f"{cell} {found[cell, GAPS[0]].parameters:,}" for cell in CELLS)
    print(f"\nParameters: {sizes}.")


if __name__ == "__main__":
    main()
