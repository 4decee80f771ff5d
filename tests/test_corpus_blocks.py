"""Long texts: read in short pieces, wherever these are cut, and kept out of memory."""

import gzip
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.showing import show_character
from charnn.text import blocks, spool
from charnn.text.corpus import Corpus
from charnn.text.encoding import UnknownCharactersError
from charnn.text.reading import ReadError, read_blocks, read_text
from charnn.text.vocabulary import Vocabulary

TEXTS = st.text("ab \r\né€😀\ufeff", max_size=20)
SIZES = st.sampled_from([1, 2, 3, 5, 8])
TRAIN = [sys.executable, "-m", "charnn", "train", "--out", "run.npz", "--max-steps", "2"]
TRAIN += ["--set", "model.hidden_size=8", "--set", "data.val_fraction=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


@contextmanager
def pieces_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        yield


@given(st.lists(TEXTS, min_size=1, max_size=3), SIZES, st.booleans(), st.booleans())
def test_texts_are_the_same_wherever_their_pieces_are_cut(
    folder: Path, texts: list[str], size: int, zipped: bool, normal: bool
) -> None:
    paths = [str(folder / f"{k}{'.gz' if zipped else ''}") for k in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        raw = text.encode()
        Path(path).write_bytes(gzip.compress(raw) if zipped else raw)
    # Each text in one piece, its own byte-order mark dropped.
    whole = "".join(text.removeprefix("\ufeff") for text in texts)
    if normal:
        whole = whole.replace("\r\n", "\n").replace("\r", "\n")
    with pieces_of(size):
        assert read_text(paths, normalize_newlines=normal) == whole
        if len(whole) < 2:
            return
        read = Corpus.from_text(read_blocks(paths, normalize_newlines=normal))
    assert read.vocabulary.characters == "".join(sorted(set(whole)))
    assert read.vocabulary.decode(read.ids) == whole
    assert read.fingerprint == hashlib.sha256(whole.encode()).hexdigest()


@given(st.lists(st.sampled_from([b"a", b"\n", *map(bytes, zip("é€😀".encode()))])), SIZES)
def test_the_first_wrong_byte_is_named_wherever_pieces_are_cut(
    folder: Path, parts: list[bytes], size: int
) -> None:
    raw, path = b"".join(parts), folder / "bytes.txt"
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


def unknown_ones(text: str, known: str) -> str:
    """Describe the characters of a text that are not known, place by place."""
    places: dict[str, str] = {}
    total, line, column = 0, 1, 1
    for character in text:
        if character not in known:
            total += 1
            shown = f"{show_character(character)} at line {line}, column {column}"
            places.setdefault(character, shown)
        line, column = (line + 1, 1) if character == "\n" else (line, column + 1)
    count = "1 character is" if total == 1 else f"{total} characters are"
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    few = "; ".join(list(places.values())[:5])
    return f"{count} not in the vocabulary ({len(places)} different): {few}{more}"


@given(st.text("abcdefg\né😀", max_size=40), st.text("abg\n", min_size=1), SIZES)
def test_unknown_characters_are_named_or_skipped_wherever_pieces_are_cut(
    text: str, known: str, size: int
) -> None:
    vocabulary = Vocabulary(known)
    kept = "".join(character for character in text if character in known)
    with pieces_of(size):
        assert vocabulary.decode(vocabulary.encode(text, unknown="skip")) == kept
    if kept != text:
        with pieces_of(size), pytest.raises(UnknownCharactersError) as caught:
            vocabulary.encode(text)
        assert str(caught.value) == unknown_ones(text, known)
    if len(kept) > 1:
        with pieces_of(size):
            skipping = Corpus.from_text(text, vocabulary=vocabulary, unknown="skip")
        assert vocabulary.decode(skipping.ids) == kept
        assert skipping.skipped == len(text) - len(kept)


@pytest.mark.parametrize("different", [3, 255, 256, 300, 70_000])
def test_the_ids_of_a_long_text_lie_in_a_file_without_a_name(
    different: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first characters take a byte each; later ones need wider numbers.
    points = [point for point in range(different + 0x800) if not 0xD800 <= point < 0xE000]
    text = "ba" * 5000 + "".join(map(chr, points[:different][::-1])) + "abc\n"
    plain = Corpus.from_text(text)
    assert plain.vocabulary.decode(plain.ids) == text
    monkeypatch.setattr(spool, "IN_MEMORY", 5000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = set(Path("/proc/self/fd").iterdir())
    long = Corpus.from_text(text)
    assert long.vocabulary == plain.vocabulary
    assert long.fingerprint == plain.fingerprint
    assert long.ids.dtype == plain.ids.dtype
    np.testing.assert_array_equal(long.ids, plain.ids)
    assert not long.ids.flags.writeable
    assert list(tmp_path.iterdir()) == []
    del long
    assert set(Path("/proc/self/fd").iterdir()) == files


def test_whoever_reads_is_told_how_far(folder: Path) -> None:
    path, told = folder / "long.txt", list[tuple[int, int | None]]()
    path.write_text("ab" * 100_000)
    zipped = folder / "long.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    size = 200_000 + zipped.stat().st_size
    text = "".join(read_blocks([str(path), str(zipped)], on_read=lambda *sizes: told.append(sizes)))
    assert len(text) == 400_000
    assert {total for _, total in told} == {size}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == size
    assert len(told) > 6


def long_text(folder: Path, megabytes: int) -> None:
    with (folder / "long.txt").open("wb") as file:
        for _ in range(megabytes):
            file.write(b"to be or not to be, \n" * 50_000)


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    long_text(tmp_path, 250)
    peak = 0
    with subprocess.Popen([*TRAIN, "--data", "long.txt", "--quiet"], cwd=tmp_path) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            anonymous = [line.split()[1] for line in status.splitlines() if "RssAnon" in line]
            peak = max(peak, *map(int, anonymous), 0)
            time.sleep(0.02)
    assert process.returncode == 0
    assert 10_000 < peak < 200_000  # kB, of which libraries and a model take the most


def test_a_full_disk_for_temporary_files_is_one_line(tmp_path: Path) -> None:
    long_text(tmp_path, 70)
    result = subprocess.run(
        [*TRAIN, "--data", "long.txt"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        # The limit of a file's size stands for a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"charnn: error: long.txt: {tmp_path}: File too large; a long text takes room there "
        "while it is read: name another folder by TMPDIR\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["long.txt"]
