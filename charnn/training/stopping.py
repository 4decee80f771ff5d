"""The limits of one invocation: a number of steps, a time, an interrupt by the user.

Ranks must all stop after the same step. So each rank reports a number, its notice, and the ranks
act on the highest one.
"""

import math
import time
from collections.abc import Callable

from charnn.training.events import Reason

OUT_OF_TIME, INTERRUPTED = 1, 2  # notices; 0 means that nothing happened


class Limits:
    """Decides when an invocation ends before the end of the run. The clock starts at once."""

    def __init__(
        self, stop_after: int | None, seconds: float | None, interrupted: Callable[[], bool]
    ):
        """Set the limits.

        Args:
            stop_after: steps of this invocation, or None.
            seconds: time limit, or None.
            interrupted: returns whether the user wants to stop.
        """
        self._stop_after = stop_after
        self._end = time.perf_counter() + (math.inf if seconds is None else seconds)
        self._interrupted = interrupted

    def notice(self) -> int:
        """Return this rank's notice: `INTERRUPTED`, `OUT_OF_TIME` or 0."""
        if self._interrupted():
            return INTERRUPTED
        return OUT_OF_TIME if time.perf_counter() >= self._end else 0

    def reason(self, notice: int, steps: int) -> Reason | None:
        """Return why the invocation ends now, or None.

        Args:
            notice: the highest notice of all ranks.
            steps: steps of this invocation so far.
        """
        if notice == INTERRUPTED:
            return "interrupted"
        if self._stop_after is not None and steps >= self._stop_after:
            return "stop-after"
        return "time-limit" if notice == OUT_OF_TIME else None
