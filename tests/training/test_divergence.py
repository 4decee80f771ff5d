"""Divergence is caught, never saved, and rolled back; there are no false alarms."""

import json
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from charnn.checkpoint.checkpoint import load
from charnn.checkpoint.progress import Progress
from charnn.config.loading import Override, load_config
from charnn.errors import DivergenceError
from charnn.text.corpus import Corpus
from charnn.training.divergence import MAX_ROLLBACKS, diverged, is_suspect
from charnn.training.events import RolledBack, Saved
from charnn.training.metrics import MetricsLog, Rollback
from charnn.training.trainer import Trainer
from tests.helpers.texts import english

TEXT = english(3000)
UNIFORM = math.log(50)
SMALL: dict[str, Any] = {
    "model.hidden_size": 16,
    "training.batch_size": 8,
    "training.seq_length": 10,
    "training.max_steps": 60,
    "training.save_every": 20,
    "training.eval_every": 15,
    "training.log_every": 5,
    "training.seed": 1,
    "training.schedule": "constant",
    "training.learning_rate": 2e-3,
}
# The loss overflows if the learning rate is above a bound.
EXPLOSIVE = {
    "model.activation": "relu",
    "training.optimizer": "sgd",
    "training.clip_norm": None,
    "training.learning_rate": 0.5,
}


def trainer(folder: Path, **changes: Any) -> Trainer:
    values = SMALL | {"output.checkpoint": str(folder / "run.npz")}
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    config = load_config(None, {key: Override(value, "") for key, value in values.items()})
    folder.mkdir(exist_ok=True)
    return Trainer(config, Corpus.from_text(TEXT, val_fraction=0.1))


def resumed(folder: Path, **changes: Any) -> Trainer:
    stored = load(folder / "run.npz")
    values = {key.replace("__", "."): value for key, value in changes.items()}
    given = load_config(None, {key: Override(value, "") for key, value in values.items()})
    return Trainer(given, Corpus.from_text(TEXT, val_fraction=0.1), resume=stored)


def exploding(run: Trainer, step: int, factor: float) -> AbstractContextManager[Any]:
    """Make one step diverge while the factor of the learning rate is at least `factor`."""
    made = run._step

    def step_or_explode() -> Any:
        stepped = made()
        if stepped.step == step and run.progress.learning_rate_factor >= factor:
            raise DivergenceError(f"training diverged at step {step}: a test says so")
        return stepped

    return patch.object(run, "_step", step_or_explode)


def spoil_at(run: Trainer, step: int, factor: float) -> list[RolledBack]:
    """Run to the end while one step diverges; return the rollbacks."""
    with exploding(run, step, factor):
        return [event for event in run.run() if isinstance(event, RolledBack)]


def log(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    return [{k: v for k, v in x.items() if k not in ("seconds", "chars_per_second")} for x in lines]


# --- what counts ---------------------------------------------------------------------------------


def first_alarm(losses: list[float], batch_size: int = 32) -> int | None:
    progress = Progress(fingerprint="0" * 64)
    for step, loss in enumerate(losses):
        if diverged(progress, loss, UNIFORM, batch_size):
            return step
    return None


LEARNING = [UNIFORM * (0.4 + 0.6 * math.exp(-step / 100)) for step in range(600)]


@pytest.mark.parametrize(
    "losses",
    [
        LEARNING,
        [UNIFORM + 0.02] * 2000,  # a learning rate that is much too small
        [*LEARNING, 1000000000.0, *LEARNING[-300:]],  # one wild window
        ([*LEARNING[-99:], 30.0]) * 10,  # one in a hundred
        LEARNING + [2 * UNIFORM] * 100 + LEARNING[-300:],  # recovers by itself
        [40 - step / 20 for step in range(700)],  # a bad start that gets better
        [0.01] * 500 + [1.0] * 500,  # learned by heart, then slightly worse
        [step % 100 / 50 for step in range(3000)],
        [0.0] * 500,  # a text of one character
    ],
)
def test_there_are_no_false_alarms(losses: list[float]) -> None:
    assert first_alarm(losses) is None


@pytest.mark.parametrize(
    ("losses", "least"),
    [
        (LEARNING + [2 * UNIFORM] * 400, 800),
        (LEARNING + [1e30] * 400, 800),
        (LEARNING + [0.85 * UNIFORM] * 400, 800),  # no better than character frequencies
        ([UNIFORM] * 3 + [3 * UNIFORM] * 400, 200),
    ],
)
def test_a_loss_that_stays_high_is_an_alarm_after_some_hundred_steps(
    losses: list[float], least: int
) -> None:
    alarm = first_alarm(losses)
    assert alarm is not None
    assert least <= alarm < least + 100


def test_a_single_stream_may_come_to_a_harder_part_of_the_text() -> None:
    parts = [0.1] * 1000 + [0.8 * UNIFORM] * 3000
    assert first_alarm(parts, batch_size=1) is None
    assert first_alarm(parts) is not None


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam"])
def test_ordinary_runs_raise_no_suspicion(tmp_path: Path, optimizer: str) -> None:
    run = trainer(tmp_path, training__optimizer=optimizer, training__max_steps=400)
    assert not [event for event in run.run() if isinstance(event, RolledBack)]
    assert run.progress.rollbacks == 0
    assert not is_suspect(run.progress)
    assert run.progress.smoothed_loss is not None


def test_watching_changes_no_number(tmp_path: Path) -> None:
    ends = []
    for kind in ("rollback", "stop", "ignore"):
        run = trainer(tmp_path / kind, training__on_divergence=kind)
        list(run.run())
        ends.append(run.model.parameters.flat.tobytes())
    assert len(set(ends)) == 1


# --- what is done about it -----------------------------------------------------------------------


def test_a_run_goes_back_to_its_last_save_with_half_the_learning_rate(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    rollbacks = spoil_at(run, 33, factor=0.5)
    assert [(event.entry.step, event.entry.diverged_step) for event in rollbacks] == [(20, 33)] * 2
    assert run.progress.step == 60
    assert run.progress.rollbacks == 2
    assert run.learning_rate(40) == 0.25 * run.config.training.learning_rate
    lines = log(tmp_path)
    events = [line for line in lines if "rollback" in line]
    assert [event["rollback"] for event in events] == [1, 2]
    assert [event["learning_rate_factor"] for event in events] == [0.5, 0.25]
    assert events[0]["reason"] == "training diverged at step 33: a test says so"
    # The undone lines are gone, so each step appears once, in order.
    steps = [line["step"] for line in lines if "rollback" not in line]
    assert steps == list(range(5, 61, 5))
    assert [line["learning_rate"] for line in lines if line["step"] == 25] == [0.0005]


def test_a_rolled_back_run_stopped_and_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    spoil_at(trainer(tmp_path / "one"), 33, factor=0.5)
    for stop in (20, 21, 40):
        other = tmp_path / str(stop)
        run = trainer(other)
        undone = 0
        with exploding(run, 33, factor=0.5):
            for event in run.run():
                undone += isinstance(event, RolledBack)
                if undone == 2 and run.progress.step == stop:
                    break  # as if killed
        list(resumed(other).run())
        for name in ("run.npz", "run.best.npz"):
            with np.load(tmp_path / "one" / name) as one, np.load(other / name) as two:
                for member in set(one.files) - {"config", "checksum"}:
                    np.testing.assert_array_equal(one[member], two[member], err_msg=member)
        assert log(tmp_path / "one") == log(other)


def test_after_a_few_tries_it_stops_with_the_likely_cause(tmp_path: Path) -> None:
    run = trainer(tmp_path, **{key.replace(".", "__"): v for key, v in EXPLOSIVE.items()})
    with pytest.raises(DivergenceError) as caught:
        spoil_at(run, 33, factor=0)
    assert str(caught.value) == (
        "training diverged at step 33: a test says so, as 4 times before with higher learning "
        "rates; likely cause: the gradient is not clipped; set training.clip_norm "
        f"({tmp_path / 'run.npz'} is as it was last saved)"
    )
    stored = load(tmp_path / "run.npz").progress
    assert (stored.step, stored.rollbacks) == (20, MAX_ROLLBACKS)


@pytest.mark.parametrize("kind", ["stop", "ignore"])
def test_what_is_not_finite_stops_a_run_that_does_not_go_back(tmp_path: Path, kind: str) -> None:
    run = trainer(tmp_path, training__on_divergence=kind)
    with pytest.raises(DivergenceError, match=r"at step 33.*learning_rate, 0\.002, is too high"):
        spoil_at(run, 33, factor=0)
    assert load(tmp_path / "run.npz").progress.step == 20
    assert not [line for line in log(tmp_path) if "rollback" in line]


HOPELESS: dict[str, Any] = {
    "training__optimizer": "sgd",
    "training__learning_rate": 100.0,
    "training__max_steps": 260,
}


def test_a_loss_that_stays_high_is_rolled_back_stopped_or_ignored(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="far above uniform guessing"):
        list(trainer(tmp_path / "stop", **HOPELESS, training__on_divergence="stop").run())
    run = trainer(tmp_path / "ignore", **HOPELESS, training__on_divergence="ignore")
    assert not [event for event in run.run() if isinstance(event, RolledBack)]
    run = trainer(tmp_path / "rollback", **HOPELESS | {"training__learning_rate": 4.0})
    assert [event for event in run.run() if isinstance(event, RolledBack)]
    assert run.progress.step == 260


def test_nothing_is_saved_while_the_loss_is_suspect(tmp_path: Path) -> None:
    run = trainer(tmp_path, **HOPELESS, training__on_divergence="stop", output__keep_best=False)
    saved: list[Saved] = []
    with pytest.raises(DivergenceError):
        saved += (event for event in run.run() if isinstance(event, Saved))
    assert not saved
    assert load(tmp_path / "run.npz").progress.step == 0


def test_the_warm_up_is_not_judged(tmp_path: Path) -> None:
    run = trainer(tmp_path, **HOPELESS, training__warmup_steps=250)
    assert not [event for event in run.run() if isinstance(event, RolledBack)]


def test_a_stopped_run_can_be_told_to_go_on_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError):
        list(trainer(tmp_path, **HOPELESS, training__on_divergence="stop").run())
    run = resumed(tmp_path, training__on_divergence="ignore")
    list(run.run())
    assert run.progress.step == 260


def test_the_best_checkpoint_is_kept_when_a_run_goes_back(tmp_path: Path) -> None:
    run = trainer(tmp_path, training__save_every=1000)
    spoil_at(run, 33, factor=1)
    assert run.progress.best_val_loss == load(tmp_path / "run.best.npz").progress.best_val_loss
    losses = [line["val_loss"] for line in log(tmp_path) if line.get("val_loss") is not None]
    assert run.progress.best_val_loss <= min(losses)


# --- the log -------------------------------------------------------------------------------------


def test_ignoring_does_not_put_off_saves_for_ever(tmp_path: Path) -> None:
    """A run stops while its loss is too high, and goes on with `ignore`."""
    list(trainer(tmp_path).run(stop_after=10))
    checkpoint = load(tmp_path / "run.npz")
    checkpoint.progress.steps_above_best = 5
    checkpoint.save(tmp_path / "run.npz")
    run = resumed(tmp_path, training__on_divergence="ignore")
    saving = Saved(run.outputs.checkpoint)
    saved = [run.progress.step for event in run.run() if event == saving]
    assert saved == [20, 40, 60]


def test_going_on_keeps_as_many_rollbacks_as_the_checkpoint_knows(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first = MetricsLog(path)
    for number in (1, 2):
        first.append(Rollback(number, 0, 9, 1.0, 0.5**number, "why"))
    first.close()
    for known, kept in ((2, 2), (1, 1), (0, 0)):
        MetricsLog(path, 0, known).close()
        assert len(path.read_text().splitlines()) == kept
