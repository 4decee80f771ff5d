"""Events of a training run on stderr: a live display on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from charnn.training import Ended, Evaluating, Event, Measured, Stepped, Trainer

_SMOOTHING = 0.98  # weight of the past in the training loss shown; char-rnn shows one, too


def say(message: str) -> None:
    """Print one line to stderr; if nobody reads it any more, the work goes on."""
    with contextlib.suppress(BrokenPipeError):
        print(message, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Show a time as 42s, 3m10s or 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def escaped(text: str) -> str:
    """Make a text safe to show: control characters become escapes, line ends stay."""
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def headline(trainer: Trainer) -> str:
    """Say in one line what is about to be trained."""
    config, streams = trainer.config, trainer.streams
    layers, H = config.model.num_layers, config.model.hidden_size
    return (
        f"{len(trainer.corpus.ids):,} characters, {len(trainer.corpus.vocabulary)} different; "
        f"{layers} {'layer' if layers == 1 else 'layers'} of {H} {config.model.activation} units, "
        f"{trainer.model.parameters.flat.size:,} parameters; "
        f"{streams.batch_size} × {streams.seq_length} characters a step, "
        f"{trainer.total_steps:,} steps; seed {config.training.seed}"
    )


def summary(trainer: Trainer) -> str:
    """Say in one line what the run has reached and where it lies."""
    progress, outputs = trainer.progress, trainer.outputs
    best = ""
    if progress.best_val_loss is not None:
        kept = f": {outputs.best}" if trainer.config.output.keep_best else ""
        best = f"; best validation {progress.best_val_loss:.4f} at step {progress.best_step}{kept}"
    return f"{outputs.checkpoint} (step {progress.step:,}{best}; log: {outputs.log})"


class Reporter:
    """Shows nothing: `--quiet`, and the base of the others. Use it as a context manager."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        self._began = time.perf_counter()
        self._first_step = trainer.progress.step

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def show(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Leave the terminal as it was."""

    def time_left(self) -> str:
        """Estimate when the plan ends, from the steps of this invocation."""
        done = self.trainer.progress.step - self._first_step
        if not done:
            return "?"
        elapsed = time.perf_counter() - self._began
        return duration(elapsed / done * (self.trainer.total_steps - self.trainer.progress.step))

    def line(self, event: Measured) -> str:
        """Describe a line of the log."""
        metrics, progress = event.metrics, self.trainer.progress
        parts = [
            f"step {metrics.step:,}/{self.trainer.total_steps:,}",
            f"epoch {metrics.epoch:.2f}",
            f"train {metrics.train_loss:.4f}",
        ]
        if metrics.val_loss is not None:
            parts += [
                f"val {metrics.val_loss:.4f} ({metrics.val_loss / 0.6931471805599453:.3f} bits)",
                f"best {progress.best_val_loss:.4f}",
            ]
        parts += [
            f"|g| {metrics.grad_norm:.2f}",
            f"clipped {metrics.clipped:.0%}",
            f"{metrics.chars_per_second:,} chars/s",
            f"left {self.time_left()}",
        ]
        return "  ".join(parts)

    def is_evaluation(self, event: Event) -> bool:
        """Whether the event is worth a line of its own: an evaluation, or the run's last line."""
        return isinstance(event, Measured) and (
            event.metrics.val_loss is not None or event.metrics.step >= self.trainer.total_steps
        )


class PlainReporter(Reporter):
    """One flushed line for each evaluation, for pipes and log files."""

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Measured) and self.is_evaluation(event):
            say(self.line(event))


class LiveReporter(Reporter):
    """A progress bar with the figures of the moment, and a line with a sample at evaluations."""

    def __init__(self, trainer: Trainer, preview: Callable[[], str]):
        super().__init__(trainer)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._preview = preview
        self._loss: float | None = None
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._training = self._bar.add_task(
            "train", total=trainer.total_steps, completed=trainer.progress.step, figures=""
        )
        self._evaluating = self._bar.add_task("evaluate", visible=False, figures="")
        self._bar.start()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Stepped):
            self._loss = (
                event.loss
                if self._loss is None
                else _SMOOTHING * self._loss + (1 - _SMOOTHING) * event.loss
            )
            self._bar.update(self._training, completed=event.step, figures=self._figures(event))
        elif isinstance(event, Evaluating):
            self._bar.update(
                self._evaluating, visible=True, completed=event.done, total=event.total
            )
        elif isinstance(event, Measured):
            self._bar.update(self._evaluating, visible=False)
            if self.is_evaluation(event):
                from rich.text import Text

                self._console.print(Text(self.line(event), style="bold" if event.improved else ""))
                self._console.print(Text(escaped(self._preview()), style="dim"))
        elif isinstance(event, Ended):
            self.close()

    def _figures(self, event: Stepped) -> str:
        val = self.trainer.progress.val_loss
        shown = [f"loss {self._loss:.3f}"]
        if val is not None:
            shown.append(f"val {val:.3f}")
        shown.append(f"|g| {event.grad_norm:.2f}")
        return " ".join(shown)
