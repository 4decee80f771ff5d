"""TODO."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.checkpoint.progress import Progress
from charnn.config.keys import Config
from charnn.draws import fresh_seed
from charnn.errors import CharnnError, DivergenceError, RequestError
from charnn.evaluation import Evaluation, evaluating
from charnn.files import remove_leftovers
from charnn.machine import available_memory, blas_threads, cores
from charnn.network.arrays import Array
from charnn.network.network import Network
from charnn.network.spec import Spec
from charnn.optimizers import Average, clip, learning_rate_at, make_optimizer
from charnn.ranks import ALONE, Ranks
from charnn.text.corpus import Corpus
from charnn.text.reading import files_named
from charnn.text.streams import Streams, fitting_batch_size
from charnn.training.divergence import is_suspect, watch
from charnn.training.events import (
    Ended,
    Evaluating,
    Event,
    Measured,
    Reason,
    RolledBack,
    Saved,
    Stepped,
)
from charnn.training.metrics import Metrics, MetricsLog, Rollback, exclusive
from charnn.training.outputs import Outputs
from charnn.training.shares import StepSpec, worker_count
from charnn.training.workers import Workers

VALIDATION_SEGMENTS = 256  # validation during training reads up to so many places side by side


_SEGMENTS_A_THREAD = 64  # and a thread at least so many: calls long enough to run side by side


MAX_ROLLBACKS = 4  # a run that diverges with a sixteenth of its learning rate has another fault


_OUT_OF_TIME, _INTERRUPTED = 1, 2  # what ranks tell each other


class Trainer:
    """One run: a model, its optimizer and its place in the corpus.

    Attributes:
        config: with the seed filled in, and without the time limit.
        time_limit: of this invocation in seconds, or None.
        corpus: the text.
        model: the network being trained.
        averaged: the network that is validated and saved: `model`, or a running mean of it.
        streams: the training text as it is read, with the batch size that fits it.
        total_steps: of the whole plan.
        progress: where the run stands.
        outputs: the files it writes.
        warnings: what the user should know before it starts.
        ranks: the processes that make the run together.
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
        """Prepare a new run, or one that resumes a checkpoint, or starts from its parameters.

        All ranks make the same steps, each of its share of the batch; the first one writes.

        Raises:
            CharnnError: if the buffers do not fit in memory, or the corpus is another one.
        """
        if resume and not corpus.has_fingerprint(resume.progress.fingerprint):
            raise CharnnError(
                f"the text is not the one {config.output.checkpoint} was trained on; "
                "restore it, or start a new run from these parameters with --init"
            )
        self.warnings: list[str] = []
        self.corpus = corpus
        self.ranks = ranks
        self.time_limit = config.training.time_limit
        # A limit is this invocation's alone; the checkpoint must not pass it on.
        config = config.with_values({"training.time_limit": None})
        if config.training.seed is None:
            config = config.with_values({"training.seed": ranks.first(fresh_seed)})
        self.config = config
        self.outputs = Outputs(Path(config.output.checkpoint))
        if resume is None and "\r" in corpus.vocabulary.characters:
            self.warnings.append(
                "the text has \\r characters, as in Windows line ends; "
                "--set data.normalize_newlines=true reads line ends as \\n"
            )
        self._spec = Spec.from_config(config.model, len(corpus.vocabulary), config.training.dtype)
        self.streams = self._cut_streams()
        training, sizes = config.training, config.model
        self.total_steps = (
            training.epochs * self.streams.steps_per_epoch
            if training.max_steps is None
            else training.max_steps
        )
        self.model = self._new_model()
        plan = self._plan(self.streams)
        self._workers = Workers(self.model, plan, ranks)
        self._threads = plan.threads
        self._state = self._workers.state
        theta = self.model.parameters.flat
        self._optimizer = make_optimizer(training, theta)
        self.averaged, self._average = self.model, None
        if training.ema_decay:
            self.averaged = self._new_model()
            self._average = Average(self.averaged.parameters.flat, training.ema_decay)
        self._is_new = resume is None
        self._began = time.perf_counter()
        # What the speed is measured by: characters and seconds of steps since the last line.
        self._timed = (0, 0.0)
        self._notice: Callable[[], int] = lambda: 0  # what this rank has to say
        self._noticed = 0  # what any had to say in the last step or validation
        self._log: MetricsLog  # of the first rank
        if resume:
            if resume.hidden_state is None or resume.hidden_state.shape != self._state.shape:
                raise CharnnError(
                    f"{self.outputs.checkpoint} cannot be resumed; start from it with --init"
                )
            if self.total_steps < resume.progress.step:
                raise RequestError(
                    f"the plan is {self.total_steps:,} steps, but the run has made "
                    f"{resume.progress.step:,}; raise training.max_steps"
                )
            self._restore(resume)
            return
        self.progress = Progress(fingerprint=corpus.fingerprint)
        if init:
            theta[...] = init.model.parameters.flat
        else:
            self.model.initialize(sizes.init, self._seed, sizes.init_std)
        self.averaged.parameters.flat[...] = theta

    def _new_model(self) -> Network:
        spec = self._spec
        return Network.from_config(self.config.model, spec.vocab_size, spec.dtype)

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Take over all that the next step depends on."""
        self.progress = replace(checkpoint.progress)
        self.averaged.parameters.flat[...] = checkpoint.model.parameters.flat
        self._state[...] = checkpoint.hidden_state
        for name, slot in checkpoint.slots.items():
            self._slots[name][...] = slot

    @property
    def _slots(self) -> dict[str, Array]:
        """What a checkpoint keeps beside the parameters it is for, each (P,)."""
        theta = {"theta": self.model.parameters.flat} if self._average else {}
        return self._optimizer.slots | theta

    @property
    def _cores(self) -> int:
        """How many cores are this rank's."""
        return self.config.training.threads or max(1, cores() // self.ranks.sharing)

    @property
    def _seed(self) -> int:
        assert self.config.training.seed is not None
        return self.config.training.seed

    def _cut_streams(self) -> Streams:
        training, ids = self.config.training, self.corpus.split("train")
        B = training.batch_size
        if training.seq_length == "full":
            B = min(B, len(ids) - 1)
            T = (len(ids) - 1) // B
        else:
            T = min(training.seq_length, len(ids) - 1)
            B = fitting_batch_size(len(ids), B, T)
        if training.batch_size > B:
            wanted = training.batch_size * T + 1
            self.warnings.append(
                f"the training text has {len(ids):,} characters, fewer than batch_size "
                f"{training.batch_size} × seq_length {T} + 1 = {wanted:,}; using batch_size {B}"
            )
        streams = Streams(ids, B, T, training.drop_last)
        if self.ranks.size > B:
            raise RequestError(
                f"{self.ranks.size} ranks cannot share a batch of {B}; start fewer, or raise "
                "training.batch_size"
            )
        needed, available = self.memory(streams), available_memory() // self.ranks.on_node
        if needed > available:
            raise CharnnError(
                f"training needs about {needed / 1e9:.1f} GB for T = {T:,} × B = {B} and the "
                f"model, and {available / 1e9:.1f} GB are available; "
                "lower training.seq_length, training.batch_size or model.hidden_size"
            )
        return streams

    def _plan(self, streams: Streams) -> StepSpec:
        training, sizes = self.config.training, self.config.model
        B, H = streams.batch_size, sizes.hidden_size
        ranks, threads = self.ranks, training.threads
        total = self._cores
        if ranks.size > 1:
            threads = total
        workers = 1 if training.loop == "textbook" else worker_count(B // ranks.size, H, total)
        return StepSpec(
            network=self._spec,
            seq_length=streams.seq_length,
            batch_size=B,
            dropout=sizes.dropout,
            seed=self._seed,
            loop=training.loop,
            threads=threads if workers == 1 else total // workers,
            workers=workers,
            rank=ranks.rank,
            ranks=ranks.size,
        )

    def memory(self, streams: Streams) -> int:
        """Return the bytes that each rank allocates for buffers and parameters."""
        spec, B = self._spec, -(-streams.batch_size // self.ranks.size)
        dropout = self.config.model.dropout > 0
        # θ, its mean and two slots; for each worker a gradient, W laid out anew, and sums for dU.
        copies = 4 + 2 * self._plan(streams).workers
        parameters = copies * spec.num_parameters * np.dtype(spec.dtype).itemsize
        return spec.step_bytes(streams.seq_length, B, dropout=dropout) + parameters

    def flop_per_step(self) -> float:
        """Return the floating-point operations of one full step; see `Spec.step_flop`."""
        return self._spec.step_flop(self.streams.seq_length, self.streams.batch_size)

    def seconds_per_step(self) -> float:
        """Measure a few steps; the run is of no use afterwards."""
        with self._workers, blas_threads(self._threads):
            self._step()
            began = time.perf_counter()
            steps = 0
            # The ranks stop after the same step.
            self._notice = lambda: int(steps >= 3 and time.perf_counter() - began > 1)
            while not self._noticed:
                self._step()
                steps += 1
            return (time.perf_counter() - began) / steps

    # --- the loop --------------------------------------------------------------------------------

    @property
    def finished(self) -> Reason | None:
        """Why the run is over, or None; it is not before its last line of the log is written."""
        if self._measurement_is_due():
            return None
        if self.progress.step >= self.total_steps:
            return "finished"
        patience = self.config.training.patience
        if patience is not None and self.progress.evals_since_best >= patience:
            return "patience"
        return None

    def run(
        self,
        *,
        stop_after: int | None = None,
        overwrite: bool = True,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Train until the plan, or this invocation, ends; the last event is `Ended`.

        Args:
            stop_after: end this invocation after so many steps of it, without shaping the plan.
            overwrite: whether a new run replaces the files that lie at its outputs.
            interrupted: asked after every step and during validations; True saves and ends.

        Raises:
            CharnnError: if a file cannot be written, or another run is writing it.
            DivergenceError: if the run diverges, and `training.on_divergence` or the rollbacks
                made so far leave nothing else; what diverged is not saved.
            RequestError: if files lie at the outputs of a new run that must not replace them.
        """
        first = saved = self.progress.step
        logged = self.progress.logged_step
        began = time.perf_counter()
        limit = self.time_limit or math.inf
        ranks = self.ranks

        def notice() -> int:
            if interrupted():
                return _INTERRUPTED
            return _OUT_OF_TIME if time.perf_counter() - began >= limit else 0

        self._notice, self._noticed = notice, 0
        with ExitStack() as stack:
            ranks.first(lambda: self._claim(stack, overwrite))
            stack.enter_context(blas_threads(self._threads))
            with ranks.agreeing():
                stack.enter_context(self._workers)
            if first == 0 and not self.progress.rollbacks:
                # First a checkpoint that can be resumed, then the old files go.
                self._save(self.outputs.checkpoint)
                ranks.first(self.outputs.remove_best)
            ranks.first(lambda: self._open_log(stack, began))
            while True:
                try:
                    if self._measurement_is_due():
                        yield from self._measure()
                    steps = self.progress.step - first
                    # Alone one need not have told oneself.
                    noticed = self._noticed if ranks.size > 1 else notice()
                    ending: Reason | None = self.finished
                    if ending is None and noticed == _INTERRUPTED:
                        ending = "interrupted"
                    elif ending is None and stop_after is not None and steps >= stop_after:
                        ending = "stop-after"
                    elif ending is None and noticed == _OUT_OF_TIME:
                        ending = "time-limit"
                    every = self.config.training.save_every
                    due = self.progress.step // every > saved // every and self._is_healthy()
                    unsaved = self.progress.step > saved or self.progress.logged_step > logged
                    if (ending and unsaved) or due:
                        ranks.first(lambda: self._log.sync())
                        self._save(self.outputs.checkpoint)
                        saved, logged = self.progress.step, self.progress.logged_step
                        yield Saved(self.outputs.checkpoint)
                    if ending:
                        yield Ended(ending)
                        return
                    stepped = self._step()
                    self._judge(stepped)
                    yield stepped
                except DivergenceError as error:
                    yield self._roll_back(error)
                    saved, logged = self.progress.step, self.progress.logged_step

    def _claim(self, stack: ExitStack, overwrite: bool) -> None:
        """Take hold of the files, where nothing has changed since this run looked at them."""
        stack.enter_context(exclusive(self.outputs.log))
        if self._is_new and not overwrite:
            self.outputs.refuse_existing()
        path = self.outputs.checkpoint
        if not self._is_new and path.exists() and load(path).progress != self.progress:
            raise CharnnError(f"{path}: another run has gone on with it; resume again")
        remove_leftovers(self.outputs.checkpoint)
        remove_leftovers(self.outputs.best)

    def _open_log(self, stack: ExitStack, began: float) -> None:
        log = MetricsLog(self.outputs.log, self.progress.logged_step, self.progress.rollbacks)
        self._log = stack.enter_context(closing(log))
        self._began = began - log.seconds

    def _save(self, path: Path, *, resumable: bool = True) -> None:
        """Write a checkpoint of what all ranks have, and go on from what is in it."""
        ranks = self.ranks
        if resumable and ranks.size > 1:
            self._workers.gather()
            # The same bits, unless the ranks run on processors of different kinds.
            for array in (self.averaged.parameters.flat, *self._slots.values()):
                ranks.broadcast(array)
        ranks.first(lambda: self.checkpoint(resumable=resumable).save(path))

    def _is_healthy(self) -> bool:
        return self.config.training.on_divergence == "ignore" or not is_suspect(self.progress)

    def _judge(self, stepped: Stepped) -> None:
        """Look at a step's loss, which is finite, once the warm-up is over.

        Raises:
            DivergenceError: if it has been too high for too long.
        """
        training, uniform = self.config.training, math.log(self.model.vocab_size)
        if stepped.step <= training.warmup_steps or training.on_divergence == "ignore":
            return
        wrong = watch(self.progress, stepped.loss, uniform, self.streams.batch_size)
        if wrong:
            raise DivergenceError(f"training diverged at step {stepped.step}: {wrong}")

    def _roll_back(self, error: DivergenceError) -> RolledBack:
        """Go back to the last save with half the learning rate, and save that.

        Raises:
            DivergenceError: the same with the likely cause, if the run is not to go on.
        """
        diverged = self.progress
        tried = diverged.rollbacks
        if self.config.training.on_divergence != "rollback" or tried >= MAX_ROLLBACKS:
            again = f", as {tried} times before with higher learning rates" if tried else ""
            raise DivergenceError(
                f"{error}{again}; likely cause: {self._likely_cause()} "
                f"({self.outputs.checkpoint} is as it was last saved)"
            ) from None
        self._restore(self.ranks.first(lambda: load(self.outputs.checkpoint)))
        progress = self.progress
        progress.rollbacks = tried + 1
        progress.steps_above_uniform = progress.steps_above_best = 0
        # The best checkpoint is still that.
        progress.best_val_loss, progress.best_step = diverged.best_val_loss, diverged.best_step
        entry = Rollback(
            rollback=progress.rollbacks,
            step=progress.step,
            diverged_step=diverged.step,
            seconds=round(time.perf_counter() - self._began, 3),
            learning_rate_factor=progress.learning_rate_factor,
            reason=str(error),
        )
        self._timed = (0, 0.0)
        self.ranks.first(lambda: self._log_rollback(entry))
        self._save(self.outputs.checkpoint)
        return RolledBack(entry)

    def _log_rollback(self, entry: Rollback) -> None:
        self._log.cut(self.progress.logged_step, self.progress.rollbacks)
        self._log.append(entry)
        self._log.sync()

    def _likely_cause(self) -> str:
        training = self.config.training
        if training.clip_norm is None and training.clip_value is None:
            return "the gradient is not clipped; set training.clip_norm"
        if self.config.model.activation == "relu":
            return "relu has no bound; lower training.learning_rate, or set model.activation=tanh"
        return f"training.learning_rate, {training.learning_rate:g}, is too high; lower it"

    def checkpoint(self, *, resumable: bool = True) -> Checkpoint:
        """Return the run as it stands (arrays are shared, not copied)."""
        return Checkpoint(
            self.config,
            self.corpus.vocabulary,
            self.averaged,
            self.progress,
            self._state if resumable else None,
            self._slots if resumable else {},
        )

    def learning_rate(self, step: int) -> float:
        """Return η of a step, counted from 0."""
        scheduled = learning_rate_at(self.config.training, step, self.total_steps)
        return scheduled * self.progress.learning_rate_factor

    def _step(self) -> Stepped:
        """Train on the next window."""
        began = time.perf_counter()
        training, progress, step = self.config.training, self.progress, self.progress.step
        # What is not finite is looked for once, below and before anything is saved.
        with np.errstate(all="ignore"):
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
            learning_rate = self.learning_rate(step)
            if training.weight_decay:
                for weight in self.model.parameters.values():
                    if weight.ndim == 2:
                        weight *= 1 - learning_rate * training.weight_decay
            theta = self.model.parameters.flat
            self._optimizer.update(theta, g, learning_rate, step + 1)
            if self._average:
                self._average.update(theta, step + 1)
        progress.step = step + 1
        progress.nats += nats
        progress.characters += count
        progress.clipped_steps += clipped
        progress.grad_norm = norm
        characters, seconds = self._timed
        self._timed = (
            characters + count,
            seconds + time.perf_counter() - began,
        )
        return Stepped(progress.step, loss, norm, count)

    def evaluation_is_due(self) -> bool:
        """Whether this step is one to look at: every eval_every-th and the last."""
        step = self.progress.step
        return step % self.config.training.eval_every == 0 or step >= self.total_steps

    def _measurement_is_due(self) -> bool:
        """Whether this step's line of the log is still to be written."""
        step = self.progress.step
        return step > self.progress.logged_step and (
            step % self.config.training.log_every == 0 or self.evaluation_is_due()
        )

    def _measure(self) -> Iterator[Event]:
        """Validate if it is time, and write a line of the log; nothing if interrupted."""
        progress = self.progress
        if not np.isfinite(self.model.parameters.flat).all():
            raise DivergenceError(
                f"training diverged at step {progress.step}: the parameters are not finite"
            )
        val_loss = None
        if self.config.data.val_fraction > 0 and self.evaluation_is_due():
            score = yield from self._validate()
            if self._noticed == _INTERRUPTED:
                return
            val_loss = score.nats_per_char
        steps = progress.step - progress.logged_step
        characters, seconds = self._timed
        metrics = Metrics(
            step=progress.step,
            epoch=round(progress.step / self.streams.steps_per_epoch, 4),
            characters=self.streams.characters(progress.step),
            seconds=round(time.perf_counter() - self._began, 3),
            train_loss=progress.nats / progress.characters,
            val_loss=val_loss,
            learning_rate=self.learning_rate(progress.step - 1),
            grad_norm=progress.grad_norm,
            clipped=progress.clipped_steps / steps,
            chars_per_second=round(characters / seconds) if seconds else 0,
        )
        self.ranks.first(lambda: self._log.append(metrics))
        progress.logged_step = progress.step
        progress.nats, progress.characters, progress.clipped_steps = 0.0, 0, 0
        self._timed = (0, 0.0)
        improved = False
        if val_loss is not None:
            best = progress.best_val_loss
            improved = best is None or val_loss < best
            progress.val_loss = val_loss
            progress.evals_since_best = 0 if improved else progress.evals_since_best + 1
            if improved:
                progress.best_val_loss, progress.best_step = val_loss, progress.step
                if self.config.output.keep_best:
                    self._save(self.outputs.best, resumable=False)
                    yield Saved(self.outputs.best)
        yield Measured(metrics, improved)

    def _validate(self) -> Generator[Event, None, Evaluation]:
        """Evaluate on the validation text, each rank some of its segments, until interrupted."""
        ranks, ids = self.ranks, self.corpus.split("val")
        segments = 1 if self.progress.step >= self.total_steps else VALIDATION_SEGMENTS
        threads = max(1, min(self._cores, segments // _SEGMENTS_A_THREAD))
        score, noticed = Evaluation(0.0, 0, 0, 0), 0
        # The workers sleep now, and this process may have their cores.
        with ranks.agreeing(), blas_threads(self._cores // threads):
            for score in evaluating(
                self.averaged,
                ids,
                segments=segments,
                part=ranks.rank,
                parts=ranks.size,
                threads=threads,
            ):
                noticed = self._notice()
                if noticed == _INTERRUPTED:
                    break
                yield Evaluating(score.predictions, score.total)
        scores, notices = zip(*ranks.gather((score, noticed)), strict=True)
        self._noticed = max(notices)
        return Evaluation.sum(scores)


def train(
    config: Config,
    corpus: Corpus,
    on_event: Callable[[Event], None] | None = None,
    *,
    overwrite: bool = False,
) -> Checkpoint:
    """Train from Python: run the whole plan, hand each event to `on_event`, return the result.

    Raises:
        RequestError: if an output exists and `overwrite` is not given.
        CharnnError: as `Trainer` and `Trainer.run` do.
    """
    trainer = Trainer(config, corpus)
    trainer.outputs.refuse_inputs(files_named(config.data.path))
    if not overwrite:
        trainer.outputs.refuse_existing()
    for event in trainer.run(overwrite=overwrite):
        if on_event is not None:
            on_event(event)
    return trainer.checkpoint()
