"""A file that is no checkpoint, or that numpy would not write, is refused in one line."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnn.checkpoint.checkpoint import load
from charnn.errors import CheckpointError
from tests.helpers.checkpoints import (
    H,
    arrays_of,
    assert_same,
    flip,
    header,
    make_checkpoint,
    npy_file,
    refusal,
    repack,
)
from tests.helpers.commands import refused


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nope.npz") == "No such file or directory"
    assert refusal(tmp_path) == "Is a directory"


@pytest.mark.parametrize("content", [b"", b"to be or not to be\n", b"PK\x03\x04", b"PK\x05\x06"])
def test_a_file_of_another_kind_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refusal(path)


def test_a_pipe_is_refused(tmp_path: Path, good: bytes) -> None:
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    words = "not a file; write the checkpoint to a file first"
    assert words in refused(1, "info", "--ckpt", "pipe.npz", cwd=tmp_path)  # nobody writes into it
    held = os.open(pipe, os.O_RDWR)
    os.write(held, good[:1000])
    assert refusal(pipe) == words
    os.close(held)


def test_a_checkpoint_cut_short_anywhere_is_refused(path: Path, good: bytes) -> None:
    for size in [*range(0, len(good), 101), len(good) - 1]:
        path.write_bytes(good[:size])
        refusal(path)


def test_one_flipped_byte_in_an_array_is_refused(path: Path, good: bytes) -> None:
    for name, array in arrays_of(make_checkpoint()).items():
        place = good.index(array.tobytes()) + array.nbytes // 2
        path.write_bytes(flip(good, place, 1))
        assert "Bad CRC-32" in refusal(path), name


def assert_refused_or_same(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        loaded = load(path)
    except CheckpointError:
        refusal(path)
    else:
        assert_same(loaded, make_checkpoint())


@settings(max_examples=300)
@given(place=st.integers(0), mask=st.integers(1, 255))
def test_one_flipped_byte_anywhere_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, place: int, mask: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    assert_refused_or_same(path, flip(good, place % len(good), mask))


@pytest.mark.parametrize("offset", range(4, 46))
@pytest.mark.parametrize("mask", [0x20, 0x40, 0xFF])
def test_a_directory_entry_that_is_spoiled_is_refused_or_ignored(
    path: Path, good: bytes, offset: int, mask: int
) -> None:
    # Zip readers treat these fields specially: versions, encryption, patches, compression.
    assert_refused_or_same(path, flip(good, good.index(b"PK\x01\x02") + offset, mask))


B0 = make_checkpoint().model.parameters["b0"].tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        npy_file(header(shape="(1000000000000,)"), B0),
        npy_file(header(shape="(1000000000000, 1000000000000)"), B0),
        npy_file(header("'<U0'", shape="(1000000000000,)")),
        npy_file(header(shape="(-3,)"), B0),
        npy_file(header(shape="(0,)")),
        npy_file(header(shape="(" + "1, " * 70 + ")"), bytes(4)),
        npy_file(header(shape=f"({H}, 1)"), B0),
        npy_file(header(), B0[:-1]),
        npy_file(header(), B0 + b"\0"),
        npy_file(header("'|O'"), B0),
        npy_file(header("'>f4'"), B0),
        npy_file(header("[('a', '<f4')]"), B0),
        npy_file(header("'<M8[s]'", shape="()"), bytes(8)),
        npy_file(header(fortran_order="True"), B0),
        npy_file(header(), B0, version=b"\x02\x00"),
        npy_file(header(), B0, version=b"\x09\x00"),
        npy_file(header(shape="(3L,)"), B0),  # numpy warns: written by Python 2
        npy_file(" " * 20_000 + header(), B0),  # numpy's message has several lines
        npy_file("{[]: 1}"),
        npy_file("{1: 2, 'a': 3}"),
        npy_file("{"),
        npy_file("'''"),
        npy_file("(" * 500),
        npy_file("-" * 9000 + "1"),
        npy_file(b"\xff\n"),
    ],
)
def test_an_array_that_numpy_would_not_have_written_so_is_refused(
    path: Path, content: bytes
) -> None:
    # The right header and array are accepted.
    repack(path, "b0.npy", npy_file(header(), B0))
    assert_same(load(path), make_checkpoint())
    repack(path, "b0.npy", content)
    refusal(path)


@settings(max_examples=100)
@given(st.text("{}[]()'\"#\\,:-1.<f4escrap \n\0", max_size=40))
def test_a_header_of_any_text_is_refused(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "header.npz"
    path.write_bytes(good)
    repack(path, "b0.npy", npy_file(text, B0))
    refusal(path)


def test_compressed_members_are_refused(path: Path) -> None:
    with np.load(path) as archive:
        np.savez_compressed(path, **dict(archive))
    assert "is compressed" in refusal(path)


def test_two_members_of_one_name_are_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        c = archive.read("c.npy")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("c.npy", c)
    assert refusal(path) == "member 'c' is there twice"


@pytest.mark.parametrize("name", ["notes.npy", "../c.npy", "c.npy.npy", "x" * 500 + "\n"])
def test_a_member_of_another_name_is_refused(path: Path, name: str) -> None:
    repack(path, name, npy_file(header(), B0))
    assert refusal(path).startswith("unexpected member ")
