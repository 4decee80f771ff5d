"""The files of a run: when they are written and what they hold."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.evaluation import evaluate
from charnn.training.events import Measured, Saved, Stepped
from charnn.training.metrics import MetricsLog
from charnn.training.trainer import Trainer
from tests.helpers.runs import log_lines, make_config, make_corpus, train


def test_averaged_parameters_are_saved_as_the_model_and_the_others_beside_them(
    tmp_path: Path,
) -> None:
    config = make_config(tmp_path, training__eval_every=100)
    trainer = Trainer(config, make_corpus(config))
    thetas = []
    for event in trainer.run(stop_after=6):
        if isinstance(event, Stepped):
            thetas.append(trainer.model.parameters.flat.copy())
    weights = 0.9 ** np.arange(6)[::-1]
    mean = weights @ np.array(thetas, np.float64) / weights.sum()
    saved = load(tmp_path / "run.npz")
    np.testing.assert_allclose(saved.model.parameters.flat, mean, atol=1e-6)
    np.testing.assert_array_equal(saved.slots["theta"], thetas[-1])
    assert np.abs(mean - thetas[-1]).max() > 1e-3


def test_the_averaged_model_is_the_one_that_is_validated(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    trainer = Trainer(config, make_corpus(config))
    *_, measured = (event for event in trainer.run() if isinstance(event, Measured))
    best = load(tmp_path / "run.npz")
    exact = evaluate(best.model, trainer.corpus.split("val")).nats_per_char
    assert measured.metrics.val_loss == exact


def test_the_log_has_its_lines_and_the_last_step_is_evaluated(uninterrupted: Path) -> None:
    lines = log_lines(uninterrupted / "run.jsonl")
    steps = sorted(set(range(4, 61, 4)) | set(range(7, 61, 7)))
    assert [line["step"] for line in lines] == steps
    evaluated = [line["step"] for line in lines if line["val_loss"] is not None]
    assert evaluated == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert lines[-1]["epoch"] == pytest.approx(60 / 34, abs=1e-4)
    # 33 windows of 20 and one of 14 make an epoch of 674 characters in each of 4 streams.
    assert lines[-1]["characters"] == 4 * (674 + 26 * 20)
    assert all(0 <= line["clipped"] <= 1 for line in lines)


def test_a_line_s_train_loss_is_the_mean_since_the_line_before(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    losses: list[float] = []
    for event in Trainer(config, make_corpus(config)).run(stop_after=33):
        if isinstance(event, Stepped):
            losses.append(event.loss)
        elif isinstance(event, Measured):
            assert event.metrics.train_loss == pytest.approx(np.mean(losses))
            losses.clear()


def test_the_final_validation_is_exact_and_the_best_checkpoint_is_the_best(
    uninterrupted: Path,
) -> None:
    lines = log_lines(uninterrupted / "run.jsonl")
    losses = {line["step"]: line["val_loss"] for line in lines if line["val_loss"] is not None}
    last, best = load(uninterrupted / "run.npz"), load(uninterrupted / "run.best.npz")
    val = make_corpus(last.config).split("val")
    assert losses[60] == evaluate(last.model, val).nats_per_char
    assert best.progress.best_step == min(losses, key=losses.__getitem__)
    assert best.progress.step == best.progress.best_step
    assert evaluate(best.model, val).nats_per_char == pytest.approx(min(losses.values()), abs=1e-4)


def test_the_log_is_on_the_disk_before_the_checkpoint_that_knows_it(
    tmp_path: Path, noting: Callable[..., list[str]]
) -> None:
    done = noting((MetricsLog, "sync"), (Checkpoint, "save"))
    train(tmp_path, output__keep_best=False, training__max_steps=20)
    assert done == ["save", *["sync", "save"] * 3]


def test_without_validation_no_best_is_kept(tmp_path: Path) -> None:
    trainer = train(tmp_path, data__val_fraction=0)
    assert not trainer.outputs.best.exists()
    assert log_lines(trainer.outputs.log)[-1]["val_loss"] is None


def test_saves_come_at_their_steps_and_at_the_end(tmp_path: Path) -> None:
    config = make_config(tmp_path, output__keep_best=False)
    trainer = Trainer(config, make_corpus(config))
    saves = [trainer.progress.step for event in trainer.run() if isinstance(event, Saved)]
    assert saves == [9, 18, 27, 36, 45, 54, 60]


def test_a_checkpoint_is_of_one_moment(tmp_path: Path) -> None:
    """A loaded checkpoint has the trainer's progress, config and vocabulary."""
    trainer = train(tmp_path, training__max_steps=8)
    stored: Checkpoint = load(tmp_path / "run.npz")
    assert stored.progress == trainer.progress
    assert stored.config == trainer.config
    assert stored.vocabulary == trainer.corpus.vocabulary
