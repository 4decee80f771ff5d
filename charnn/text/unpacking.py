"""Opens a file as its first bytes require: plain text, compressed text, or no text at all."""

import bz2
import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO

from charnn.errors import ReadError

HEAD = 128  # bytes that identify the type of a file


_PACKED: dict[bytes, tuple[str, Callable[[Any], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"\xfd7zXZ\0": ("xz", lzma.open),
    b"BZh": ("bz2", bz2.open),
}
# One of these follows BZh and a digit, so that a text may begin with BZh.
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")

_UTF16 = "UTF-16 text", "convert it, as in: iconv -f UTF-16 -t UTF-8 FILE | charnn ... -"
_UTF32 = "UTF-32 text", "convert it, as in: iconv -f UTF-32 -t UTF-8 FILE | charnn ... -"
_DOCUMENT = "save it as plain text in UTF-8, or convert it, as in: pandoc -t plain FILE"

# Files that are no plain text: first bytes, type, and advice. The first match counts.
_OTHERS: list[tuple[bytes, str, str]] = [
    (codecs.BOM_UTF32_LE, *_UTF32),
    (codecs.BOM_UTF32_BE, *_UTF32),
    (codecs.BOM_UTF16_LE, *_UTF16),
    (codecs.BOM_UTF16_BE, *_UTF16),
    (b"%PDF-", "a PDF", "take its text out, as in: pdftotext FILE -"),
    (b"{\\rtf", "an RTF document", _DOCUMENT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", _DOCUMENT),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it, as in: zstdcat FILE | charnn ... -"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"\x93NUMPY", "a NumPy array", "give a text"),
]
_ZIPS: list[tuple[bytes, str, str]] = [
    (b".npy", "a NumPy archive, as a checkpoint is", "give a text"),
    (b"[Content_Types].xml", "an Office document", _DOCUMENT),
    (b"application/epub+zip", "an EPUB book", _DOCUMENT),
    (b"application/vnd.oasis", "an OpenDocument text", _DOCUMENT),
    (b"", "a zip archive", "unpack it, as in: unzip -p FILE | charnn ... -"),
]


def is_packed(head: bytes) -> bool:
    """Return whether a file with these first bytes is compressed in a format that charnn reads."""
    return _packing(head) is not None


def _packing(head: bytes) -> tuple[str, Callable[[Any], Any]] | None:
    if head.startswith(b"BZh") and head[4:10] not in _BZ2_BLOCKS:
        return None
    return next((how for start, how in _PACKED.items() if head.startswith(start)), None)


def _what_it_is(head: bytes) -> tuple[str, str] | None:
    if head.startswith(b"PK\3\4"):
        return next((what, mend) for mark, what, mend in _ZIPS if mark in head)
    return next(((what, mend) for start, what, mend in _OTHERS if head.startswith(start)), None)


@contextmanager
def open_text(path: str, name: str) -> Iterator[tuple[IO[bytes], Callable[[], int] | None]]:
    """Open a file, or standard input for `-`, and unpack it if it is compressed.

    Args:
        path: of the file.
        name: of the file, for errors.

    Yields:
        The bytes of the text. If they are unpacked, also a function that returns the number of
        bytes read from the file itself.

    Raises:
        ReadError: if the file cannot be read or is no text. It names the type and the remedy.
    """
    packing = None
    try:
        with _opened(path) as stored:
            head, whole = _begin(stored)
            if what := _what_it_is(head):
                raise ReadError(f"{name}: not plain text in UTF-8 but {what[0]}; {what[1]}")
            packing = _packing(head)
            if packing is None:
                yield whole, None
                return
            read = whole.tell if whole.seekable() else lambda: 0
            with packing[1](whole) as text:
                yield text, read
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise _not_whole(name, packing, error) from None
    except UnicodeError:
        raise
    except OSError as error:
        if error.errno is None and packing:  # bz2 reports bad data in this way
            raise _not_whole(name, packing, error) from None
        raise ReadError(f"{name}: {error.strerror or error}") from None
    except ValueError as error:
        raise ReadError(f"{name}: {error}") from None


def _not_whole(name: str, packing: tuple[str, Any] | None, error: Exception) -> ReadError:
    return ReadError(f"{name}: not a whole {packing[0] if packing else 'text'} file: {error}")


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path != "-":
        return Path(path).open("rb")
    if sys.stdin is None:
        raise ReadError("standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _begin(file: BinaryIO) -> tuple[bytes, IO[bytes]]:
    """Return the first bytes of a file, and the file at the same place as before."""
    if file.seekable():
        at = file.tell()
        head = file.read(HEAD)
        file.seek(at)
        return head, file
    head = file.read(HEAD)
    return head, io.BufferedReader(_Rejoined(head, file))


class _Rejoined(io.RawIOBase):
    """The first bytes of a pipe, and then the rest of it."""

    def __init__(self, head: bytes, rest: BinaryIO):
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._head[: len(buffer)]
        self._head = self._head[len(piece) :]
        piece = piece or self._rest.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
