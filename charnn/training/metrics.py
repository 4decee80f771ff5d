"""The metrics log, NAME.jsonl: its lines, one JSON object each; its lock; reading and writing."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from charnn.errors import CharnnError

try:
    import fcntl
except ImportError:  # Other systems than Unix have no such locks.
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Metrics:
    """One line of the log.

    Attributes:
        step: steps done so far.
        epoch: passes over the training text so far; the fraction is that of the present pass.
        characters: predictions trained on so far.
        seconds: time spent so far. An earlier invocation counts up to its last line.
        train_loss: mean since the previous line, nats per character.
        val_loss: over the validation text, nats per character; None where it was not evaluated.
        learning_rate: of the last step.
        grad_norm: Euclidean norm of the last step's gradient, before clipping.
        clipped: share of the steps since the previous line whose gradient was clipped.
        chars_per_second: speed of the steps since the previous line, the start or a resume. The
            time of validations is not counted.
    """

    step: int
    epoch: float
    characters: int
    seconds: float
    train_loss: float
    val_loss: float | None
    learning_rate: float
    grad_norm: float
    clipped: float
    chars_per_second: float


@dataclass(frozen=True)
class Rollback:
    """A line of the log for each return to a checkpoint. The undone lines are removed.

    Attributes:
        rollback: the number of this rollback, from 1.
        step: the step that the run returned to.
        diverged_step: the step at which it diverged.
        seconds: as in `Metrics`.
        learning_rate_factor: factor of the learning rate from now on.
        reason: a description of the problem.
    """

    rollback: int
    step: int
    diverged_step: int
    seconds: float
    learning_rate_factor: float
    reason: str


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock a run's log against other processes. The lock ends with the process.

    Raises:
        CharnnError: if another process holds the lock, or the log cannot be written.
    """
    try:
        file = path.open("ab")
    except OSError as error:
        raise CharnnError(f"{path}: cannot be written: {error.strerror or error}") from None
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CharnnError(
                f"{path}: another run is writing here; wait for its end, or choose another --out"
            ) from None
        except OSError:
            pass  # The file system has no locks.
        yield


class MetricsLog:
    """A log that only grows, except that lines of undone steps are removed.

    Attributes:
        path: of the file.
        seconds: the time in the last line kept by the last cut.
    """

    def __init__(self, path: Path, after_step: int = 0, rollbacks: int = 0):
        """Open the log and cut it; see `cut`.

        Raises:
            CharnnError: if it cannot be written.
        """
        self.path = path
        self.seconds = 0.0
        with self._writing():
            # With a buffer, closing the file would write a line again that did not fit.
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._size = 0
            self.cut(after_step, rollbacks)

    def cut(self, after_step: int, rollbacks: int) -> None:
        """Keep only the lines that a checkpoint counts; remove an incomplete line, too.

        Args:
            after_step: the step of the last line of metrics to keep; 0 if there is none.
            rollbacks: the number of the last rollback to keep; 0 if there is none.

        Raises:
            CharnnError: if it cannot be written.
        """
        with self._writing():
            if after_step > 0 or rollbacks > 0:
                self._size, self.seconds = _whole_lines(self.path, after_step, rollbacks)
            else:
                self._size = 0
            self._file.truncate(self._size)
            self._file.seek(self._size)

    def append(self, entry: Metrics | Rollback) -> None:
        """Write one line. If it does not fit on the disk, no part of it stays in the file.

        Raises:
            CharnnError: if it cannot be written.
        """
        line = json.dumps(dataclasses.asdict(entry)).encode() + b"\n"
        with self._writing():
            try:
                # On a full disk the first call writes what fits, and the next one fails.
                written = self._file.write(line)
                while written < len(line):
                    written += self._file.write(line[written:])
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._size)
                raise
        self._size += len(line)

    def sync(self) -> None:
        """Flush to disk. Do this before saving a checkpoint that counts these lines.

        Raises:
            CharnnError: if it cannot be written.
        """
        with self._writing():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CharnnError(
                f"{self.path}: cannot be written: {error.strerror or error}"
            ) from None


def _whole_lines(path: Path, last_step: int, rollbacks: int) -> tuple[int, float]:
    """Return the size in bytes of the lines to keep, and the seconds in the last of them.

    The first line that is damaged, incomplete or undone ends them.
    """
    size, seconds = 0, 0.0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
                kept = (
                    int(entry["rollback"]) <= rollbacks
                    if "rollback" in entry
                    else int(entry["step"]) <= last_step
                )
                if not line.endswith(b"\n") or not kept:
                    break
                seconds = float(entry["seconds"])
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                break
            size += len(line)
    return size, seconds
