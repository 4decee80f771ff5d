"""Events of a training run on stderr: a live display on a terminal, plain lines elsewhere."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from charnn.evaluation import Evaluation
from charnn.showing import escaped, one_line


def say(message: str) -> None:
    """Print one line to stderr; if nobody can read it any more, the work goes on."""
    with contextlib.suppress(OSError):
        print(one_line(message), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Show a time as 42s, 3m10s or 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


@contextmanager
def waiting(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal, for as long as it lasts, what is being waited for."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(what)):
        yield


@contextmanager
def reading(name: str, *, quiet: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Show on a terminal, if it lasts, how much of a text is read.

    Yields what is to be told the bytes read so far, and of how many or None.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from threading import Timer

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("reading {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(escaped(name), total=None)
    # It begins by itself: nothing may come for a while where a text is piped.
    start = Timer(1, bar.start)
    start.start()
    shown = 0.0

    def show(done: int, total: int | None) -> None:
        nonlocal shown
        if time.perf_counter() - shown > 0.1:
            shown = time.perf_counter()
            bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        start.cancel()
        start.join()
        if bar.live.is_started:
            bar.stop()


def bits(nats: float) -> float:
    """Convert nats to bits."""
    return nats / math.log(2)


def shortened(text: str) -> str:
    """Return a text for reading: on one line, at most 200 characters of it."""
    some = one_line(text[:200])
    return some + (f" … and {len(text) - 200:,} more" if len(text) > 200 else "")


def watch(scores: Iterator[Evaluation]) -> Evaluation:
    """Return the last of an evaluation's running sums; on a terminal a bar shows the progress."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("evaluate"), BarColumn(bar_width=None), TextColumn("{task.fields[left]}"))
    console = Console(stderr=True)
    began = time.perf_counter()
    score = next(scores)
    with Progress(
        *columns, console=console, transient=True, expand=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("evaluate", total=score.total, left="")
        for score in scores:
            done = score.predictions / score.total
            left = (time.perf_counter() - began) * (1 - done) / done
            bar.update(task, completed=score.predictions, left=f"{duration(left)} left")
    return score
