"""The log, `eval` and a plain loop in float64 give the same loss."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.textbook import loop
from tests.helpers.texts import english

TEXT = english(9000)
STEPS = 200
SETTINGS = {
    "model.hidden_size": "24",
    "model.num_layers": "2",
    "model.dropout": "0",
    "training.learning_rate": "0.02",
    "training.eval_every": "20",
    "training.schedule": "constant",
    "training.weight_decay": "0",
    "training.ema_decay": "0",
    "data.val_fraction": "0.2",
}


def charnn(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "charnn", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_eval_and_an_independent_loop_agree(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    command = [
        "train",
        "-q",
        "--data",
        "text.txt",
        "--out",
        "run.npz",
        "--seed",
        "1",
        "--threads",
        "1",
    ]
    for item in {**SETTINGS, "training.dtype": dtype, "training.max_steps": str(STEPS)}.items():
        command += ["--set", "=".join(item)]
    charnn(tmp_path, *command)
    log = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    logged = {line["step"]: line["val_loss"] for line in log if line["val_loss"] is not None}
    # The model overfits its small text, so the best validation is not the last.
    best = min(logged, key=logged.__getitem__)
    assert best < STEPS
    for name, step, tolerance in (("run.npz", STEPS, 1e-6), ("run.best.npz", best, 1e-4)):
        with np.load(tmp_path / name) as file:
            members = {member: file[member] for member in file.files}
        assert json.loads(str(members["progress"]))["step"] == step
        figures = json.loads(charnn(tmp_path, "eval", "--ckpt", name, "--split", "val", "--json"))
        exact = recomputed(members)
        assert figures["nats_per_char"] == pytest.approx(exact, abs=1e-6)
        # Only the last validation reads the text in one piece.
        assert logged[step] == pytest.approx(exact, abs=tolerance)


def recomputed(members: dict[str, Any]) -> float:
    """Return the mean loss over the last fifth of the text, by the textbook loop."""
    points = {int(point): k for k, point in enumerate(members["vocabulary"])}
    ids = np.array([points[ord(character)] for character in TEXT[7200:]])
    parameters = {name: members[name] for name in ("U0", "W0", "b0", "U1", "W1", "b1", "V", "c")}
    zero = np.zeros((2, 1, 24))
    return loop(parameters, "tanh", ids[:-1, None], ids[1:, None], zero).loss / (len(ids) - 1)
