"""The training loop: truncated BPTT over the streams of a corpus, as a sequence of events.

Nothing here prints. A run is a function of its config, its corpus and the step: whatever a
checkpoint holds is all that the next step depends on, so that a run stopped anywhere and resumed
ends with the same bits (if it does not diverge: it would go back to the last save, and stopping
saves).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charnn.training.metrics import Metrics, Rollback

Reason = Literal["finished", "patience", "stop-after", "time-limit", "interrupted"]


@dataclass(frozen=True)
class Stepped:
    """One step was made: its mean loss in nats per character and its gradient's norm."""

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
    """A line was added to the metrics log; `improved` if it holds a new best validation loss."""

    metrics: Metrics
    improved: bool


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    path: Path


@dataclass(frozen=True)
class RolledBack:
    """The run diverged and went back to its last save; so says a line of the log."""

    entry: Rollback


@dataclass(frozen=True)
class Ended:
    """This invocation is over; with "finished" and "patience" the run is, too."""

    reason: Reason


Event = Stepped | Evaluating | Measured | Saved | RolledBack | Ended
