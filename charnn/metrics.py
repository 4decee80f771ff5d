"""The metrics log: one JSON object a line, beside the checkpoint, ending in .jsonl."""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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

    def __init__(self, path: Path, after_step: int = 0):
        """Open the log, keeping only whole lines up to `after_step` (0: a new log).

        Raises:
            CharnnError: if it cannot be written.
        """
        self.path = path
        try:
            kept, self.seconds = _whole_lines(path, after_step) if after_step > 0 else (0, 0.0)
            self._file: IO[bytes] = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(kept)
            self._file.seek(kept)
        except OSError as error:
            raise CharnnError(f"{path}: cannot be written: {error.strerror or error}") from None

    def append(self, metrics: Metrics) -> None:
        """Write one line and flush it.

        Raises:
            CharnnError: if it cannot be written.
        """
        try:
            self._file.write(json.dumps(dataclasses.asdict(metrics)).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise CharnnError(
                f"{self.path}: cannot be written: {error.strerror or error}"
            ) from None

    def sync(self) -> None:
        """Flush to disk, so that a checkpoint never knows more than the log."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CharnnError(
                f"{self.path}: cannot be written: {error.strerror or error}"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _whole_lines(path: Path, last_step: int) -> tuple[int, float]:
    """Return the bytes and the seconds of the lines up to a step, or to the first that is torn."""
    size, seconds = 0, 0.0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
                if not line.endswith(b"\n") or int(entry["step"]) > last_step:
                    break
                seconds = float(entry["seconds"])
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                break
            size += len(line)
    return size, seconds
