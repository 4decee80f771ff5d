"""The curves of a run, read from its metrics log, for plots and reports."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

from charnn.errors import CharnnError
from charnn.training.outputs import Outputs

_LARGEST = 1e100  # far above the range of float32; matplotlib fails near the largest float

Axis = Literal["step", "seconds"]
Points = tuple[list[float], list[float]]


class NoMetricsError(CharnnError):
    """A log has no metrics yet."""


@dataclass(frozen=True)
class Curves:
    """The entries of a metrics log, one mapping a line, in order.

    Attributes:
        name: the name of the run.
        lines: the entries with metrics.
        rollbacks: the entries for rollbacks.
    """

    name: str
    lines: list[dict[str, Any]]
    rollbacks: list[dict[str, Any]]

    def points(self, key: str, against: Axis = "step") -> Points:
        """Return the x and y of the curve of a key, where both are finite numbers."""
        x, y = [], []
        for line in self.lines:
            at, value = line.get(against), line.get(key)
            if _is_number(at) and _is_number(value):
                x.append(at)
                y.append(value)
        return x, y

    def marks(self, against: Axis = "step") -> list[float]:
        """Return the different x at which the run continued after a rollback, in order."""
        places = (line.get(against) for line in self.rollbacks)
        return sorted({at for at in places if _is_number(at)})


def _is_number(value: Any) -> TypeGuard[float]:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST <= value <= _LARGEST
    )


def _is_too_large(value: Any) -> bool:
    """Return whether a value is a finite number that no run writes."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, int | float) and abs(value) > _LARGEST


def read_curves(path: Path, name: str | None = None) -> Curves:
    """Read the metrics log of a run.

    A last line that is not complete is left out, because a run may be writing it.

    Args:
        path: the log.
        name: the name of the run. Default: the file's, without its ending.

    Raises:
        CharnnError: if the log cannot be read, has no metrics, or has a line that is not a JSON
            object.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise CharnnError(f"{path}: {error.strerror or error}") from None
    kept: list[dict[str, Any]] = []
    rollbacks: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or any(map(_is_too_large, entry.values())):
                raise ValueError
        except (ValueError, RecursionError):
            if line.endswith(b"\n"):
                hint = f"; the log is {Outputs.of(path).log}" if path.suffix == ".npz" else ""
                raise CharnnError(
                    f"{path}:{number}: not a line of a metrics log (one JSON object a line){hint}"
                ) from None
            break
        (rollbacks if "rollback" in entry else kept).append(entry)
    if not any(_is_number(entry.get("step")) for entry in kept):
        raise NoMetricsError(f"{path}: no metrics in it yet")
    return Curves(name or path.stem, kept, rollbacks)


def read_all(paths: Sequence[Path]) -> tuple[list[Curves], list[Path]]:
    """Read several logs. A run is named by its file, with the folder if names repeat.

    Returns:
        The runs, and the logs that have no metrics yet.

    Raises:
        CharnnError: if a log cannot be read or is damaged, or none has metrics.
    """
    stems = [path.stem for path in paths]
    runs, empty = list[Curves](), list[Path]()
    for path in paths:
        try:
            runs.append(read_curves(path, str(path) if stems.count(path.stem) > 1 else None))
        except NoMetricsError:
            if len(paths) == 1:
                raise
            empty.append(path)
    if not runs:
        raise NoMetricsError(f"{paths[0]}: no metrics in it yet, nor in the other logs")
    return runs, empty
