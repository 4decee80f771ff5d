"""Advice: problems of a run with the config key that helps, or a better checkpoint."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from charnn.training.metrics import Metrics
from charnn.training.outputs import Outputs

if TYPE_CHECKING:
    from charnn.checkpoint.checkpoint import Checkpoint

# Overfitting means: so many validations are worse than the best, with a lower training loss.
_PATIENCE = 3
_CLIPPING_STEPS = 1000  # steps before clipping is worth a warning
# A run that learns is below the unigram entropy after so many steps and characters.
_STALL_STEPS = 300
_STALL_CHARACTERS = 100_000
_CLEARLY = 0.02  # nats per character between two checkpoints, for a note about the better one


def better_checkpoint(path: Path, checkpoint: "Checkpoint") -> list[str]:
    """Return a note if a clearly better checkpoint of the same run lies beside the given one."""
    progress, best = checkpoint.progress, Outputs.of(path).best
    last, lowest = progress.val_loss, progress.best_val_loss
    if last is None or lowest is None or last < lowest + _CLEARLY or path == best:
        return []
    if not best.exists():
        return []
    return [
        f"note: {best} predicts better: validation {lowest:.4f} at step {progress.best_step:,}, "
        f"{last:.4f} here"
    ]


class Advisor:
    """Reads each line of the metrics log and gives each kind of advice at most once."""

    def __init__(self, unigram_nats: float):
        """Take the unigram entropy of the training text, in nats per character, as a first goal."""
        self._unigram = unigram_nats
        self._given: set[str] = set()
        self._best_val = math.inf
        self._train_at_best = math.inf
        self._best_step = 0
        self._worse = 0
        self._first_step: int | None = None
        self._last_step = 0
        self._clipped = 0.0

    def notice(self, metrics: Metrics) -> list[str]:
        """Return the new advice after a line of the log."""
        found = {
            "overfitting": self._overfitting(metrics),
            "clipping": self._clipping(metrics),
            "stalled": self._stalled(metrics),
        }
        new = {kind: text for kind, text in found.items() if text and kind not in self._given}
        self._given |= new.keys()
        return list(new.values())

    def _overfitting(self, metrics: Metrics) -> str | None:
        if metrics.val_loss is None:
            return None
        if metrics.val_loss < self._best_val:
            self._best_val, self._train_at_best = metrics.val_loss, metrics.train_loss
            self._best_step, self._worse = metrics.step, 0
            return None
        self._worse += metrics.train_loss < self._train_at_best
        if self._worse < _PATIENCE:
            return None
        return (
            f"overfitting: validation is at {metrics.val_loss:.4f}, its best was "
            f"{self._best_val:.4f} at step {self._best_step:,}, and the training loss still falls; "
            "you can stop now, the best checkpoint is kept; next time use more text, fewer steps, "
            "training.patience or a smaller model.hidden_size"
        )

    def _clipping(self, metrics: Metrics) -> str | None:
        if self._first_step is None:
            self._first_step = self._last_step = metrics.step
            return None
        self._clipped += metrics.clipped * (metrics.step - self._last_step)
        self._last_step = metrics.step
        steps = metrics.step - self._first_step
        if steps < _CLIPPING_STEPS or self._clipped < 0.5 * steps:
            return None
        return (
            f"the gradient was clipped on {self._clipped / steps:.0%} of the last {steps:,} steps; "
            "lower training.learning_rate, or raise training.clip_norm or training.clip_value"
        )

    def _stalled(self, metrics: Metrics) -> str | None:
        hopeless = self._unigram - 0.05  # an entropy below 0.05 leaves almost nothing to learn
        early = metrics.step < _STALL_STEPS or metrics.characters < _STALL_CHARACTERS
        if early or metrics.train_loss < hopeless or hopeless < 0.05:
            return None
        return (
            f"after {metrics.step:,} steps the training loss, {metrics.train_loss:.3f}, is no "
            f"better than guessing from character frequencies, {self._unigram:.3f}; "
            "try training.learning_rate three times lower, then higher, and model.activation tanh"
        )
