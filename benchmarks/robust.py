"""Check that training learns on any text: ``make robust`` (two hours), ``make robust-quick``.

This trains recipes on the texts of `benchmarks.texts` with several seeds, 1,000 steps each. It
compares the best validation loss with two baselines. One is the unigram entropy, which a network
that has learnt nothing reaches. The other is the loss of Witten-Bell n-grams of the best order. A
run passes if it closes at least half the gap between the two. The seeds of a recipe pass if their
best and worst losses differ by less than 0.05 nats, or 0.1 on texts below 50 KB.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.ngram import witten_bell
from benchmarks.report import Table, machine
from benchmarks.texts import TEXTS, build
from charnn.baselines import unigram_entropy

_SMALL = 50_000  # bytes; on smaller texts, seeds may differ by 0.1 nats
_ORDERS = range(2, 9)
_VAL_FRACTION = 0.1
_COUNTED = 1_000_000  # of a longer text, the n-gram model reads only the last characters


class Plan(NamedTuple):
    """One recipe: the arguments of `charnn train`, the texts and the number of seeds."""

    arguments: tuple[str, ...]
    texts: tuple[str, ...]
    seeds: int


def _recipe(name: str) -> tuple[str, ...]:
    return "--config", f"configs/{name}.yaml"


_ALL, _THREE = tuple(TEXTS), ("c", "manual", "verse")
PLANS = {
    "fast": Plan(_recipe("tinyshakespeare-fast"), _ALL, 5),
    "quick": Plan(_recipe("quick"), _ALL, 5),
    "defaults": Plan((), _ALL, 5),
    "shakespeare": Plan(_recipe("shakespeare"), _THREE, 2),
    "tinyshakespeare": Plan(_recipe("tinyshakespeare"), _THREE, 2),
    "shakespeare-long": Plan(_recipe("shakespeare-long"), _THREE, 2),
}
QUICK = {"fast": Plan(_recipe("tinyshakespeare-fast"), ("c", "csv", "manual"), 2)}


def counted(path: Path) -> tuple[int, float, float]:
    """Return K, the unigram entropy, and the loss of the best Witten-Bell model, both in nats."""
    points = np.frombuffer(path.read_text(encoding="utf-8").encode("utf-32-le"), np.uint32)
    ids = np.unique(points, return_inverse=True)[1].astype(np.int64)
    K = int(ids.max()) + 1
    train = int(len(ids) * (1 - _VAL_FRACTION))
    unigram = unigram_entropy(ids[:train].astype(np.uint32), K)
    start = max(0, len(ids) - _COUNTED)
    ids, train = ids[start:], train - start
    best = min(float(-np.log(witten_bell(ids, train, n)).mean()) for n in _ORDERS)
    return K, unigram, best


def best_validation(
    folder: Path, name: str, text: Path, plan: Plan, seed: int, steps: int
) -> float:
    """Train once; return the best validation loss in nats per character."""
    out = folder / f"{name}-{text.stem}-{seed}.npz"
    command = [sys.executable, "-m", "charnn", "train", *plan.arguments, "--data", str(text)]
    command += ["--out", str(out), "--seed", str(seed), "--max-steps", str(steps), "--threads", "1"]
    command += ["--quiet", "--set=training.save_every=1000000"]
    subprocess.run(command, check=True)
    lines = map(json.loads, out.with_suffix(".jsonl").read_text().splitlines())
    return min(float(line["val_loss"]) for line in lines if line.get("val_loss") is not None)


def rows(
    name: str, plan: Plan, texts: dict[str, Path], losses: dict[str, list[Future[float]]]
) -> tuple[Table, bool]:
    """Return a recipe's table, and whether all its runs pass."""
    table, passed = Table(name), True
    for text in plan.texts:
        path, found = texts[text], [loss.result() for loss in losses[text]]
        K, unigram, best = counted(path)
        closed = min((unigram - loss) / (unigram - best) for loss in found)
        spread = max(found) - min(found)
        size = path.stat().st_size
        passes = closed >= 0.5 and spread < (0.1 if size < _SMALL else 0.05)
        passed &= passes
        table.rows.append(
            {
                "text": text,
                "KB": f"{size / 1000:,.0f}",
                "K": f"{K:,}",
                "unigram": f"{unigram:.3f}",
                "Witten-Bell": f"{best:.3f}",
                "mean of the best": f"{statistics.fmean(found):.3f}",
                "worst − best seed": f"{spread:.3f}",
                "gap closed, worst seed": f"{closed:.0%}",
                "": "" if passes else "**fails**",
            }
        )
        print(name, text, *(f"{loss:.3f}" for loss in found), file=sys.stderr)
    return table, passed


def main() -> int:
    """Train every recipe and print its table. The exit code is 1 if a run fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robust", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one recipe, three texts, two seeds")
    parser.add_argument(
        "--only", default="", metavar="RECIPE", help="only recipes that contain RECIPE"
    )
    parser.add_argument(
        "--texts", type=Path, default=Path("runs/texts"), help="folder of the texts (runs/texts)"
    )
    parser.add_argument("--steps", type=int, default=1000, help="steps of a run (1,000)")
    parser.add_argument("--jobs", type=int, default=2, help="parallel runs, one core each (2)")
    given = parser.parse_args()
    plans = QUICK if given.quick else PLANS
    plans = {name: plan for name, plan in plans.items() if given.only in name}
    texts = {path.stem: path for path in build(given.texts)}
    passed = True
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.jobs) as pool:
        folder = Path(name)
        jobs = {
            recipe: {
                text: [
                    pool.submit(
                        best_validation, folder, recipe, texts[text], plan, seed, given.steps
                    )
                    for seed in range(1, plan.seeds + 1)
                ]
                for text in plan.texts
            }
            for recipe, plan in plans.items()
        }
        print("".join(f"- {key}: {value}\n" for key, value in machine().items()))
        for recipe, plan in plans.items():
            table, recipe_passed = rows(recipe, plan, texts, jobs[recipe])
            passed &= recipe_passed
            print(table.markdown(), flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
