"""Each piece of advice appears once, when its condition holds, and never in a healthy run."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import charnn
from charnn.commands.advice import Advisor
from charnn.training.metrics import Metrics
from tests.helpers.in_process import run_here


def line(step: int, train: float = 1.5, val: float | None = None, clipped: float = 0.0) -> Metrics:
    return Metrics(step, 0.0, 2048 * step, 0.0, train, val, 0.001, 1.0, clipped, 1.0)


def advice(lines: Iterable[Metrics], unigram: float = 3.3) -> list[str]:
    advisor = Advisor(unigram)
    return [text for metrics in lines for text in advisor.notice(metrics)]


def test_a_healthy_run_hears_nothing() -> None:
    lines = [line(100 * n, 3 / n**0.2, 3.1 / n**0.2, clipped=0.3) for n in range(1, 60)]
    assert advice(lines) == []


def test_validation_that_rises_while_training_falls_is_overfitting() -> None:
    losses = [(2.0, 2.1), (1.8, 2.0), (1.7, 2.05), (1.6, 2.1), (1.5, 2.15), (1.4, 2.2)]
    said = advice(line(100 * n, *pair) for n, pair in enumerate(losses, start=1))
    assert len(said) == 1
    assert "at 2.1500, its best was 2.0000 at step 200" in said[0]
    assert "the best checkpoint is kept" in said[0]
    assert "model.hidden_size" in said[0]


def test_validation_that_rises_with_training_is_not_overfitting() -> None:
    losses = [(1.8, 2.0), (1.9, 2.05), (1.95, 2.1), (2.0, 2.2), (2.1, 2.3)]
    assert advice(line(100 * n, *pair) for n, pair in enumerate(losses, start=1)) == []


@pytest.mark.parametrize(("share", "count"), [(0.9, 1), (0.4, 0)])
def test_clipping_is_mentioned_when_most_steps_are_clipped(share: float, count: int) -> None:
    said = advice(line(100 * n, clipped=share) for n in range(1, 30))
    assert len(said) == count
    assert all("clipped on 90% of the last 1,000 steps" in text for text in said)


def test_a_loss_at_the_unigram_level_is_stalled() -> None:
    said = advice(line(100 * n, 3.29) for n in range(1, 30))
    assert len(said) == 1
    assert said[0].startswith("after 300 steps the training loss, 3.290, is no better")


@pytest.mark.parametrize(
    ("val_loss", "best", "noted"), [(2.0, 1.5, True), (1.51, 1.5, False), (None, None, False)]
)
def test_sample_and_eval_point_at_a_better_checkpoint(
    trained: Path, tmp_path: Path, val_loss: float | None, best: float | None, noted: bool
) -> None:
    checkpoint = charnn.load(trained / "run.npz")
    progress = replace(checkpoint.progress, val_loss=val_loss, best_val_loss=best, best_step=7)
    replace(checkpoint, progress=progress).save(tmp_path / "a.npz")
    note = "note: a.best.npz predicts better: validation 1.5000 at step 7, 2.0000 here"
    commands = (
        ["sample", "--n", "5", "--seed", "1"],
        ["eval", "--data", str(trained / "text.txt")],
    )
    for command in commands:
        said = run_here(*command, "--ckpt", "a.npz", cwd=tmp_path).stderr
        assert "predicts better" not in said
    shutil.copy(trained / "run.best.npz", tmp_path / "a.best.npz")
    for command in commands:
        said = run_here(*command, "--ckpt", "a.npz", cwd=tmp_path).stderr
        assert (note in said) == ("predicts better" in said) == noted
        said = run_here(*command, "--ckpt", "a.best.npz", cwd=tmp_path).stderr
        assert "predicts better" not in said
