"""Measure how much each training technique helps, at equal time: `make quality`.

The text is the beginning of data/tinyshakespeare.txt; its last tenth is the validation text. It is
so short that a run of minutes reads it some twenty times, as the long recipes do. Every variant
trains for the same time. Its number of steps follows from the speed of its own first steps, the
median of three measurements. The variants are measured in turn. The schedule always ends with the
run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.report import Table, machine

BASE = {
    "model.hidden_size": 256,
    "model.num_layers": 2,
    "model.dropout": 0,
    "training.weight_decay": 0,
    "training.ema_decay": 0,
    "training.batch_size": 32,
    "training.seq_length": 64,
    "training.learning_rate": 6e-3,
    "training.warmup_steps": 100,
    "training.clip_norm": 1,
    "training.eval_every": 250,
    "training.save_every": 1_000_000,
    "training.threads": 1,
}
ALL = {"model.dropout": 0.1, "training.weight_decay": 0.1, "training.ema_decay": 0.99}
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {},
    **{f"`{key}` {value} alone": {key: value} for key, value in ALL.items()},
    "all three": ALL,
    **{f"all but `{key}`": ALL | {key: 0} for key in ALL},
    "all three, `learning_rate` 2e-3": ALL | {"training.learning_rate": 2e-3},
    "all three, `init` orthogonal": ALL | {"model.init": "orthogonal"},
    "all three, `num_layers` 1": ALL | {"model.num_layers": 1},
    "all three, `num_layers` 3": ALL | {"model.num_layers": 3},
    "all three, `num_layers` 3, `learning_rate` 3e-3, `warmup_steps` 400": ALL
    | {
        "model.num_layers": 3,
        "training.learning_rate": 3e-3,
        "training.warmup_steps": 400,
    },
}
_CALIBRATION = 100  # steps


def run(folder: Path, name: str, settings: dict[str, Any], steps: int, *more: str) -> list[Any]:
    """Train a variant; return the lines of its log."""
    out = folder / f"{name}.npz"
    values = BASE | settings | {"training.max_steps": steps}
    command = [sys.executable, "-m", "charnn", "train", "--data", str(folder / "text.txt")]
    command += [f"--set={key}={value}" for key, value in values.items()]
    subprocess.run([*command, "--out", str(out), "--overwrite", "--quiet", *more], check=True)
    return [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]


def spread(losses: list[float]) -> str:
    """Return the mean and the largest distance from it."""
    mean = statistics.fmean(losses)
    return f"{mean:.4f} ± {max(abs(loss - mean) for loss in losses):.4f}"


def main() -> None:
    """Measure all variants and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--text", type=Path, default=Path("data/tinyshakespeare.txt"))
    parser.add_argument(
        "--characters", type=int, default=300_000, help="characters of it to use (300,000)"
    )
    parser.add_argument("--seconds", type=float, default=90, help="training time of a run (90)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant (3)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only variants that contain TEXT"
    )
    parser.add_argument("--jobs", type=int, default=2, help="parallel runs, one core each (2)")
    given = parser.parse_args()
    variants = {name: settings for name, settings in VARIANTS.items() if given.only in name}
    table = Table(f"{given.seconds:g} s of training on one core, {given.characters:,} characters")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.jobs) as pool:
        folder = Path(name)
        (folder / "text.txt").write_text(given.text.read_text()[: given.characters])
        speeds: dict[str, list[float]] = {variant: [] for variant in variants}
        for _ in range(3):
            for variant, settings in variants.items():
                *_, last = run(folder, "speed", settings, _CALIBRATION, "--set=data.val_fraction=0")
                speeds[variant].append(last["chars_per_second"])
        characters = BASE["training.batch_size"] * BASE["training.seq_length"]
        steps = {
            variant: int(given.seconds * statistics.median(speed) / characters)
            for variant, speed in speeds.items()
        }
        jobs = {
            (variant, seed): pool.submit(
                run,
                folder,
                f"{index}-{seed}",
                settings | {"training.seed": seed},
                steps[variant],
            )
            for index, (variant, settings) in enumerate(variants.items())
            for seed in range(1, given.seeds + 1)
        }
        for variant in variants:
            logs = [jobs[variant, seed].result() for seed in range(1, given.seeds + 1)]
            measured = [[line for line in log if line["val_loss"] is not None] for log in logs]
            last_loss = spread([lines[-1]["val_loss"] for lines in measured])
            table.rows.append(
                {
                    "variant": variant,
                    "steps": f"{steps[variant]:,}",
                    "epochs": f"{measured[0][-1]['epoch']:.0f}",
                    "training loss": spread([lines[-1]["train_loss"] for lines in measured]),
                    "last validation": last_loss,
                    "best validation": spread(
                        [min(line["val_loss"] for line in lines) for lines in measured]
                    ),
                }
            )
            print(f"{variant}: {last_loss}", file=sys.stderr)
    print("".join(f"- {key}: {value}\n" for key, value in machine().items()))
    print(table.markdown().rstrip())


if __name__ == "__main__":
    main()
