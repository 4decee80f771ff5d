"""Ctrl-C and termination signals while a model is trained."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Collect the number of the first SIGINT, SIGTERM or SIGHUP; exit at the second one.

    Yields the list that receives the number.
    """
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            sys.exit(128 + number)
        received.append(number)

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    hangup = numbers[-1]
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN:
        numbers.pop()  # `nohup` has started the program
    before = {number: signal.signal(number, note) for number in numbers if number is not None}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
