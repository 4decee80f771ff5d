"""The figures in a line of the log: counts since the previous line, time and speed."""

import time
from dataclasses import dataclass, field

from charnn.checkpoint.progress import Progress
from charnn.text.streams import Streams
from charnn.training.metrics import Metrics


@dataclass
class Clock:
    """Time and speed of a run. Checkpoints do not contain them, so equal runs give equal files.

    Attributes:
        began: the start of the run, on the scale of `time.perf_counter`, without pauses between
            invocations.
        characters: trained on since the last line of the log.
        seconds: time in steps since the last line of the log, without validations.
    """

    began: float = field(default_factory=time.perf_counter)
    characters: int = 0
    seconds: float = 0.0

    def elapsed(self) -> float:
        """Return the seconds since the run began, to three decimals."""
        return round(time.perf_counter() - self.began, 3)

    def restart(self) -> None:
        """Start to measure the speed."""
        self.characters, self.seconds = 0, 0.0


def next_line(
    progress: Progress,
    clock: Clock,
    streams: Streams,
    val_loss: float | None,
    learning_rate: float,
) -> Metrics:
    """Return the next line of the log, and restart the counts.

    Args:
        progress: where the run stands; the function resets its counts since the last line.
        clock: the function restarts it.
        streams: the training text.
        val_loss: nats per character, if the step was validated.
        learning_rate: η of the last step.
    """
    steps = progress.step - progress.logged_step
    metrics = Metrics(
        step=progress.step,
        epoch=round(progress.step / streams.steps_per_epoch, 4),
        characters=streams.characters(progress.step),
        seconds=clock.elapsed(),
        train_loss=progress.nats / progress.characters,
        val_loss=val_loss,
        learning_rate=learning_rate,
        grad_norm=progress.grad_norm,
        clipped=progress.clipped_steps / steps,
        chars_per_second=round(clock.characters / clock.seconds) if clock.seconds else 0,
    )
    progress.logged_step = progress.step
    progress.nats, progress.characters, progress.clipped_steps = 0.0, 0, 0
    clock.restart()
    return metrics


def record_validation(progress: Progress, val_loss: float) -> bool:
    """Record a validation loss, nats per character, in the progress; return whether it is best."""
    best = progress.best_val_loss
    improved = best is None or val_loss < best
    progress.val_loss = val_loss
    progress.evals_since_best = 0 if improved else progress.evals_since_best + 1
    if improved:
        progress.best_val_loss, progress.best_step = val_loss, progress.step
    return improved
