"""The one file that a command like `report` writes: its checks, and how it is written."""

from collections.abc import Iterable
from pathlib import Path
from typing import IO

from charnn.errors import CharnnError, RequestError
from charnn.files import refuse_existing, refuse_inputs, refuse_unwritable, write_atomically


def check_outfile(
    path: Path, endings: tuple[str, ...], overwrite: bool, inputs: Iterable[Path]
) -> None:
    """Check the value of --out before any work is done.

    Args:
        path: the file to write.
        endings: the endings that its name may have.
        overwrite: whether an existing file may be replaced.
        inputs: the files that the command reads.

    Raises:
        RequestError: if the file cannot or must not be written.
    """
    if path.suffix not in endings:
        raise RequestError(f"--out takes a name ending in {' or '.join(endings)}, got {path}")
    refuse_unwritable([path])
    refuse_inputs([path], inputs)
    if not overwrite:
        refuse_existing([path])


def write_outfile(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        CharnnError: if it cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        file.write(content)

    try:
        write_atomically(path, write)
    except OSError as error:
        raise CharnnError(f"{path}: cannot be written: {error.strerror or error}") from None
