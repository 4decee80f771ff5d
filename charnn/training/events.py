"""The events of a training run, in the order in which `Trainer.run` yields them.

The trainer prints nothing. A command or a script shows the events in its own way.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charnn.training.metrics import Metrics, Rollback

Reason = Literal["finished", "patience", "stop-after", "time-limit", "interrupted"]


@dataclass(frozen=True)
class Stepped:
    """One training step is done.

    Attributes:
        step: steps done so far.
        loss: mean loss of the step, nats per character.
        grad_norm: Euclidean norm of the gradient before clipping.
        characters: predictions in the step.
    """

    step: int
    loss: float
    grad_norm: float
    characters: int


@dataclass(frozen=True)
class Evaluating:
    """A validation has made `done` of its `total` predictions."""

    done: int
    total: int


@dataclass(frozen=True)
class Measured:
    """The log has a new line; `improved` is true if it has a new best validation loss."""

    metrics: Metrics
    improved: bool


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written to `path`."""

    path: Path


@dataclass(frozen=True)
class RolledBack:
    """The run diverged and returned to its last checkpoint; `entry` is the line in the log."""

    entry: Rollback


@dataclass(frozen=True)
class Ended:
    """This invocation is over. After "finished" and "patience", the whole run is over."""

    reason: Reason


Event = Stepped | Evaluating | Measured | Saved | RolledBack | Ended
