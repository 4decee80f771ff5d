"""Measure how good a run's own choices are: ``python -m benchmarks.choosing`` (an hour or two).

On each text, this trains the choice of `charnn train --data TEXT` and eight configs made by hand.
With ``--time 60`` the choice is that of `charnn plan --time 60s`, on a machine that does 10¹¹
floating-point operations a second. All runs do the same number of operations. The regret is the
best validation loss of the choice minus that of the best of the eight. The rule was fitted on some
of the texts, not on all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Table, machine
from benchmarks.texts import build
from charnn.config.keys import Config
from charnn.config.loading import Override, load_config
from charnn.network.spec import Spec
from charnn.text.corpus import Corpus
from charnn.training.choosing import choose, most_work, network_for, operations
from charnn.training.preparation import training_characters

FITTED = ("c", "manual", "chinese", "chat", "python", "russian", "html", "csv", "names")
ALIKE = {
    "training.batch_size": 32,
    "training.seq_length": 64,
    "training.clip_norm": 1,
    "training.weight_decay": 0.1,
    "training.ema_decay": 0.99,
}
SPEED = 1e11  # operations a second, of two cores with AVX-512
HAND_MADE = {  # cell, hidden_size, num_layers, learning_rate, dropout
    "1 × 128": ("rnn", 128, 1, 6e-3, 0.0),
    "1 × 256": ("rnn", 256, 1, 4e-3, 0.0),
    "1 × 512": ("rnn", 512, 1, 2e-3, 0.1),
    "2 × 128": ("rnn", 128, 2, 6e-3, 0.0),
    "2 × 256": ("rnn", 256, 2, 3e-3, 0.1),
    "3 × 192": ("rnn", 192, 3, 4e-3, 0.0),
    "3 × 256": ("rnn", 256, 3, 3e-3, 0.0),
    "3 × 256, dropout": ("rnn", 256, 3, 3e-3, 0.2),
}
TIMED = {  # as good as one can guess for a minute or more
    **{name: HAND_MADE[name] for name in ("2 × 256", "3 × 256")},
    "3 × 384": ("rnn", 384, 3, 2e-3, 0.1),
    "GRU 1 × 256": ("gru", 256, 1, 5e-3, 0.0),
    "GRU 2 × 128": ("gru", 128, 2, 8e-3, 0.0),
    "GRU 2 × 256, dropout": ("gru", 256, 2, 4e-3, 0.2),
    "LSTM 2 × 128": ("lstm", 128, 2, 8e-3, 0.0),
    "LSTM 2 × 256, dropout": ("lstm", 256, 2, 4e-3, 0.2),
}


class Run(NamedTuple):
    """A finished run.

    Attributes:
        text: the name of the text.
        name: the name of the config.
        steps: the number of planned steps.
        best: the lowest validation loss, in nats per character.
        last: the validation loss at the end.
    """

    text: str
    name: str
    steps: int
    best: float
    last: float


def chosen_keys(corpus: Corpus, seconds: float | None) -> dict[str, Any]:
    """Return the keys that charnn chooses for a text, and for a time if one is given."""
    N, config = training_characters(corpus), Config()
    if seconds is None:
        return {choice.key: choice.value for choice in choose(config, N)}
    cell, H, L = network_for(None, N, seconds * SPEED)
    work = min(seconds * SPEED, most_work(cell, N))
    steps = int(work / (32 * 64 * operations(cell, H, L)))
    choices = choose(config.with_values({"model.cell": cell}), N, work, steps)
    return {"model.cell": cell} | {choice.key: choice.value for choice in choices}


def plans(corpus: Corpus, seconds: float | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the keys of each config for a text, the choice first."""
    K = len(corpus.vocabulary)
    yield "chosen", (chosen := chosen_keys(corpus, seconds))
    config = load_config(None, {key: Override(value, "") for key, value in chosen.items()})
    step = Spec.from_config(config.model, K, "float32").step_flop(64, config.training.batch_size)
    work = (config.training.max_steps or 0) * step
    for name, (cell, H, L, rate, dropout) in (TIMED if seconds else HAND_MADE).items():
        steps = max(1, round(work / Spec(K, H, L, cell).step_flop(64, 32)))
        yield (
            name,
            ALIKE
            | {
                "model.cell": cell,
                "model.hidden_size": H,
                "model.num_layers": L,
                "model.dropout": dropout,
                "training.learning_rate": rate,
                "training.max_steps": steps,
                "training.warmup_steps": min(400, steps // 20),
            },
        )


def train(folder: Path, text: Path, name: str, keys: dict[str, Any]) -> Run:
    """Train once, on one core."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        out = Path(own) / "run.npz"
        command = [sys.executable, "-m", "charnn", "train", "--data", str(text), "--out", str(out)]
        command += [f"--set={key}={value}" for key, value in keys.items()]
        command += ["--threads", "1", "--seed", "1", "--quiet", "--set=training.save_every=1000000"]
        subprocess.run(command, check=True)
        lines = map(json.loads, out.with_suffix(".jsonl").read_text().splitlines())
        losses = [line["val_loss"] for line in lines if line.get("val_loss") is not None]
    return Run(text.stem, name, keys["training.max_steps"], min(losses), losses[-1])


def table(runs: list[Run]) -> Table:
    """Return a table with a row for each text: the choice, the best of the eight, the regret."""
    made = Table("The choice and the best of eight configs made by hand, nats per character")
    for text in dict.fromkeys(run.text for run in runs):
        own = {run.name: run for run in runs if run.text == text}
        chosen = own.pop("chosen")
        best = min(own.values(), key=lambda run: run.best)
        made.rows.append(
            {
                "text": text,
                "fitted on": "yes" if text in FITTED else "",
                "steps": f"{chosen.steps:,}",
                "chosen: best": f"{chosen.best:.3f}",
                "its last": f"{chosen.last:.3f}",
                "best of eight": f"{best.best:.3f}",
                "which": best.name,
                "regret": f"{chosen.best - best.best:+.3f}",
            }
        )
    return made


def main() -> None:
    """Train all configs and print the table; ``--out`` also writes all runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choosing", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="only texts that contain TEXT")
    parser.add_argument(
        "--texts", type=Path, default=Path("runs/texts"), help="folder of the texts (runs/texts)"
    )
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="more text files")
    parser.add_argument("--time", type=float, metavar="SECONDS", help="compare plans for this time")
    parser.add_argument("--jobs", type=int, default=2, help="parallel runs, one core each (2)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="also write all runs to this file"
    )
    given = parser.parse_args()
    texts = [path for path in [*build(given.texts), *given.more] if given.only in path.stem]
    texts.sort(key=lambda path: path.stat().st_size)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.jobs) as pool:
        jobs = []
        for path in texts:
            text = path.read_text(encoding="utf-8-sig")
            for plan, keys in plans(Corpus.from_text(text, val_fraction=0.1), given.time):
                jobs.append(pool.submit(train, Path(name), path, plan, keys))
        runs = []
        for job in jobs:
            runs.append(job.result())
            print(*runs[-1], file=sys.stderr)
    print("".join(f"- {key}: {value}\n" for key, value in machine().items()))
    print(table(runs).markdown())
    if given.out:
        given.out.write_text(json.dumps([run._asdict() for run in runs], indent=1) + "\n")


if __name__ == "__main__":
    main()
