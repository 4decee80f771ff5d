"""The metrics log: one JSON object a line, beside the checkpoint, ending in .jsonl."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from charnn.errors import CharnnError


@dataclass(frozen=True)
class Metrics:
    """One line of the log.

    Attributes:
        step: steps done.
        epoch: passes over the training text, with the fraction of the present one.
        characters: characters trained on so far.
        seconds: spent so far, over all invocations.
        train_loss: mean over the characters since the line before, nats per character.
        val_loss: nats per character over the validation text, on lines that evaluate.
        learning_rate: of the last step.
        grad_norm: of the last step, before clipping.
        clipped: share of the steps since the line before whose gradient was clipped.
        chars_per_second: since the line before, evaluations left out.
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


class MetricsLog:
    """An append-only log; lines a resumed run will write again are cut when it is opened."""

    def __init__(self, path: Path, after_step: int = 0):
        """Open the log, keeping only whole lines up to `after_step` (0: a new log).

        Raises:
            CharnnError: if it cannot be written.
        """
        self.path = path
        try:
            kept = _whole_lines(path, after_step) if after_step > 0 else 0
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


def _whole_lines(path: Path, last_step: int) -> int:
    """Return the size of the log's lines up to a step, up to the first that is torn."""
    size = 0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                step = json.loads(line)["step"]
            except (ValueError, KeyError, TypeError, RecursionError):
                break
            if not isinstance(step, int) or step > last_step or not line.endswith(b"\n"):
                break
            size += len(line)
    return size
