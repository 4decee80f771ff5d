"""Reading UTF-8 text from files and standard input, in pieces, and joining several files."""

import codecs
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charnn.errors import ReadError
from charnn.ranks import ALONE, Ranks
from charnn.text import blocks
from charnn.text.finding import Order, file_size, files_named
from charnn.text.fingerprint import FINGERPRINT_BLOCK, begins_character
from charnn.text.unpacking import HEAD, is_packed, open_text


def read_text(
    paths: Sequence[str],
    *,
    normalize_newlines: bool = False,
    separator: str | None = None,
    order: Order = "natural",
) -> str:
    """Return the text of files, folders, globs or standard input, as one string.

    Example:
        text = charnn.read_text(["chapter1.txt", "more/"], normalize_newlines=True)

    Args and Raises are those of `charnn.read_blocks`.
    """
    blocks = read_blocks(
        paths, normalize_newlines=normalize_newlines, separator=separator, order=order
    )
    return "".join(blocks)


def read_blocks(
    paths: Sequence[str],
    *,
    normalize_newlines: bool = False,
    separator: str | None = None,
    order: Order = "natural",
    on_read: Callable[[int, int | None], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda note: None,
    ranks: Ranks = ALONE,
) -> Iterator[str]:
    """Read UTF-8 text from files, folders (their *.txt), globs, or standard input (`-`).

    A file that is compressed by gzip, xz or bz2 is unpacked. Byte-order marks are dropped. Line
    ends are kept unless `normalize_newlines`. The pieces are short, so a text may be larger than
    the memory.

    Example:
        corpus = charnn.Corpus.from_text(charnn.read_blocks(["large.txt.gz"]), val_fraction=0.1)

    Args:
        paths: what to read, in this order.
        normalize_newlines: turn \\r\\n and \\r into \\n.
        separator: the text between two files. None is a newline if a file does not end with one.
        order: of the files of a folder or a glob. `natural`: chapter2 comes before chapter10.
            `name`: names are compared as strings, and a folder's compressed texts are left out.
        on_read: called for each piece with the bytes read so far and the total, or None if the
            total is not known.
        on_note: called at the end with a message if line ends were added.
        ranks: of a run under MPI. Each reads one part of the text, in order. Rank 0 alone reads a
            text that is compressed, piped or short, or that needs normalizing or separators.

    Raises:
        ReadError: if a path cannot be read. It names the path and the reason.
    """
    shares = ranks.first(
        lambda: _divided(files_named(paths, order), ranks.size, normalize_newlines, separator)
    )
    pieces = _read_parts(shares[ranks.rank], separator, on_read, on_note)
    return _normalized(pieces) if normalize_newlines else pieces


def _normalized(pieces: Iterable[str]) -> Iterator[str]:
    held = ""  # A \r at the end of a piece waits here, because a \n may follow.
    for piece in pieces:
        joined = held + piece
        held = "\r" if joined.endswith("\r") else ""
        yield joined.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
    if held:
        yield "\n"


# --- which part of them --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """The bytes of a file from `start` to `end`, or to the end of the file."""

    path: str
    start: int = 0
    end: int | None = None

    def size(self) -> int | None:
        """Return the number of these bytes, or None if only reading shows it."""
        size = file_size(self.path) if self.end is None else self.end
        return None if size is None else size - self.start


def _divided(
    files: Sequence[str], count: int, normalize_newlines: bool, separator: str | None
) -> list[list[_Part]]:
    """Divide texts into consecutive shares; each starts at a block of the fingerprint."""
    undivided = [[_Part(path) for path in files], *([] for _ in range(count - 1))]
    if count == 1 or normalize_newlines or (separator and len(files) > 1):
        return undivided
    sizes = [_plain_size(path) for path in files]
    if None in sizes or (separator is None and not all(map(_ends_a_line, files[:-1]))):
        return undivided
    # For each file: where its text begins and ends in the whole text, and where its byte 0 would be
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
            # If the first byte of a block is inside a character, take a later block.
            while any(
                begin < at < end and not begins_character(_bytes_at(path, at - zero, 1)[0])
                for path, begin, end, zero in spans
            ):
                at += FINGERPRINT_BLOCK
            cuts.append(max(cuts[-1], min(at, total)))
    except (OSError, IndexError):
        return undivided  # Reading the file will report the problem.
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


def _plain_size(path: str) -> int | None:
    """Return the size of a text in bytes, or None if only reading shows it."""
    try:
        return None if path == "-" or is_packed(_bytes_at(path, 0, HEAD)) else file_size(path)
    except OSError:
        return None


def _ends_a_line(path: str) -> bool:
    size = file_size(path)
    return bool(size) and _bytes_at(path, (size or 0) - 1, 1) in (b"\n", b"\r")


# --- bytes to characters -------------------------------------------------------------------------


def _read_parts(
    parts: Sequence[_Part],
    separator: str | None,
    on_read: Callable[[int, int | None], None],
    on_note: Callable[[str], None],
) -> Iterator[str]:
    sizes = [part.size() for part in parts]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    before = added = 0
    last = "\n"  # the last character read so far
    for number, part in enumerate(parts):
        done, begun = 0, False
        if separator and number:
            yield separator
        for done, piece in _read_part(part):
            on_read(before + done, total)
            if separator is None and piece and not begun and last not in "\r\n":
                added += 1
                yield "\n"
            begun, last = begun or bool(piece), piece[-1:] or last
            yield piece
        before += done
    if added:
        on_note(
            f"{added:,} of the {len(parts):,} files do not end with a line end, so one is added "
            "after each of them (see data.separator)"
        )


def _read_part(part: _Part) -> Iterator[tuple[int, str]]:
    """Yield a part's text in pieces, each with the number of the part's bytes read so far."""
    path, read = part.path, part.start
    name = "standard input" if path == "-" else path
    line, begun, last = 1, part.start > 0, False
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_text(path, name) as (file, stored):
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
                yield (stored() if stored else read) - part.start, text
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


def _line_breaks(block: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))
