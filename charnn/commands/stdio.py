"""Standard input, output and error, which may be closed or piped, or have lost their reader."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator

import typer

from charnn.errors import CharnnError


def prepare_stdio() -> None:
    """Open the streams that the shell closed; print UTF-8, whatever the locale.

    If the environment has an invalid width of the terminal, the width counts as unknown.
    """
    _open_closed_streams()
    if not re.fullmatch("0*[1-9][0-9]{0,3}", os.environ.get("COLUMNS", "1"), re.ASCII):
        del os.environ["COLUMNS"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _open_closed_streams() -> None:
    """Open /dev/null for each of 0, 1 and 2 that is closed, so that no file gets its number."""
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, mode)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


@contextlib.contextmanager
def flushing_stdout() -> Iterator[None]:
    """Flush stdout at the end. A closed reader is no error; a full disk is one.

    Raises:
        CharnnError: if the output cannot be written.
    """
    ending = None
    try:
        try:
            yield
        except typer.Exit as error:
            ending = error
        if sys.stdout is not None:
            sys.stdout.flush()
        if ending:
            raise ending
    except BrokenPipeError:
        _discard_stdout()
        raise typer.Exit from None
    except OSError as error:
        _discard_stdout()
        where = error.filename or "standard output"
        raise CharnnError(f"{where}: {error.strerror or error}") from None


def _discard_stdout() -> None:
    """Send the rest of stdout to /dev/null, so that Python's last flush does not fail."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
