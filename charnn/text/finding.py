"""Finds the files of a path: one file, the texts of a folder, or the matches of a glob."""

import glob
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from charnn.errors import ReadError

Order = Literal["natural", "name"]

_PACKED = (".gz", ".xz", ".bz2")
_MOST_LOOKED_AT = 10_000  # entries of a folder, for a hint


def files_named(paths: Sequence[str], order: Order = "natural") -> list[str]:
    """Return the files of paths. Standard input stays `-`.

    Args:
        paths: files, folders and globs, which are kept in this order.
        order: of the files of a folder or a glob. `natural` compares numbers by their value:
            chapter2 comes before chapter10. `name` is the order of version 0.1.0: names are
            compared as strings, and compressed texts of a folder are left out.

    Raises:
        ReadError: if a folder has no texts, or nothing matches a glob.
    """
    files: list[str] = []
    for path in paths:
        try:
            files += _expand(path, order)
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror or error}") from None
        except ValueError as error:
            raise ReadError(f"{path}: {error}") from None
    return files


def _expand(given: str, order: Order) -> list[str]:
    if not given:
        raise ReadError("the path of a text is empty")
    if given == "-" or Path(given).is_file():
        return [given]
    if Path(given).is_dir():
        return _ordered(_texts_in(Path(given), order), order)
    if any(mark in given for mark in "*?["):
        # Path.glob refuses absolute patterns.
        found = [path for path in glob.glob(given, recursive=True) if Path(path).is_file()]  # noqa: PTH207
        if not found:
            hint = "; in a pattern, [[] stands for the character [" if "[" in given else ""
            raise ReadError(f"{given}: no file matches{hint}")
        return _ordered(found, order)
    return [given]


def _ordered(files: Iterable[str], order: Order) -> list[str]:
    return sorted(files, key=natural_key) if order == "natural" else sorted(files)


def natural_key(path: str) -> tuple[list[str | int], str]:
    """Return a key that sorts paths by the values of the numbers in them."""
    # Every second part is a number, so parts at the same place can be compared.
    parts = re.split("([0-9]+)", path)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path


def _texts_in(folder: Path, order: Order) -> list[str]:
    names = {entry.name for entry in folder.iterdir() if entry.is_file()}
    texts = {name for name in names if name.endswith(".txt")}
    if order == "natural":  # a text that occurs twice is read once
        packed = {name: name.rsplit(".", 1)[0] for name in names if name.endswith(_PACKED)}
        texts |= {n for n, text in packed.items() if text.endswith(".txt") and text not in texts}
    if not texts:
        raise ReadError(f"{folder}: a folder without *.txt files{_other_files(folder)}")
    return [str(folder / name) for name in texts]


def _other_files(folder: Path) -> str:
    """Return the most frequent ending in a folder without texts, and how to name such files."""
    for pattern, depth in (("*", ""), ("**/*", "**/")):
        entries = islice(folder.glob(pattern), _MOST_LOOKED_AT)
        kinds = Counter(
            entry.suffix
            for entry in entries
            if entry.suffix and not entry.name.startswith(".") and entry.is_file()
        )
        if kinds:
            kind, count = kinds.most_common(1)[0]
            where = " in its folders" if depth else ""
            return f'; it has {count:,} *{kind}{where}: give "{folder}/{depth}*{kind}"'
    return ""


def lasting(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths that can be read again later; a pipe of any kind becomes `-`."""
    return tuple("-" if _is_read_once(path) else path for path in paths)


def _is_read_once(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def standard_input_is_a_file() -> bool:
    """Return whether standard input is a file, so that reading does not wait."""
    return sys.stdin is not None and file_size("-") is not None


def file_size(path: str) -> int | None:
    """Return the size of a file in bytes, or None if only reading shows it."""
    try:
        status = os.fstat(0) if path == "-" else Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
