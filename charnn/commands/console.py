"""The output of commands on stderr during their work: messages, a spinner, bars."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from charnn.commands.figures import duration
from charnn.showing import escaped, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from charnn.evaluation import Evaluation

_READING_BAR_AFTER = 1.0  # seconds: most texts are read by then
REDRAW_EVERY = 0.1  # seconds


def say(message: str) -> None:
    """Print one line to stderr. The work continues if stderr is closed."""
    with contextlib.suppress(OSError):
        print(one_line(message), file=sys.stderr, flush=True)


def console(stream: TextIO) -> "Console":
    """Return a console on stdout or stderr. Only the stream decides whether it is a terminal.

    Without this, variables such as FORCE_COLOR would put bars and colours into a pipe or a file.
    """
    from rich.console import Console

    return Console(file=stream, force_terminal=stream.isatty(), highlight=False)


@contextmanager
def suspendable(
    shown_on: "Console", hides_cursor: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Show the cursor while Ctrl-Z suspends the program, because bars hide it.

    Args:
        shown_on: where the bars are drawn.
        hides_cursor: whether bars are drawn at the moment, so that the cursor must be hidden again.
    """
    stop = getattr(signal, "SIGTSTP", None)
    if stop is None or not shown_on.is_terminal or signal.getsignal(stop) != signal.SIG_DFL:
        yield
        return

    def suspend(number: int, frame: object) -> None:
        with contextlib.suppress(OSError):
            shown_on.show_cursor(True)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # it returns after `fg` in the shell
        signal.signal(number, suspend)
        with contextlib.suppress(OSError):
            shown_on.show_cursor(not hides_cursor())

    signal.signal(stop, suspend)
    try:
        yield
    finally:
        signal.signal(stop, signal.SIG_DFL)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on a terminal, with the name of the work.

    Yields a function that changes this name.
    """
    if not sys.stderr.isatty():
        yield lambda what: None
        return
    from rich.text import Text

    shown_on = console(sys.stderr)
    with suspendable(shown_on), shown_on.status(Text(what)) as status:
        yield lambda what: status.update(Text(what))


@contextmanager
def reading_bar(name: str, *, quiet: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on a terminal while a text is read, if reading takes long.

    Yields a callback that takes the number of bytes read so far and the size of the text in bytes,
    None if it is not known.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from threading import Timer

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("reading {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=console(sys.stderr),
        transient=True,
    )
    task = bar.add_task(escaped(name), total=None)
    # A timer starts the bar, because a pipe may deliver nothing for a while.
    start = Timer(_READING_BAR_AFTER, bar.start)
    start.start()
    drawn = 0.0

    def show(done: int, total: int | None) -> None:
        nonlocal drawn
        if time.perf_counter() - drawn > REDRAW_EVERY:
            drawn = time.perf_counter()
            bar.update(task, completed=done, total=total)

    try:
        with suspendable(bar.console, lambda: bar.live.is_started):
            yield show
    finally:
        start.cancel()
        start.join()
        if bar.live.is_started:
            bar.stop()


def with_bar(scores: "Iterator[Evaluation]") -> "Evaluation":
    """Run an evaluation with a bar on a terminal; return the last of its running sums."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("evaluate"), BarColumn(bar_width=None), TextColumn("{task.fields[left]}"))
    shown_on = console(sys.stderr)
    began = time.perf_counter()
    score = next(scores)
    with (
        suspendable(shown_on),
        Progress(
            *columns,
            console=shown_on,
            transient=True,
            expand=True,
            disable=not shown_on.is_terminal,
        ) as bar,
    ):
        task = bar.add_task("evaluate", total=score.total, left="")
        for score in scores:
            done = score.predictions / score.total
            left = (time.perf_counter() - began) * (1 - done) / done
            bar.update(task, completed=score.predictions, left=f"{duration(left)} left")
    return score
