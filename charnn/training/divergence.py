"""Divergence: how a run detects it while the loss is still finite, and how it goes back.

A run has diverged when its smoothed loss stays too high for too long. Smoothing limits each loss,
so one wild window counts no more than a moderately bad one. "Too high" means one of two things:

- above uniform guessing, log K nats;
- nearer to uniform guessing than to the best smoothed loss so far, once the model has learned
  something. This test needs several streams: one or two streams may simply reach a harder part
  of the text together.
"""

import math
from dataclasses import replace
from pathlib import Path

from charnn.checkpoint.progress import Progress
from charnn.config.keys import Config, TrainingConfig
from charnn.errors import DivergenceError

MAX_ROLLBACKS = 4  # A run that diverges at 1/16 of its learning rate has another problem.

_SMOOTHING = 0.98  # weight of the past
_PATIENCE = 200  # consecutive steps for which the loss must be too high
_MARGIN = 1.1  # An untrained model is slightly worse than uniform guessing.
_LEARNED = 0.75  # Below this share of log K, the model has learned something.
_STREAMS = 8  # Enough streams to cover all parts of the text at once.


def diverged(progress: Progress, loss: float, uniform: float, batch_size: int) -> str | None:
    """Record the loss of a step; if the run has diverged, return a description of the problem.

    Args:
        progress: the function updates its `smoothed_loss`, `lowest_loss`, `steps_above_uniform`
            and `steps_above_best`.
        loss: of the step, nats per character, finite.
        uniform: the loss of uniform guessing, log K.
        batch_size: B, the number of parallel streams.
    """
    before = loss if progress.smoothed_loss is None else progress.smoothed_loss
    smoothed = before + (1 - _SMOOTHING) * (min(loss, 2 * max(before, uniform)) - before)
    lowest = smoothed if progress.lowest_loss is None else min(smoothed, progress.lowest_loss)
    hopeless = smoothed > max(_MARGIN * uniform, lowest)
    lost = (
        batch_size >= _STREAMS and lowest < _LEARNED * uniform and smoothed > (lowest + uniform) / 2
    )
    progress.smoothed_loss, progress.lowest_loss = smoothed, lowest
    progress.steps_above_uniform = progress.steps_above_uniform + 1 if hopeless else 0
    progress.steps_above_best = progress.steps_above_best + 1 if lost else 0
    if progress.steps_above_uniform >= _PATIENCE:
        limit = f"uniform guessing, {uniform:.3f}"
    elif progress.steps_above_best >= _PATIENCE:
        limit = f"its best, {lowest:.3f}"
    else:
        return None
    return f"for {_PATIENCE} steps the loss has stayed high, now {smoothed:.3f}, far above {limit}"


def check_loss(progress: Progress, training: TrainingConfig, loss: float, K: int, B: int) -> None:
    """Record the loss of a run after the warm-up.

    Args:
        progress: where the run stands after the step; see `diverged`.
        training: its `warmup_steps` and `on_divergence`.
        loss: of the step, nats per character, finite.
        K: characters in the vocabulary.
        B: streams.

    Raises:
        DivergenceError: if the loss has been too high for too long.
    """
    if progress.step <= training.warmup_steps or training.on_divergence == "ignore":
        return
    problem = diverged(progress, loss, math.log(K), B)
    if problem:
        raise DivergenceError(f"training diverged at step {progress.step}: {problem}")


def is_suspect(progress: Progress) -> bool:
    """Return whether the loss is too high at present. Such a state must not be saved."""
    return progress.steps_above_uniform > 0 or progress.steps_above_best > 0


def after_rollback(saved: Progress, lost: Progress) -> Progress:
    """Return the progress of a run that returns to its last checkpoint.

    Args:
        saved: the progress in the checkpoint.
        lost: the progress of the run that diverged. Its best checkpoint stays the best one.
    """
    return replace(
        saved,
        rollbacks=lost.rollbacks + 1,
        steps_above_uniform=0,
        steps_above_best=0,
        best_val_loss=lost.best_val_loss,
        best_step=lost.best_step,
    )


def final_error(
    error: DivergenceError, config: Config, rollbacks: int, checkpoint: Path
) -> DivergenceError:
    """Return the error that ends a run: the problem, the likely cause, and the saved files."""
    again = f", as {rollbacks} times before with higher learning rates" if rollbacks else ""
    return DivergenceError(
        f"{error}{again}; likely cause: {_likely_cause(config)} "
        f"({checkpoint} is as it was last saved)"
    )


def _likely_cause(config: Config) -> str:
    training = config.training
    if training.clip_norm is None and training.clip_value is None:
        return "the gradient is not clipped; set training.clip_norm"
    if config.model.activation == "relu":
        return "relu has no bound; lower training.learning_rate, or set model.activation=tanh"
    return f"training.learning_rate, {training.learning_rate:g}, is too high; lower it"
