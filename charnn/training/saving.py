"""The files of a run while it trains: the lock, the checkpoints and the log.

The order of writes keeps every file usable if the process is killed at any moment: a checkpoint
is written before older files go, and the log is on disk before a checkpoint that counts its lines.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.checkpoint.progress import Progress
from charnn.errors import CharnnError
from charnn.files import remove_leftovers
from charnn.ranks import Ranks
from charnn.training.metrics import Metrics, MetricsLog, Rollback, exclusive
from charnn.training.outputs import Outputs


class RunFiles:
    """Writes the files of one run.

    All ranks call the same methods. Rank 0 does the work, and its errors are raised on every rank.

    Attributes:
        outputs: the paths.
    """

    def __init__(self, outputs: Outputs, ranks: Ranks):
        """Name the files; nothing is opened yet."""
        self.outputs = outputs
        self._ranks = ranks
        self._log: MetricsLog  # of rank 0, inside `logging`
        self._saved = (0, 0)  # step and logged step of the last checkpoint

    @contextmanager
    def claimed(self, progress: Progress, *, is_new: bool, overwrite: bool) -> Iterator[None]:
        """Lock the files, and check that no other run has changed them.

        Args:
            progress: where this run stands.
            is_new: whether it does not resume a checkpoint.
            overwrite: whether a new run may replace existing files.

        Raises:
            CharnnError: if another run writes, or has written, these files; or if the log cannot
                be written.
            RequestError: if files exist that a new run must not replace.
        """

        def claim() -> None:
            stack.enter_context(exclusive(self.outputs.log))
            path = self.outputs.checkpoint
            if is_new and not overwrite:
                self.outputs.refuse_existing()
            if not is_new and path.exists() and load(path).progress != progress:
                raise CharnnError(f"{path}: another run has continued it since; resume again")
            remove_leftovers(path)
            remove_leftovers(self.outputs.best)

        with ExitStack() as stack:
            self._ranks.first(claim)
            self._saved = progress.step, progress.logged_step
            yield

    @contextmanager
    def logging(self, progress: Progress) -> Iterator[float]:
        """Open the log without the lines after `progress`; yield the seconds of earlier runs.

        Raises:
            CharnnError: if it cannot be written.
        """

        def open_log() -> float:
            log = MetricsLog(self.outputs.log, progress.logged_step, progress.rollbacks)
            self._log = stack.enter_context(closing(log))
            return log.seconds

        with ExitStack() as stack:
            yield self._ranks.first(open_log)

    def is_due(self, progress: Progress, every: int) -> bool:
        """Return whether a multiple of `every` steps was reached since the last checkpoint."""
        return progress.step // every > self._saved[0] // every

    def are_behind(self, progress: Progress) -> bool:
        """Return whether there are steps or lines of the log that the last checkpoint lacks."""
        return self._saved != (progress.step, progress.logged_step)

    def begin(self, checkpoint: Checkpoint) -> None:
        """Write the first checkpoint of a new run; then remove an earlier run's best checkpoint.

        Raises:
            CharnnError: if a file cannot be written or removed.
        """
        self._ranks.first(lambda: checkpoint.save(self.outputs.checkpoint))
        self._ranks.first(self.outputs.remove_best)

    def save(self, checkpoint: Checkpoint) -> None:
        """Flush the log, then write the checkpoint.

        Raises:
            CharnnError: if a file cannot be written.
        """

        def write() -> None:
            self._log.sync()
            checkpoint.save(self.outputs.checkpoint)

        self._ranks.first(write)
        self._saved = checkpoint.progress.step, checkpoint.progress.logged_step

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Write the best checkpoint.

        Raises:
            CharnnError: if it cannot be written.
        """
        self._ranks.first(lambda: checkpoint.save(self.outputs.best))

    def last(self) -> Checkpoint:
        """Return the last checkpoint from disk.

        Raises:
            CheckpointError: if it cannot be read.
        """
        return self._ranks.first(lambda: load(self.outputs.checkpoint))

    def append(self, metrics: Metrics) -> None:
        """Append a line to the log.

        Raises:
            CharnnError: if it cannot be written.
        """
        self._ranks.first(lambda: self._log.append(metrics))

    def append_rollback(self, entry: Rollback, logged_step: int) -> None:
        """Cut the lines after `logged_step` from the log, and append the rollback.

        Raises:
            CharnnError: if it cannot be written.
        """

        def write() -> None:
            self._log.cut(logged_step, entry.rollback)
            self._log.append(entry)

        self._ranks.first(write)
