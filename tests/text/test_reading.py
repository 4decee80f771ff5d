"""Reading files, folders, globs, gzip and standard input, in pieces cut anywhere."""

import gzip
import hashlib
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.errors import CorpusError, ReadError
from charnn.text.corpus import Corpus
from charnn.text.reading import read_blocks, read_text
from tests.helpers.blocks import SIZES, TEXTS, pieces_of


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


@given(st.lists(TEXTS, min_size=1, max_size=3), SIZES, st.booleans(), st.booleans())
def test_texts_are_the_same_wherever_their_pieces_are_cut(
    scratch: Path, texts: list[str], size: int, zipped: bool, normal: bool
) -> None:
    paths = [str(scratch / f"{k}{'.gz' if zipped else ''}") for k in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        raw = text.encode()
        Path(path).write_bytes(gzip.compress(raw) if zipped else raw)
    # Each text loses its own byte-order mark.
    whole = "".join(text.removeprefix("\ufeff") for text in texts)
    if normal:
        whole = whole.replace("\r\n", "\n").replace("\r", "\n")
    with pieces_of(size):
        assert read_text(paths, normalize_newlines=normal, separator="") == whole
        if len(whole) < 2:
            return
        read = Corpus.from_text(read_blocks(paths, normalize_newlines=normal, separator=""))
    assert read.vocabulary.characters == "".join(sorted(set(whole)))
    assert read.vocabulary.decode(read.ids) == whole
    assert read.fingerprint == hashlib.sha256(whole.encode()).hexdigest()


@given(st.lists(st.sampled_from([b"a", b"\n", *map(bytes, zip("é€😀".encode()))])), SIZES)
def test_the_first_wrong_byte_is_named_wherever_pieces_are_cut(
    scratch: Path, parts: list[bytes], size: int
) -> None:
    raw, path = b"".join(parts), scratch / "bytes.txt"
    path.write_bytes(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        with pieces_of(size), pytest.raises(ReadError) as caught:
            read_text([str(path)])
        line = raw.count(b"\n", 0, error.start) + 1
        wrong = f"byte 0x{raw[error.start]:02x} at offset {error.start}"
        assert str(caught.value).startswith(f"{path}:{line}: not UTF-8 text: {wrong};")
    else:
        with pieces_of(size):
            assert read_text([str(path)]) == text


def test_reading_reports_its_progress(scratch: Path) -> None:
    path, told = scratch / "long.txt", list[tuple[int, int | None]]()
    path.write_text("ab" * 100_000)
    zipped = scratch / "long.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    size = 200_000 + zipped.stat().st_size
    pieces = read_blocks(
        [str(path), str(zipped)], separator="", on_read=lambda *sizes: told.append(sizes)
    )
    text = "".join(pieces)
    assert len(text) == 400_000
    assert {total for _, total in told} == {size}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == size
    assert len(told) > 6


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of texts, which is the current directory."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"b.txt": "beta ", "a.txt": "älpha ", "10.txt": "ten ", "c.md": "no"}.items():
        Path(name).write_text(text, encoding="utf-8")
    with gzip.open("z.gz", "wb") as file:
        file.write(b"zipped ")
    return tmp_path


def test_files_gzips_folders_and_globs_are_read_and_joined_in_order(folder: Path) -> None:
    assert read_text(["a.txt"]) == "älpha "
    assert read_text(["b.txt", "z.gz", "a.txt"], separator="") == "beta zipped älpha "
    assert read_text([str(folder)]) == read_text(["*.txt"]) == "ten \nälpha \nbeta "
    assert read_text(["[bz].*"]) == "beta \nzipped "


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder: Path) -> None:
    Path("[a].txt").write_text("literal")
    assert read_text(["[a].txt"]) == "literal"


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO("\ufeffpipé\r\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw, encoding="ascii"))
    assert read_text(["-"]) == "pipé\r\n"


def test_the_byte_order_mark_is_dropped_and_line_ends_are_kept(folder: Path) -> None:
    Path("dos.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text(["dos.txt"]) == "one\r\ntwo\rthree\n"
    assert read_text(["dos.txt"], normalize_newlines=True) == "one\ntwo\nthree\n"


def read_error(path: str) -> str:
    with pytest.raises(CorpusError) as caught:
        read_text([path])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("start", "offset"), [(b"", 6), (b"\xef\xbb\xbf", 9)])
def test_a_byte_that_is_not_utf8_is_named_with_line_and_offset(
    folder: Path, start: bytes, offset: int
) -> None:
    Path("bad.txt").write_bytes(start + b"one\ntw\xe9\nthree\n")
    found = read_error("bad.txt")
    assert found.startswith(f"bad.txt:2: not UTF-8 text: byte 0xe9 at offset {offset}; ")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nope.txt", "nope.txt: No such file or directory"),
        ("nope/*.txt", "nope/*.txt: no file matches"),
        ("empty", "empty: a folder without *.txt files"),
        ("a\0b", ""),
        ("x" * 300, "x" * 300 + ": File name too long"),
        ("x" * 300 + "*", "x" * 300 + "*: "),
    ],
)
def test_a_path_that_leads_nowhere_is_one_line(folder: Path, path: str, message: str) -> None:
    Path("empty").mkdir()
    assert read_error(path).startswith(message)


def test_a_gzip_file_damaged_anywhere_is_one_line(folder: Path) -> None:
    whole = gzip.compress(b"to be or not to be, " * 40, mtime=0)
    Path("z.gz").write_bytes(whole[:-12])
    assert read_error("z.gz").startswith("z.gz: not a whole gzip file: ")
    for place in range(10, len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        Path("z.gz").write_bytes(damaged)
        assert read_error("z.gz").startswith("z.gz: not a whole gzip file: ")


TEXTS_OF_FILES = st.lists(st.sampled_from(["", "a", "b\n", "c\r", "é\n\n", "d\r\n"]), max_size=4)


@given(TEXTS_OF_FILES, SIZES, st.booleans())
def test_files_are_joined_by_a_line_end_where_one_is_missing(
    scratch: Path, texts: list[str], size: int, normal: bool
) -> None:
    paths = [str(scratch / f"join{k}") for k in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        Path(path).write_bytes(text.encode())
    whole, added = "", 0
    for text in texts:
        if text and whole and whole[-1] not in "\r\n":
            whole, added = whole + "\n", added + 1
        whole += text
    notes: list[str] = []
    with pieces_of(size):
        pieces = read_blocks(paths, normalize_newlines=normal, on_note=notes.append)
        joined = "".join(pieces)
    assert joined == (whole.replace("\r\n", "\n").replace("\r", "\n") if normal else whole)
    assert [note[: note.index(" of")] for note in notes] == ([str(added)] if added else [])


def test_a_separator_comes_between_all_files(folder: Path) -> None:
    assert read_text(["a.txt", "b.txt", "10.txt"], separator="--\n") == "älpha --\nbeta --\nten "
    assert read_text(["a.txt"], separator="--\n") == "älpha "
