"""The content of a file decides: compressed texts are unpacked, other kinds are named."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from charnn.errors import ReadError
from charnn.text.reading import read_text

PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("xz", lzma.compress),
    ("bz2", bz2.compress),
]
TEXT = "to be, or not to be é " * 5_000


@pytest.mark.parametrize(("kind", "packed"), PACKERS)
@pytest.mark.parametrize("name", ["a.gz", "A.GZ", "a.xz", "a.bz2", "a.txt", "a"])
def test_the_bytes_say_how_a_text_is_compressed_not_the_name(
    tmp_path: Path, kind: str, packed: Callable[[bytes], bytes], name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(packed(TEXT.encode()) + packed(b" in two parts"))
    assert read_text([str(path)]) == TEXT + " in two parts"


class Pipe(io.BytesIO):
    """A pipe, which cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, place: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("stream", [Pipe, io.BytesIO])
@pytest.mark.parametrize("text", [TEXT, "", "a", "BZh91 is no archive"])
@pytest.mark.parametrize(("kind", "packed"), [*PACKERS, ("plain", lambda raw: raw)])
def test_standard_input_may_be_compressed(
    monkeypatch: pytest.MonkeyPatch,
    stream: type[io.BytesIO],
    text: str,
    kind: str,
    packed: Callable[[bytes], bytes],
) -> None:
    raw = stream(packed(text.encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))
    assert read_text(["-"]) == text


@pytest.mark.parametrize(("kind", "packed"), PACKERS)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, kind: str, packed: Callable[[bytes], bytes]
) -> None:
    whole = packed(TEXT.encode())
    path = tmp_path / "text"
    for cut in (len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        assert error(path).startswith(f"{path}: not a whole {kind} file: ")
    damaged = bytearray(whole)
    damaged[-6] ^= 0x55  # in the final checksum: bz2 finds earlier damage too late
    path.write_bytes(damaged)
    assert error(path).startswith(f"{path}: not a whole {kind} file: ")


def error(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read_text([str(path)])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "application/epub+zip" if name == "mimetype" else "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "kind", "mend"),
    [
        ("text".encode("utf-16"), "UTF-16 text", "iconv"),
        (b"\xfe\xff" + "text".encode("utf-16-be"), "UTF-16 text", "iconv"),
        ("text".encode("utf-32"), "UTF-32 text", "iconv"),
        (zipped("a.txt"), "a zip archive", "unzip"),
        (zipped("[Content_Types].xml", "word/document.xml"), "an Office document", "pandoc"),
        (zipped("mimetype"), "an EPUB book", "pandoc"),
        (zipped("format_version.npy"), "a NumPy archive, as a checkpoint is", "text"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF", "pdftotext"),
        (b"{\\rtf1\\ansi", "an RTF document", "pandoc"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", "pandoc"),
        (b"\x28\xb5\x2f\xfd\x24", "a zstd file", "zstdcat"),
    ],
)
def test_what_is_no_plain_text_is_named_with_the_way_to_a_text(
    tmp_path: Path, raw: bytes, kind: str, mend: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(raw)
    found = error(path)
    assert found.startswith(f"{path}: not plain text in UTF-8 but {kind}; ")
    assert mend in found
