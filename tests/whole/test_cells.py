"""The gated cells, and a leaky RNN that the tests register, work in every command.

tests/network/test_gradients.py checks their gradients.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import charnn
from charnn.network import cells
from charnn.network.flow import gradients_back
from charnn.network.loss import log_softmax
from charnn.network.network import Network, Reader
from charnn.network.stepper import Stepper
from charnn.network.textbook import TextbookBPTT
from tests.helpers import leaky
from tests.helpers.commands import CHARNN
from tests.helpers.texts import english

pytestmark = pytest.mark.processes

SIZES = ["--set", "model.hidden_size=64", "--set", "model.num_layers=2"]
SIZES += ["--set", "model.dropout=0.1", "--seed", "1", "-q"]
# A batch of 32 with 64 units is enough work for two workers.
TRAIN = ["train", "--data", "t.txt", *SIZES, "--threads", "2", "--set", "training.eval_every=20"]

Run = Callable[..., str]


@pytest.fixture(scope="module", params=["leaky", "lstm", "gru"])
def cell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(cell: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(cell)
    (folder / "t.txt").write_text(english(30_000))
    return folder


@pytest.fixture(scope="module")
def run(cell: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a command in a Python with the cell. It must succeed."""
    model = ["--set", f"model.cell={cell}"]
    variables = os.environ | leaky.environment(tmp_path_factory.mktemp("site"))

    def command(*arguments: str) -> str:
        result = subprocess.run(
            [*CHARNN, *arguments, *(model if "--data" in arguments else [])],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    command(*TRAIN, "--max-steps", "60", "--out", "whole.npz")
    return command


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, folder: Path, run: Run) -> Network:
    monkeypatch.setitem(cells.CELLS, leaky.NAME, leaky.PLACE)
    return charnn.load(folder / "whole.npz").model


def test_it_learns_with_workers(folder: Path, run: Run) -> None:
    lines = [json.loads(line) for line in (folder / "whole.jsonl").read_text().splitlines()]
    assert lines[-1]["val_loss"] < lines[0]["val_loss"] < np.log(60)


def test_stopped_and_resumed_it_ends_with_the_same_bytes(folder: Path, run: Run) -> None:
    run(*TRAIN, "--max-steps", "60", "--out", "parts.npz", "--stop-after", "25")
    run("train", "--resume", "--out", "parts.npz", "-q")
    names = ("whole.npz", "parts.npz")
    whole, parts = (np.load(folder / name, allow_pickle=False) for name in names)
    assert sorted(whole.files) == sorted(parts.files)
    for name in set(whole.files) - {"config", "checksum"}:
        np.testing.assert_array_equal(whole[name], parts[name])


def test_one_process_and_the_textbook_loop_follow_the_same_losses(folder: Path, run: Run) -> None:
    losses = []
    for name, more in (
        ("fast", []),
        ("one", ["--threads", "1"]),
        ("slow", ["--set", "training.loop=textbook"]),
    ):
        few = ["--max-steps", "6", "--set", "training.batch_size=8"]
        exact = ["--set", "training.dtype=float64", "--set", "training.log_every=1"]
        run(*TRAIN, *few, *exact, *more, "--out", f"{name}.npz")
        log = (folder / f"{name}.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["train_loss"] for line in log])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10)
    np.testing.assert_allclose(losses[0], losses[2], rtol=1e-10)


def test_it_is_sampled_evaluated_inspected_and_shown(cell: str, folder: Path, run: Run) -> None:
    assert len(run("sample", "--ckpt", "whole.npz", "--n", "50", "--seed", "1")) == 50
    several = run("sample", "--ckpt", "whole.npz", "--n", "9", "--samples", "3", "--seed", "1")
    assert several.count("\n---\n") == 2
    exact = json.loads(run("eval", "--ckpt", "whole.npz", "--json"))
    context = json.loads(run("eval", "--ckpt", "whole.npz", "--context", "64", "--json"))
    assert exact["nats_per_char"] != context["nats_per_char"]
    views = json.loads(run("inspect", "--ckpt", "whole.npz", "--json", "-n", "500"))
    assert len(views["layers"]) == (4 if cell == "lstm" else 2)
    if cell != "leaky":
        gates = run("inspect", "--ckpt", "whole.npz", "--view", "gates", "--unit", "1:3", "-n", "9")
        assert len(gates.splitlines()) == 1 + 9
    run("inspect", "--ckpt", "whole.npz", "--view", "memory", "--unit", "1:3", "-n", "500")
    run("report", "--ckpt", "whole.npz", "-o", "page.html", "-n", "300")
    assert f"cell: {cell}" in run("info", "--ckpt", "whole.npz")
    assert "# FLOP a step" in run(*TRAIN, "--dry-run", "--out", "dry.npz")
    run("train", "--init", "whole.npz", "--data", "t.txt", "--max-steps", "2", "--out", "i.npz")
    assert f"cell: {cell}" in run("info", "--ckpt", "i.npz")


def test_one_character_at_a_time_is_as_a_whole_window(network: Network) -> None:
    ids = np.random.default_rng(0).integers(0, network.vocab_size, (20, 3))
    for texts in (1, 3):
        state = network.zero_state(texts)
        stepper = Stepper(network, state.copy())
        o = network.logits(ids[:, :texts], state)[-1]
        for row in ids[:, :texts]:
            stepper.step(row[0] if texts == 1 else row)
        np.testing.assert_allclose(stepper.logits.reshape(texts, -1), o, atol=1e-5)
        np.testing.assert_allclose(stepper.state, state, atol=1e-5)


def test_the_textbook_loop_has_the_same_state(network: Network) -> None:
    ids = np.random.default_rng(0).integers(0, network.vocab_size, (21, 2))
    fast, slow = network.zero_state(2), network.zero_state(2)
    network.logits(ids[:-1], fast)
    TextbookBPTT(network)(ids[:-1], ids[1:], slow)
    np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_gradients_go_back_through_time_by_every_path(network: Network) -> None:
    """One path goes past W: a leaky cell keeps a share of h."""
    exact = Network.from_config(network.spec, network.vocab_size, np.float64)
    exact.parameters.flat[...] = network.parameters.flat
    ids = np.random.default_rng(1).integers(0, network.vocab_size, 12)
    reader, state = Reader(exact, len(ids), 1), exact.zero_state()
    reader(ids[:, None], state)
    states, t, lags = reader.states[:, 1:, 0].copy(), 9, 4
    back = list(gradients_back(exact, ids, states, np.array([t]), lags))
    found = [each.states for each in back]

    L, states_of_a_layer = exact.num_layers, exact.spec.cell_class.states

    def loss(lag: int, unit: int, change: float, of_s: bool) -> float:
        """Return L(t) after a change of one h, or s, of the top layer at t − lag."""
        state = states[:, t - lag, None].copy()
        if of_s:  # this changes h, too: h = q tanh(s)
            h, s = state[[L - 1, -1], 0, unit]
            state[-1, 0, unit] += change
            state[L - 1, 0, unit] = h / np.tanh(s) * np.tanh(s + change)
        else:
            state[L - 1, 0, unit] += change
        top = state[L - 1].copy()
        o = exact.outputs(top, np.empty((1, exact.vocab_size)))
        if lag > 0:
            o = exact.logits(ids[t - lag + 1 : t + 1, None], state)[-1]
        return -float(log_softmax(o)[0, ids[t + 1]])

    for lag in range(lags + 1):
        for unit in range(0, exact.hidden_size, 16):
            for part in range(states_of_a_layer):
                higher, lower = (loss(lag, unit, e, part == 1) for e in (1e-6, -1e-6))
                numeric = (higher - lower) / 2e-6
                assert found[lag][L - 1 + part * L, 0, unit] == pytest.approx(numeric, abs=1e-7)
