"""The metrics log: one JSON object a line, beside the checkpoint, ending in .jsonl."""

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
except ImportError:  # not a Unix: runs are not kept apart there
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Metrics:
    """One line of the log.

    Attributes:
        step: steps done.
        epoch: passes over the training text, with the fraction of the present one.
        characters: characters trained on so far.
        seconds: spent so far, over all invocations, as far as their lines tell.
        train_loss: mean over the characters since the line before, nats per character.
        val_loss: nats per character over the validation text, on lines that evaluate.
        learning_rate: of the last step.
        grad_norm: of the last step, before clipping.
        clipped: share of the steps since the line before whose gradient was clipped.
        chars_per_second: since the line before (or the start, or a resume), validations left out.
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
    """A line of the log that says that the run went back; the lines it undid are gone.

    Attributes:
        rollback: how many there were so far, this one included.
        step: steps done after going back.
        diverged_step: steps done before.
        seconds: as in `Metrics`.
        learning_rate_factor: what the learning rate is multiplied by from now on.
        reason: what was wrong.
    """

    rollback: int
    step: int
    diverged_step: int
    seconds: float
    learning_rate_factor: float
    reason: str


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a run's log against other processes; the lock of a dead process is gone with it.

    Raises:
        CharnnError: if another process holds it, or it cannot be written.
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
            pass  # a file system without locks
        yield


class MetricsLog:
    """An append-only log; lines a resumed run will write again are cut when it is opened.

    Attributes:
        path: of the file.
        seconds: spent up to the last line kept.
    """

    def __init__(self, path: Path, after_step: int = 0, rollbacks: int = 0):
        """Open the log, keeping only whole lines up to `after_step` (0: a new log).

        Of the lines that tell of a rollback, as many are kept as there were `rollbacks`.

        Raises:
            CharnnError: if it cannot be written.
        """
        self.path = path
        self.seconds = 0.0
        with self._writing():
            # Unbuffered: a line that does not fit is not tried again when the log is closed.
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._size = 0
            self.cut(after_step, rollbacks)

    def cut(self, after_step: int, rollbacks: int) -> None:
        """Keep only whole lines up to a step, and so many that tell of a rollback.

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
        """Write one line; if it does not fit, the log is left without it.

        Raises:
            CharnnError: if it cannot be written.
        """
        line = json.dumps(dataclasses.asdict(entry)).encode() + b"\n"
        with self._writing():
            try:
                # What fits of a line is written before the error comes, in the next call.
                written = self._file.write(line)
                while written < len(line):
                    written += self._file.write(line[written:])
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._size)
                raise
        self._size += len(line)

    def sync(self) -> None:
        """Flush to disk, so that a checkpoint never knows more than the log.

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
    """Return the bytes and the seconds of the lines to keep: none after one that is torn."""
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
