"""Train and evaluate on char-rnn's split, which validates on the end of each row of the batch.

    python -m benchmarks.row_ends TEXT OUT --config configs/tinyshakespeare.yaml [--set KEY=VALUE]

char-rnn lays a text out as B rows, cuts the rows into windows of T characters, and keeps the last
twentieth of the windows for validation. So it validates on B pieces spread over the whole text,
each between two pieces of the training text. This is easier than the text's last tenth, so figures
of the two splits must not be compared. This script trains on the beginnings of the rows, one after
the other, and validates on their ends. It evaluates each end from the zero state, as char-rnn does.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class RowEnds(NamedTuple):
    """The training and validation text, and the number of validation characters in a row."""

    train: str
    val: str
    length: int


def divided(text: str, batch_size: int, seq_length: int) -> RowEnds:
    """Divide a text as char-rnn does with its default fractions, 0.95 and 0.05.

    Raises:
        ValueError: if the text has fewer than 20 windows a row.
    """
    windows = len(text) // (batch_size * seq_length)
    row, kept = windows * seq_length, int(windows * 0.95) * seq_length
    if windows < 20:
        raise ValueError(f"the text has {windows} windows a row; 20 are needed")
    starts = range(0, batch_size * row, row)
    train = "".join(text[start : start + kept] for start in starts)
    val = "".join(text[start + kept : start + row] for start in starts)
    return RowEnds(train, val, row - kept)


def main() -> None:
    """Train, evaluate, and print the loss."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.row_ends",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path, help="folder for both texts and the run")
    parser.add_argument(
        "--config", type=Path, required=True, help="config of the network and its training"
    )
    parser.add_argument(
        "--batch-size", type=int, default=50, help="number of rows (50, as in char-rnn)"
    )
    parser.add_argument(
        "--seq-length", type=int, default=50, help="window length of the split (50)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    parts = divided(given.text.read_text(encoding="utf-8"), given.batch_size, given.seq_length)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "train.txt").write_text(parts.train, encoding="utf-8")
    (given.out / "val.txt").write_text(parts.val, encoding="utf-8")
    values = {"data.path": "train.txt", "data.val_path": "val.txt", "output.checkpoint": "run.npz"}
    own = [f"--set={key}={given.out / name}" for key, name in values.items()]
    chosen = [f"--set={assignment}" for assignment in given.set]
    charnn = [sys.executable, "-m", "charnn"]
    subprocess.run(
        [*charnn, "train", "--config", str(given.config), *own, *chosen, "--resume"], check=True
    )
    evaluation = ["--ckpt", str(given.out / "run.best.npz"), "--data", str(given.out / "val.txt")]
    evaluation += ["--context", str(parts.length), "--json"]
    figures = json.loads(subprocess.check_output([*charnn, "eval", *evaluation]))
    print(
        f"row ends of {given.text} (B {given.batch_size}, T {given.seq_length}): "
        f"{figures['nats_per_char']:.4f} nats/char over {figures['characters'] - 1:,} characters"
    )


if __name__ == "__main__":
    main()
