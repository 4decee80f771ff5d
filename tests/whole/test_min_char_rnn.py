"""configs/min-char-rnn.yaml gives the losses of the original script, step by step."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.places import ROOT
from tests.helpers.texts import english

CONFIG = ROOT / "configs" / "min-char-rnn.yaml"


def script_losses(text: str, parameters: dict[str, np.ndarray], steps: int) -> list[float]:
    """Return each step's summed loss, by the script's rules.

    A pointer moves 25 characters a step. It returns to 0, with a zero state, when fewer than 26 + 1
    characters are left. Adagrad has 1e-8 inside its root. Clipping limits elements to ±5.
    """
    characters = sorted(set(text))
    ids = [characters.index(character) for character in text]
    theta = {name: np.array(array, ndmin=2) for name, array in parameters.items()}
    theta |= {name: theta[name].T for name in ("b0", "c")}  # columns
    memory = {name: np.zeros_like(array) for name, array in theta.items()}
    state = np.zeros((100, 1))
    p = 0
    losses = []
    for _ in range(steps):
        if p + 25 + 1 >= len(ids):
            p = 0
            state = np.zeros((100, 1))
        loss, gradients, state = window(theta, ids[p : p + 25], ids[p + 1 : p + 26], state)
        losses.append(loss)
        for name, gradient in gradients.items():
            g = np.clip(gradient, -5, 5)
            memory[name] += g * g
            theta[name] = theta[name] - 0.1 * g / np.sqrt(memory[name] + 1e-8)
        p += 25
    return losses


def window(
    theta: dict[str, np.ndarray], inputs: list[int], targets: list[int], state: np.ndarray
) -> tuple[float, dict[str, np.ndarray], np.ndarray]:
    """Return the loss, the gradients and the last state, by the script's operations."""
    U, W, V, b, c = (theta[name] for name in ("U0", "W0", "V", "b0", "c"))
    one_hot = np.eye(len(c))[:, :, None]
    h, y, loss = [state], [], 0.0
    for i, target in zip(inputs, targets, strict=True):
        h.append(np.tanh(np.dot(U, one_hot[i]) + np.dot(W, h[-1]) + b))
        o = np.dot(V, h[-1]) + c
        y.append(np.exp(o) / np.sum(np.exp(o)))
        loss += -np.log(y[-1][target, 0])
    g = {name: np.zeros_like(array) for name, array in theta.items()}
    arriving = np.zeros_like(state)
    for t in reversed(range(len(inputs))):
        do = y[t].copy()
        do[targets[t]] -= 1
        g["V"] += np.dot(do, h[t + 1].T)
        g["c"] += do
        da = (1 - h[t + 1] * h[t + 1]) * (np.dot(V.T, do) + arriving)
        g["b0"] += da
        g["U0"] += np.dot(da, one_hot[inputs[t]].T)
        g["W0"] += np.dot(da, h[t].T)
        arriving = np.dot(W.T, da)
    return loss, g, h[-1]


def charnn_train(folder: Path, *options: str) -> None:
    command = [sys.executable, "-m", "charnn", "train", "-q", "--config", str(CONFIG)]
    command += ["--data", "text.txt", "--threads", "1", *options]
    subprocess.run(command, check=True, cwd=folder)


# With 5,001 characters the last window is whole and nothing follows it, the script's edge case.
@pytest.mark.parametrize(("length", "steps"), [(25_100, 1000), (5_001, 450)])
def test_the_losses_are_the_script_s(tmp_path: Path, length: int, steps: int) -> None:
    text = english(length)
    (tmp_path / "text.txt").write_text(text)
    charnn_train(tmp_path, "--out", "init.npz", "--stop-after", "0", "--seed", "1")
    charnn_train(tmp_path, "--init", "init.npz", "--out", "run.npz", "--max-steps", str(steps))
    with np.load(tmp_path / "init.npz") as file:
        parameters = {name: file[name] for name in ("U0", "W0", "b0", "V", "c")}
    assert not parameters["b0"].any()
    assert parameters["U0"].std() == pytest.approx(0.01, rel=0.1)
    log = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert len(log) == steps
    summed = [25 * line["train_loss"] for line in log]
    np.testing.assert_allclose(summed, script_losses(text, parameters, steps), atol=1e-6, rtol=0)
    assert sum(line["clipped"] for line in log) > 0, "no step tests the clipping"
