"""Files: written atomically, and never over a file that somebody needs."""

import contextlib
import glob
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from charnn.errors import RequestError


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Call `write` with a temporary file in the folder of `path`, then rename it to `path`.

    At any moment `path` is the old file or the new one, whole. Errors of `write` and of the system
    pass through, and the temporary file is removed.
    """
    handle, name = tempfile.mkstemp(".tmp", _prefix(path), path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    _flush_folder(path.parent)


def _prefix(path: Path) -> str:
    return f".{path.name}."


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote `path`."""
    for leftover in path.parent.glob(f"{glob.escape(_prefix(path))}*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power failure, if the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def refuse_existing(outputs: Sequence[Path], instead: str = "") -> None:
    """Refuse to replace files.

    Args:
        outputs: the files that a command is about to write.
        instead: what the user may do instead, for the error.

    Raises:
        RequestError: if any of them exists.
    """
    existing = [path for path in outputs if path.exists()]
    if existing:
        those = ", ".join(map(str, existing)) if len(outputs) > 1 else "it"
        raise RequestError(f"{existing[0]} exists; {instead}replace {those} by --overwrite")


def refuse_inputs(outputs: Sequence[Path], inputs: Iterable[Path | str]) -> None:
    """Refuse to write a file that is also read, or into a folder that does not exist.

    Args:
        outputs: the files that a command is about to write, all in one folder.
        inputs: the files that it reads.

    Raises:
        RequestError: naming the file or the folder.
    """
    folder = outputs[0].parent
    if not folder.is_dir():
        raise RequestError(f"{outputs[0]}: the folder {folder} does not exist")
    read = {os.path.realpath(path) for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in read:
            raise RequestError(f"{path} would be overwritten, but is read; choose another --out")
