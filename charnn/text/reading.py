"""Reading UTF-8 text from files, folders, globs, gzip files and standard input, in pieces."""

import codecs
import glob
import gzip
import itertools
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charnn.errors import CorpusError
from charnn.ranks import ALONE, Ranks
from charnn.text import blocks
from charnn.text.fingerprint import FINGERPRINT_BLOCK, begins_character


class ReadError(CorpusError):
    """A text that cannot be read."""


def read_text(paths: Sequence[str], *, normalize_newlines: bool = False) -> str:
    """Return the text that `read_blocks` reads, as one string."""
    return "".join(read_blocks(paths, normalize_newlines=normalize_newlines))


def read_blocks(
    paths: Sequence[str],
    *,
    normalize_newlines: bool = False,
    on_read: Callable[[int, int | None], None] = lambda done, total: None,
    ranks: Ranks = ALONE,
) -> Iterator[str]:
    """Read UTF-8 text from files, `.gz` files, folders (their *.txt, sorted), globs, or `-`.

    Several texts are joined without a separator. Byte-order marks are dropped. Line ends are kept
    unless `normalize_newlines`. The pieces are short, so a text may be longer than the memory.

    Args:
        paths: what to read, in this order.
        normalize_newlines: turn \\r\\n and \\r into \\n.
        on_read: called for each piece with the bytes read so far and the total, or None if the
            total is not known.
        ranks: each rank reads one part of the text, in the order of the ranks. Rank 0 reads all of
            a text that is compressed, piped, short or to be normalized.

    Raises:
        ReadError: if a path cannot be read. It names the path and the reason.
    """
    shares = ranks.first(lambda: _divided(files_named(paths), ranks.size, normalize_newlines))
    pieces = _read_parts(shares[ranks.rank], on_read)
    return _normalized(pieces) if normalize_newlines else pieces


def _normalized(pieces: Iterable[str]) -> Iterator[str]:
    held = ""  # A \r at the end of a piece waits here, because a \n may follow.
    for piece in pieces:
        joined = held + piece
        held = "\r" if joined.endswith("\r") else ""
        yield joined.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
    if held:
        yield "\n"


def lasting(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths to keep for reading the same text again; a pipe of any kind becomes `-`."""
    return tuple("-" if _is_read_once(path) else path for path in paths)


def _is_read_once(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def standard_input_is_a_file() -> bool:
    """Return whether standard input is a file, which nobody needs to wait for."""
    return sys.stdin is not None and _size("-") is not None


# --- which files ---------------------------------------------------------------------------------


def files_named(paths: Sequence[str]) -> list[str]:
    """Return the files that paths stand for, in order. Standard input stays `-`.

    Raises:
        ReadError: if a folder has no *.txt, or nothing matches a glob.
    """
    files: list[str] = []
    for path in paths:
        try:
            files += _expand(path)
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror or error}") from None
    return files


def _expand(given: str) -> list[str]:
    if not given:
        raise ReadError("the path of a text is empty")
    if given == "-" or Path(given).is_file():
        return [given]
    if Path(given).is_dir():
        texts = (path for path in Path(given).iterdir() if path.name.endswith(".txt"))
        files = sorted(str(path) for path in texts if path.is_file())
        if not files:
            raise ReadError(f"{given}: a folder without *.txt files")
        return files
    if any(mark in given for mark in "*?["):
        files = sorted(
            path
            # Path.glob refuses absolute patterns.
            for path in glob.glob(given, recursive=True)  # noqa: PTH207
            if Path(path).is_file()
        )
        if not files:
            raise ReadError(f"{given}: no file matches")
        return files
    return [given]


# --- which part of them --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """The bytes of a file from `start` to `end`, or to the end of the file."""

    path: str
    start: int = 0
    end: int | None = None

    def size(self) -> int | None:
        """Return how many bytes these are, or None if only reading them will show it."""
        size = _size(self.path) if self.end is None else self.end
        return None if size is None else size - self.start


def _divided(files: Sequence[str], count: int, normalize_newlines: bool) -> list[list[_Part]]:
    """Divide texts into consecutive shares, each beginning with a block of the fingerprint."""
    undivided = [[_Part(path) for path in files], *([] for _ in range(count - 1))]
    sizes = [None if p == "-" or p.endswith(".gz") else _size(p) for p in files]
    if count == 1 or normalize_newlines or None in sizes:
        return undivided
    # Of each file: where its text begins and ends in the whole text, and where its byte 0 would be
    # (3 bytes before the text if the file has a byte-order mark, which is not part of the text).
    spans = list[tuple[str, int, int, int]]()
    total = 0
    try:
        for path, size in zip(files, sizes, strict=True):
            zero = total - (3 if _bytes_at(path, 0, 3) == codecs.BOM_UTF8 else 0)
            spans.append((path, total, total := zero + (size or 0), zero))
        cuts = [0]
        for share in range(1, count):
            at = -(-total // FINGERPRINT_BLOCK) * share // count * FINGERPRINT_BLOCK
            # Where the first byte of a block is inside a character, take a later block.
            while any(
                begin < at < end and not begins_character(_bytes_at(path, at - zero, 1)[0])
                for path, begin, end, zero in spans
            ):
                at += FINGERPRINT_BLOCK
            cuts.append(max(cuts[-1], min(at, total)))
    except (OSError, IndexError):
        return undivided  # Reading the file will report what is wrong with it.
    return [
        [
            _Part(
                path,
                0 if first <= begin else first - zero,
                None if end <= last else last - zero,
            )
            for path, begin, end, zero in spans
            if max(begin, first) < min(end, last)
        ]
        for first, last in itertools.pairwise([*cuts, total])
    ]


def _bytes_at(path: str, at: int, count: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(at)
        return file.read(count)


def _size(path: str) -> int | None:
    """Return the size of a file in bytes, or None if only reading it will show it."""
    try:
        status = os.fstat(0) if path == "-" else Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


# --- bytes to characters -------------------------------------------------------------------------


def _read_parts(
    parts: Sequence[_Part], on_read: Callable[[int, int | None], None]
) -> Iterator[str]:
    sizes = [part.size() for part in parts]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    before = 0
    for part in parts:
        done = 0
        for done, piece in _read_part(part):
            on_read(before + done, total)
            yield piece
        before += done


def _read_part(part: _Part) -> Iterator[tuple[int, str]]:
    """Yield a part's text in pieces, each with how many of the part's bytes are read so far."""
    path, read = part.path, part.start
    name = "standard input" if path == "-" else path
    line, begun, last = 1, part.start > 0, False
    zipped = path.endswith(".gz")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with _opened(path) as raw, gzip.open(raw) if zipped else nullcontext(raw) as file:
            if part.start:
                file.seek(part.start)
            while not last:
                size = blocks.BLOCK if part.end is None else min(blocks.BLOCK, part.end - read)
                block = file.read(size)
                last = not block
                read += len(block)
                text = decoder.decode(block, last)
                line += _line_breaks(block)
                if text and not begun:
                    text, begun = text.removeprefix("\ufeff"), True
                yield (raw.tell() if zipped else read) - part.start, text
    except UnicodeDecodeError as error:
        # error.object may begin with bytes that the decoder kept from the block before.
        offset = read - (len(error.object) - error.start)
        line += error.object.count(b"\n", 0, error.start)
        for start, stop in blocks.spans(part.start):
            line += _line_breaks(_bytes_at(path, start, stop - start))
        wrong = error.object[error.start]
        raise ReadError(
            f"{name}:{line}: not UTF-8 text: byte 0x{wrong:02x} at offset {offset:,}; "
            "save it as plain text in UTF-8, or convert it, for instance with iconv"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ReadError(f"{name}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise ReadError(f"{name}: {error.strerror or error}") from None
    except ValueError as error:
        raise ReadError(f"{name}: {error}") from None


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path != "-":
        return Path(path).open("rb")
    if sys.stdin is None:
        raise ReadError("standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _line_breaks(block: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))
