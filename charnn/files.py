"""Files: charnn writes them atomically and never overwrites a file by accident."""

import contextlib
import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from charnn.errors import RequestError


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Call `write` with a temporary file beside `path`, then rename it to `path`.

    At any moment, `path` is the complete old or new file. If it is a link, its target is replaced.
    The new file keeps the mode of the old one. After an error of `write` or of the system, the
    temporary file is removed and the error is raised.
    """
    path = real(path)
    handle, name = tempfile.mkstemp(".tmp", _prefix(path), path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(_mode(path))
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    _flush_folder(path.parent)


def real(path: Path) -> Path:
    """Return the target if `path` is a link, even if the target does not exist."""
    return Path(os.path.realpath(path))


def _prefix(path: Path) -> str:
    """Return the prefix of temporary names. It is short, because `path` may have a long name."""
    return f".charnn-{zlib.crc32(os.fsencode(path.name)):08x}-"


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote `path`."""
    path = real(path)
    for leftover in path.parent.glob(f"{_prefix(path)}*.tmp"):
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
        instead: the alternative that the error suggests.

    Raises:
        RequestError: if any of them exists.
    """
    existing = [path for path in outputs if path.exists()]
    if existing:
        those = ", ".join(map(str, existing)) if len(outputs) > 1 else "it"
        raise RequestError(f"{existing[0]} exists; {instead}replace {those} by --overwrite")


def refuse_unwritable(outputs: Sequence[Path]) -> None:
    """Refuse names that cannot be written, before the work begins.

    Args:
        outputs: the files that a command is about to write.

    Raises:
        RequestError: naming the file, and the folder if that is missing or read-only.
    """
    taken = dict[Path, Path]()
    for path in outputs:
        target = real(path)
        folder = path.parent if target.parent == real(path.parent) else target.parent
        try:
            if not target.parent.is_dir():
                raise RequestError(f"{path}: the folder {folder} does not exist")
            if not os.access(target.parent, os.W_OK | os.X_OK):
                raise RequestError(f"{path}: the folder {folder} is read-only")
            kind = target.lstat().st_mode
            if stat.S_ISDIR(kind):
                raise RequestError(f"{path} is a folder; give the name of a file")
            if not stat.S_ISREG(kind):  # opening a pipe could wait for ever
                raise RequestError(f"{path} is not a file but a pipe or a device; move it away")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise RequestError(f"{path}: cannot be written: {error.strerror}") from None
        if target in taken:
            raise RequestError(f"{path} and {taken[target]} lead to one file, {target}")
        taken[target] = path


def refuse_inputs(outputs: Sequence[Path], inputs: Iterable[Path | str]) -> None:
    """Refuse to write a file that is also read.

    Args:
        outputs: the files that a command is about to write.
        inputs: the files that it reads.

    Raises:
        RequestError: naming the file.
    """
    read = {os.path.realpath(path) for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in read:
            raise RequestError(f"{path} would be overwritten, but is read; choose another --out")
