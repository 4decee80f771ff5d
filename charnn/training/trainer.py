"""The training loop: truncated backpropagation through time over the streams of a text.

A step depends on nothing but the config, the text, the step's number and the contents of a
checkpoint. So a run that was stopped anywhere and resumed ends with the same bits as an
uninterrupted run. The exception is a run that diverges: it returns to its last checkpoint, and
stopping writes one.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.checkpoint.progress import Progress
from charnn.config.keys import Config
from charnn.errors import DivergenceError
from charnn.machine import blas_threads
from charnn.network.network import Network
from charnn.optimizers import clip, learning_rate_at
from charnn.ranks import ALONE, Ranks
from charnn.showing import Shown
from charnn.text.corpus import Corpus
from charnn.training.divergence import (
    MAX_ROLLBACKS,
    after_rollback,
    check_loss,
    final_error,
    is_suspect,
)
from charnn.training.events import Ended, Event, Measured, Reason, RolledBack, Saved, Stepped
from charnn.training.measuring import Clock, next_line, record_validation
from charnn.training.metrics import Rollback
from charnn.training.outputs import Outputs
from charnn.training.preparation import available_cores, prepare
from charnn.training.saving import RunFiles
from charnn.training.state import RunState, new_network
from charnn.training.stopping import INTERRUPTED, Limits
from charnn.training.validation import validating
from charnn.training.workers import Workers


class Trainer(Shown):
    """One run: a model, its optimizer and its place in the text.

    Attributes:
        config: the config with its seed filled in, and without the time limit.
        time_limit: seconds of this invocation, or None.
        corpus: the text.
        streams: the training text, cut into as many streams as it can fill.
        total_steps: steps of the whole run, over all invocations.
        outputs: the paths of the files it writes.
        choices: the values that this run chose for keys that were not given.
        warnings: messages that the user should see before training starts.
        ranks: the processes that share the run.
    """

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        *,
        resume: Checkpoint | None = None,
        init: Checkpoint | None = None,
        ranks: Ranks = ALONE,
    ):
        """Prepare a run; no file is written yet.

        Args:
            config: of the run.
            corpus: the text, divided into documents if the config says so. If it has no splits yet,
                the config makes them. Otherwise the config takes over its fractions.
            resume: the checkpoint to continue from, or None for a new run. Keys that `config` does
                not give have the checkpoint's values.
            init: a checkpoint whose model a new run starts from, or None to draw the parameters.
                New characters of the text get drawn parameters.
            ranks: the processes that share the run. All make the same steps, each with its share
                of the batch. Rank 0 writes the files.

        Raises:
            CharnnError: if the buffers do not fit in memory, or the checkpoint cannot be resumed
                with this text.
            ConfigError: if the corpus and the config divide the text differently, or given keys
                contradict `resume` or `init`.
            CorpusError: if the text is too short for its parts.
            RequestError: if there are more ranks than streams, or a resumed run has made more
                steps than the config asks for.
        """
        self.time_limit = config.training.time_limit
        preparation = prepare(config, corpus, resume, init, ranks)
        self.config, self.warnings = preparation.config, preparation.warnings
        self.choices = preparation.choices
        self.streams, self.total_steps = preparation.streams, preparation.total_steps
        self.corpus, self.ranks = preparation.corpus, ranks
        self.outputs = Outputs(Path(self.config.output.checkpoint))
        self._files = RunFiles(self.outputs, ranks)
        self._is_new = resume is None

        model = new_network(self.config, len(corpus.vocabulary))
        self._threads = preparation.step.threads
        self._workers = Workers(model, preparation.step, ranks)  # moves the parameters
        self._state = RunState(self.config, self.corpus, model, self._workers.state)
        if resume:
            self._state.restore(resume)
        else:
            self._state.initialize(init)

        self._clock = Clock()
        self._notice: Callable[[], int] = lambda: 0  # see charnn.training.stopping
        self._noticed = 0  # the highest notice of all ranks in the last step or validation

    @property
    def model(self) -> Network:
        """The network being trained."""
        return self._state.model

    @property
    def averaged(self) -> Network:
        """The network that is validated and saved: `model`, or a running mean of it."""
        return self._state.averaged

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self._state.progress

    def __str__(self) -> str:
        B, T = self.streams.batch_size, self.streams.seq_length
        plan = f"plan {self.total_steps:,} steps of {B} × {T} characters"
        return f"{self.progress}; {plan}" + self._lines("model", "corpus", "outputs")

    # --- the loop --------------------------------------------------------------------------------

    def run(
        self,
        *,
        stop_after: int | None = None,
        overwrite: bool = False,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Train until the run or this invocation ends; the last event is `Ended`.

        Args:
            stop_after: end this invocation after so many steps. The learning-rate schedule does
                not depend on it.
            overwrite: whether a new run may replace existing files.
            interrupted: called after every step and during validations; if it returns True, the
                trainer saves the run and ends.

        Raises:
            CharnnError: if a file cannot be written, or another run is writing it.
            DivergenceError: if the run diverges and may not go back (`training.on_divergence`),
                or has gone back too often. The diverged state is not saved.
            RequestError: if files exist that a new run must not replace.
        """
        limits = Limits(stop_after, self.time_limit, interrupted)
        self._notice, self._noticed = limits.notice, 0
        first, training, B = self.progress.step, self.config.training, self.streams.batch_size
        with self._open(overwrite):
            while True:
                try:
                    if self._measurement_is_due():
                        yield from self._measure()
                    # A single process needs no exchange and checks once more.
                    notice = self._noticed if self.ranks.size > 1 else limits.notice()
                    ending = self.finished or limits.reason(notice, self.progress.step - first)
                    if self._save_is_due(ending):
                        self._files.save(self._gather())
                        yield Saved(self.outputs.checkpoint)
                    if ending:
                        yield Ended(ending)
                        return
                    stepped = self._step()
                    check_loss(self.progress, training, stepped.loss, self.model.vocab_size, B)
                    yield stepped
                except DivergenceError as error:
                    yield self._roll_back(error)

    @contextmanager
    def _open(self, overwrite: bool) -> Iterator[None]:
        """Lock the files, start the workers and open the log; close all of them at the end."""
        began = time.perf_counter()
        progress = self.progress
        with ExitStack() as stack:
            stack.enter_context(
                self._files.claimed(progress, is_new=self._is_new, overwrite=overwrite)
            )
            stack.enter_context(blas_threads(self._threads))
            with self.ranks.agreeing():
                stack.enter_context(self._workers)
            if progress.step == 0 and not progress.rollbacks:
                self._files.begin(self._gather())
            seconds = stack.enter_context(self._files.logging(progress))
            self._clock.began = began - seconds
            yield

    def _step(self) -> Stepped:
        """Train on the next window.

        Raises:
            DivergenceError: if the loss or the gradient is not finite.
        """
        began = time.perf_counter()
        training, progress, step = self.config.training, self.progress, self.progress.step
        # Overflows need no warnings: the check below, and one before each save, find them.
        with np.errstate(all="ignore"):
            # Read a window, go forward and back through time.
            nats, count, self._noticed = self._workers.step(
                self.streams,
                step,
                mean=training.loss_reduction == "mean",
                notice=self._notice,
            )
            loss, g = nats / count, self._workers.gradient
            norm, clipped = clip(g, training.clip_norm, training.clip_value)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise DivergenceError(
                    f"training diverged at step {step + 1}: the loss is {loss}, the gradient's "
                    f"norm {norm}"
                )
            self._state.update(g, self.learning_rate(step), step + 1)
        progress.step = step + 1
        progress.nats += nats
        progress.characters += count
        progress.clipped_steps += clipped
        progress.grad_norm = norm
        self._clock.characters += count
        self._clock.seconds += time.perf_counter() - began
        return Stepped(progress.step, loss, norm, count)

    def learning_rate(self, step: int) -> float:
        """Return η of a step, counted from 0."""
        scheduled = learning_rate_at(self.config.training, step, self.total_steps)
        return scheduled * self.progress.learning_rate_factor

    # --- validating and logging ------------------------------------------------------------------

    def validation_is_due(self) -> bool:
        """Return whether the present step is validated: every eval_every-th step and the last."""
        step, every = self.progress.step, self.config.training.eval_every
        assert every is not None
        return step % every == 0 or step >= self.total_steps

    def _measurement_is_due(self) -> bool:
        """Return whether the log still lacks a line for the present step."""
        step = self.progress.step
        return step > self.progress.logged_step and (
            step % self.config.training.log_every == 0 or self.validation_is_due()
        )

    def _measure(self) -> Iterator[Event]:
        """Validate if it is time, and write a line of the log. An interrupt ends it early.

        Raises:
            DivergenceError: if the parameters or the validation loss are not finite.
        """
        progress = self.progress
        if not self._state.is_finite():
            raise DivergenceError(
                f"training diverged at step {progress.step}: the parameters are not finite"
            )
        val_loss = None
        if len(self.corpus.split("val")) > 0 and self.validation_is_due():
            score, self._noticed = yield from validating(
                self.averaged,
                self.corpus.split("val"),
                boundary=self.corpus.vocabulary.boundary,
                exact=progress.step >= self.total_steps,
                ranks=self.ranks,
                cores=available_cores(self.config.training, self.ranks),
                notice=self._notice,
            )
            if self._noticed == INTERRUPTED:
                return
            val_loss = score.nats_per_char
        learning_rate = self.learning_rate(progress.step - 1)
        metrics = next_line(progress, self._clock, self.streams, val_loss, learning_rate)
        self._files.append(metrics)
        improved = val_loss is not None and record_validation(progress, val_loss)
        if improved and self.config.output.keep_best:
            self._files.save_best(self.checkpoint(resumable=False))
            yield Saved(self.outputs.best)
        yield Measured(metrics, improved)

    # --- saving and stopping ---------------------------------------------------------------------

    @property
    def finished(self) -> Reason | None:
        """Why the run is over, or None. It is not over before its last line is in the log."""
        if self._measurement_is_due():
            return None
        if self.progress.step >= self.total_steps:
            return "finished"
        patience = self.config.training.patience
        if patience is not None and self.progress.evals_since_best >= patience:
            return "patience"
        return None

    def _save_is_due(self, ending: Reason | None) -> bool:
        if ending:
            return self._files.are_behind(self.progress)
        training = self.config.training
        return self._files.is_due(self.progress, training.save_every) and (
            training.on_divergence == "ignore" or not is_suspect(self.progress)
        )

    def checkpoint(self, *, resumable: bool = True) -> Checkpoint:
        """Return the run as it stands. The arrays are shared, not copied.

        Args:
            resumable: whether to include the hidden state and the optimizer's memory.
        """
        return self._state.checkpoint(resumable=resumable)

    def _gather(self) -> Checkpoint:
        """Return a checkpoint with all ranks' streams; every rank continues from it."""
        if self.ranks.size > 1:
            self._workers.gather()
            self._state.broadcast(self.ranks)
        return self.checkpoint()

    def _roll_back(self, error: DivergenceError) -> RolledBack:
        """Return to the last checkpoint with half the learning rate, and save that.

        Raises:
            DivergenceError: the given error with its likely cause, if the run must end instead.
        """
        lost = self.progress
        if self.config.training.on_divergence != "rollback" or lost.rollbacks >= MAX_ROLLBACKS:
            raise final_error(error, self.config, lost.rollbacks, self.outputs.checkpoint) from None
        self._state.restore(self._files.last())
        self._state.progress = progress = after_rollback(self.progress, lost)
        entry = Rollback(
            rollback=progress.rollbacks,
            step=progress.step,
            diverged_step=lost.step,
            seconds=self._clock.elapsed(),
            learning_rate_factor=progress.learning_rate_factor,
            reason=str(error),
        )
        self._clock.restart()
        self._files.append_rollback(entry, progress.logged_step)
        self._files.save(self._gather())
        return RolledBack(entry)

    # --- costs -----------------------------------------------------------------------------------

    def seconds_per_step(self) -> float:
        """Measure a few steps. The run cannot be used afterwards."""
        with self._workers, blas_threads(self._threads):
            self._step()
            began = time.perf_counter()
            steps = 0
            # All ranks stop after the same step.
            self._notice = lambda: int(steps >= 3 and time.perf_counter() - began > 1)
            while not self._noticed:
                self._step()
                steps += 1
            return (time.perf_counter() - began) / steps
