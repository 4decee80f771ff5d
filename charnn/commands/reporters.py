"""The displays of a training run on stderr: a live one on a terminal, lines elsewhere, or none."""

import contextlib
import math
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from charnn.baselines import unigram_entropy
from charnn.commands.advice import Advisor
from charnn.commands.console import REDRAW_EVERY, console, say, suspendable
from charnn.commands.figures import bits, duration
from charnn.showing import escaped
from charnn.training.events import Evaluating, Event, Measured, RolledBack, Stepped
from charnn.training.trainer import Trainer

if TYPE_CHECKING:
    from rich.console import Console, Group

_FIRST_WORD_AFTER = 10.0  # seconds of a validation before its first line in a log file
_WORD_EVERY = 60.0  # seconds between further lines
_NARROW = 60  # columns; a narrower terminal has no space for words beside the bars
_SMOOTHING = 0.98  # weight of the past in the displayed training loss, as in char-rnn


class Reporter:
    """Shows nothing: the display of `--quiet`, and the base of the other two.

    A reporter is a context manager. Inside it, `show` takes every event of `Trainer.run`.
    """

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        self._unigram_nats = unigram_entropy(trainer.streams.ids, len(trainer.corpus.vocabulary))
        self._restart()

    def _restart(self) -> None:
        """Measure the speed and watch for problems from the present step on."""
        self._began = time.perf_counter()
        self._validation_began: float | None = None
        self._first_step = self.trainer.progress.step
        self._advisor = Advisor(self._unigram_nats)

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
        """Restore the terminal."""

    def speed(self) -> float:
        """Return the characters per second of this invocation, including time in validations."""
        streams, step = self.trainer.streams, self.trainer.progress.step
        characters = streams.characters(step) - streams.characters(self._first_step)
        return characters / (time.perf_counter() - self._began)

    def time_left(self) -> str:
        """Estimate the time until the last step from the steps of this invocation."""
        done = self.trainer.progress.step - self._first_step
        if not done:
            return "?"
        elapsed = time.perf_counter() - self._began
        return duration(elapsed / done * (self.trainer.total_steps - self.trainer.progress.step))

    def validation_left(self, event: Evaluating) -> str:
        """Estimate the time until this validation ends. Its measurement sets the clock to 0."""
        now = time.perf_counter()
        if self._validation_began is None:
            self._validation_began = now
            return ""
        return duration((now - self._validation_began) * (event.total / max(1, event.done) - 1))

    def line(self, event: Measured) -> str:
        """Return one line of text for a line of the metrics log."""
        metrics, progress = event.metrics, self.trainer.progress
        parts = [
            f"step {metrics.step:,}/{self.trainer.total_steps:,}",
            f"epoch {metrics.epoch:.2f}",
            f"train {metrics.train_loss:.4f}",
        ]
        if metrics.val_loss is not None:
            parts += [
                f"val {metrics.val_loss:.4f} ({bits(metrics.val_loss):.3f} bits)",
                f"best {progress.best_val_loss:.4f}",
            ]
        parts += [
            f"|g| {metrics.grad_norm:.2f}",
            f"clipped {metrics.clipped:.0%}",
            f"{metrics.chars_per_second:,} chars/s",
            f"left {self.time_left()}",
        ]
        return "  ".join(parts)

    def rollback_warning(self, event: RolledBack) -> str:
        """Return the warning for a rollback, and measure the speed anew."""
        self._restart()
        entry = event.entry
        return (
            f"warning: {entry.reason}; continuing from step {entry.step:,}, "
            f"the learning rate times {entry.learning_rate_factor:g}"
        )

    def is_validation(self, event: Event) -> bool:
        """Whether the event is the measurement of a validation, which every display shows."""
        return isinstance(event, Measured) and self.trainer.validation_is_due()


class PlainReporter(Reporter):
    """Prints one flushed line for each evaluation, for pipes and log files.

    During a long validation it prints a line a minute.
    """

    _silent_until = math.inf  # the time of the next line about the present validation

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Evaluating):
            self._show_validation(event)
        elif isinstance(event, Measured):
            self._validation_began = None
            if self.is_validation(event):
                say(self.line(event))
            for advice in self._advisor.notice(event.metrics):
                say(f"warning: {advice}")
        elif isinstance(event, RolledBack):
            say(self.rollback_warning(event))

    def _show_validation(self, event: Evaluating) -> None:
        now = time.perf_counter()
        if self._validation_began is None:
            self._silent_until = now + _FIRST_WORD_AFTER
        left = self.validation_left(event)
        if now > self._silent_until:
            self._silent_until = now + _WORD_EVERY
            say(f"validating: {event.done / event.total:.0%}  left {left}")


class LiveReporter(Reporter):
    """Shows a bar and the present figures, and prints a line and a sample at each evaluation."""

    def __init__(
        self, trainer: Trainer, preview: Callable[[], str], shown_on: "Console | None" = None
    ):
        super().__init__(trainer)
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column
        from rich.text import Text

        self._preview = preview
        self._loss: float | None = None
        self._drawn = 0.0
        self._console = shown_on or console(sys.stderr)
        self._width = self._console.width
        validation = len(trainer.corpus.split("val"))
        widest = max(trainer.total_steps, validation)
        counts = Column(min_width=2 * len(f"{widest:,}") + 1, justify="right")
        self._bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,}/{task.total:,}", table_column=counts),
            TextColumn("{task.fields[left]}"),
            expand=True,
        )
        self._training = self._bars.add_task(
            "train", total=trainer.total_steps, completed=trainer.progress.step, left=""
        )
        self._evaluating = self._bars.add_task(
            "evaluate", total=max(1, validation - 1), visible=validation > 0, left=""
        )
        self._figures = Text(style="dim")
        self._stack = contextlib.ExitStack()
        # Only `show` redraws. In a thread of rich, the error of a lost terminal would be uncaught.
        self._live = Live(
            get_renderable=self.display,
            console=self._console,
            transient=True,
            auto_refresh=False,
        )

    def __enter__(self) -> Self:
        self._stack.enter_context(suspendable(self._console))
        self._live.start()
        return self

    def display(self) -> "Group":
        """Return the bars and the figures."""
        from rich.console import Group

        return Group(self._bars, self._figures)

    def close(self) -> None:
        """Restore the terminal."""
        with self._stack, contextlib.suppress(OSError):
            self._live.stop()

    def show(self, event: Event) -> None:
        """Show one event. The work continues if the terminal is closed."""
        with contextlib.suppress(OSError):
            self._show(event)
            now = time.perf_counter()
            if now - self._drawn > REDRAW_EVERY:
                self._drawn = now
                self._erase_what_wraps()
                self._live.refresh()

    def _erase_what_wraps(self) -> None:
        """Erase the lines that a terminal added to the bars because it became narrower.

        A redraw erases as many lines as it drew. The window wraps them into more.
        """
        before, width = self._width, self._console.width
        self._width = width
        if width >= before or not self._console.is_terminal:
            return
        bars = sum(task.visible for task in self._bars.tasks)
        lengths = [before] * bars + [len(line) for line in self._figures.plain.split("\n")]
        added = sum(-(-length // width) - -(-length // before) for length in lengths if length)
        if added > 0:
            from rich.control import Control
            from rich.segment import ControlType

            up = (ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)
            self._console.control(Control((ControlType.ERASE_IN_LINE, 2), *added * up))

    def _show(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._show_step(event)
        elif isinstance(event, Evaluating):
            step, left = self.trainer.progress.step, self.validation_left(event)
            self._bars.update(self._training, completed=step, left=self._left(self.time_left()))
            left = self._left(left) if left else ""
            self._bars.update(self._evaluating, completed=event.done, total=event.total, left=left)
        elif isinstance(event, Measured):
            self._validation_began = None
            self._bars.update(self._evaluating, completed=0, left="")
            if self.is_validation(event):
                self._show_evaluation(event)
            for advice in self._advisor.notice(event.metrics):
                self._print(f"warning: {advice}", "yellow")
        elif isinstance(event, RolledBack):
            self._print(self.rollback_warning(event), "yellow")

    def _left(self, time: str) -> str:
        return f"{time} left" if self._console.width >= _NARROW else time

    def _print(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self._console.print(Text(text, style=style))

    def _show_evaluation(self, event: Measured) -> None:
        from rich.text import Text

        metrics = event.metrics
        summary = f"step {metrics.step:,}  train {metrics.train_loss:.4f}"
        if metrics.val_loss is not None:
            summary += f"  val {metrics.val_loss:.4f} ({bits(metrics.val_loss):.3f} bits)"
        self._print(summary + ("  best so far" if event.improved else ""))
        width = max(20, self._console.width - 4)
        for paragraph in escaped(self._preview()).split("\n"):
            for line in Text(paragraph).wrap(self._console, width) or [Text()]:
                self._print(f"  │ {line.plain}", "dim")

    def _show_step(self, event: Stepped) -> None:
        past = event.loss if self._loss is None else self._loss
        self._loss = _SMOOTHING * past + (1 - _SMOOTHING) * event.loss
        if time.perf_counter() - self._drawn < REDRAW_EVERY:
            return
        trainer, progress = self.trainer, self.trainer.progress
        losses = [
            f"epoch {progress.step / trainer.streams.steps_per_epoch:.2f}",
            f"train {self._loss:.3f} ({bits(self._loss):.2f} bits)",
        ]
        if progress.val_loss is not None and progress.best_val_loss is not None:
            losses += [f"val {progress.val_loss:.3f}", f"best {progress.best_val_loss:.3f}"]
        clipped = progress.clipped_steps / max(1, progress.step - progress.logged_step)
        others = [f"|g| {event.grad_norm:.2f}", f"clipped {clipped:.0%}"]
        others.append(f"{self.speed():,.0f} chars/s")
        self._figures.plain = "  ".join(losses) + "\n" + "  ".join(others)
        self._bars.update(self._training, completed=event.step, left=self._left(self.time_left()))
