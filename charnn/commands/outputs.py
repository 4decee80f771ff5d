"""TODO."""

import os
from pathlib import Path
from typing import IO

from charnn.errors import CharnnError, RequestError


def _check_output(path: Path, endings: tuple[str, ...], overwrite: bool, read: list[Path]) -> None:
    """Refuse what cannot or should not be written before any work is done."""
    if path.suffix not in endings:
        raise RequestError(f"--out takes a name ending in {' or '.join(endings)}, got {path}")
    if not path.parent.is_dir():
        raise RequestError(f"{path}: the folder {path.parent} does not exist")
    if os.path.realpath(path) in map(os.path.realpath, read):
        raise RequestError(f"{path} would be overwritten, but is read; choose another --out")
    if path.exists() and not overwrite:
        raise RequestError(f"{path} exists; replace it by --overwrite")


def _write(path: Path, content: bytes) -> None:
    from charnn.files import write_atomically

    def write(file: IO[bytes]) -> None:
        file.write(content)

    try:
        write_atomically(path, write)
    except OSError as error:
        raise CharnnError(f"{path}: cannot be written: {error.strerror or error}") from None
