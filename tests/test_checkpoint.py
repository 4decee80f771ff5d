"""Checkpoints: exact, atomic, and refused in one line when anything about them is wrong."""

import errno
import json
import os
import resource
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from numpy.typing import NDArray

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.checkpoint.members import checksum
from charnn.checkpoint.progress import Progress
from charnn.config.keys import Config
from charnn.errors import CheckpointError
from charnn.files import write_atomically
from charnn.network.network import RNN
from charnn.optimizers import make_optimizer
from charnn.text.vocabulary import Vocabulary

Members = dict[str, NDArray[Any]]
H, B = 3, 2


def make(num_layers: int = 1, *, resumable: bool = True, **training: Any) -> Checkpoint:
    """Return a small checkpoint in which no two numbers are alike."""
    values = {f"training.{key}": value for key, value in training.items()}
    config = Config().with_values(
        {"model.hidden_size": H, "model.num_layers": num_layers, "training.seed": 2**63 - 1}
        | {"data.path": ("prüfung.txt",)}
        | values
    )
    vocabulary = Vocabulary("\n aé😀")
    model = RNN(len(vocabulary), H, num_layers, "tanh", config.training.dtype)
    rng = np.random.default_rng(1)
    flat = model.parameters.flat
    flat[...] = rng.normal(size=flat.shape)
    checkpoint = Checkpoint(config, vocabulary, model, Progress(fingerprint="f" * 64, step=7))
    checkpoint.progress.nats = 0.1 + 0.2
    checkpoint.progress.best_val_loss = 1 / 3
    if resumable:
        checkpoint.hidden_state = rng.normal(size=(num_layers, B, H)).astype(flat.dtype)
        names = [*make_optimizer(config.training, flat).slots]
        names += ["theta"] if config.training.ema_decay else []
        checkpoint.slots = {name: rng.normal(size=flat.shape).astype(flat.dtype) for name in names}
    return checkpoint


def arrays(checkpoint: Checkpoint) -> Members:
    state = {} if checkpoint.hidden_state is None else {"hidden_state": checkpoint.hidden_state}
    return {**checkpoint.model.parameters, **state, **checkpoint.slots}


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.config == other.config
    assert one.vocabulary == other.vocabulary
    assert one.progress == other.progress
    assert one.resumable == other.resumable
    assert one.model.activation == other.model.activation
    ours, theirs = arrays(one), arrays(other)
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert (array.dtype, array.shape) == (theirs[name].dtype, theirs[name].shape)
        assert array.tobytes() == theirs[name].tobytes()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a whole checkpoint."""
    path = tmp_path_factory.mktemp("good") / "run.npz"
    make().save(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, good: bytes) -> Path:
    """A whole checkpoint, to be spoiled."""
    path = tmp_path / "run.npz"
    path.write_bytes(good)
    return path


def refusal(path: Path) -> str:
    """Return why a file is refused: one line that names it."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    assert caught.value.exit_code == 1
    return message.removeprefix(f"{path}: ").removeprefix("not a usable checkpoint: ")


# --- round trip ----------------------------------------------------------------------------------


@pytest.mark.parametrize("resumable", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(
    ("dtype", "optimizer"),
    [("float32", "adam"), ("float64", "rmsprop"), ("float64", "sgd"), ("float32", "adagrad")],
)
def test_what_was_saved_is_loaded_bit_for_bit(
    tmp_path: Path, dtype: str, optimizer: str, num_layers: int, resumable: bool
) -> None:
    ema_decay = 0.5 if optimizer == "adam" else 0.0
    saved = make(
        num_layers, resumable=resumable, dtype=dtype, optimizer=optimizer, ema_decay=ema_decay
    )
    saved.save(tmp_path / "run.npz")
    assert_same(load(tmp_path / "run.npz"), saved)


def test_numpy_alone_reads_every_member(path: Path) -> None:
    checkpoint = make()
    P, K = checkpoint.model.parameters.flat.size, len(checkpoint.vocabulary)
    with np.load(path, allow_pickle=False) as members:
        assert {name: members[name].shape for name in members.files} == {
            "format_version": (),
            "checksum": (),
            "config": (),
            "progress": (),
            "vocabulary": (K,),
            "U0": (H, K),
            "W0": (H, H),
            "b0": (H,),
            "V": (K, H),
            "c": (K,),
            "hidden_state": (1, B, H),
            "optimizer.m": (P,),
            "optimizer.v": (P,),
        }
        assert members["format_version"] == 1
        assert json.loads(str(members["config"]))["model"]["hidden_size"] == H
        assert json.loads(str(members["progress"]))["step"] == 7
        assert "".join(map(chr, members["vocabulary"])) == "\n aé😀"
        assert np.array_equal(members["V"], checkpoint.model.parameters["V"])


def test_the_best_checkpoint_holds_no_memory_of_training(tmp_path: Path) -> None:
    make(resumable=False).save(tmp_path / "run.best.npz")
    with np.load(tmp_path / "run.best.npz") as members:
        assert not [name for name in members.files if "optimizer" in name or "state" in name]
    assert not load(tmp_path / "run.best.npz").resumable


# --- atomic writing ------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), ValueError(), KeyboardInterrupt()]
)
def test_a_write_that_fails_midway_leaves_the_old_file_alone(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")

    def write(file: IO[bytes]) -> None:
        file.write(b"new and longer")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["old"]


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_another(
    path: Path, noting: Callable[..., list[str]]
) -> None:
    done = noting((os, "fsync"), (Path, "replace"))
    make().save(path)
    assert done == ["fsync", "replace", "fsync"]  # the file, and at last its folder


def test_a_full_disk_leaves_the_old_checkpoint_alone(path: Path, good: bytes) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, limits[1]))
    try:
        with pytest.raises(CheckpointError) as caught:
            make().save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"{path}: cannot be written: File too large"
    assert path.read_bytes() == good
    assert names(path.parent) == [path.name]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        make().save(tmp_path / "no" / "run.npz")
    assert str(caught.value) == (
        f"{tmp_path / 'no' / 'run.npz'}: cannot be written: No such file or directory"
    )
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(CheckpointError, match="Is a directory"):
        make().save(tmp_path / "folder.npz")
    assert names(tmp_path) == ["folder.npz"]


def test_an_error_without_a_number_still_says_what_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def savez(*_: Any, **__: Any) -> None:
        raise OSError("7 requested and 0 written")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(CheckpointError, match="cannot be written: 7 requested and 0 written"):
        make().save(path)


def test_a_checkpoint_has_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "any").write_bytes(b"")
    make().save(tmp_path / "run.npz")
    assert (tmp_path / "run.npz").stat().st_mode == (tmp_path / "any").stat().st_mode


# --- files that are no checkpoint ----------------------------------------------------------------


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nope.npz") == "No such file or directory"
    assert refusal(tmp_path) == "Is a directory"


@pytest.mark.parametrize("content", [b"", b"to be or not to be\n", b"PK\x03\x04", b"PK\x05\x06"])
def test_a_file_of_another_kind_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refusal(path)


def test_a_checkpoint_cut_short_anywhere_is_refused(path: Path, good: bytes) -> None:
    for size in [*range(0, len(good), 101), len(good) - 1]:
        path.write_bytes(good[:size])
        refusal(path)


def test_one_flipped_byte_in_an_array_is_refused(path: Path, good: bytes) -> None:
    for name, array in arrays(make()).items():
        place = good.index(array.tobytes()) + array.nbytes // 2
        path.write_bytes(flip(good, place, 1))
        assert "Bad CRC-32" in refusal(path), name


def flip(content: bytes, place: int, mask: int) -> bytes:
    return content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :]


def assert_refused_or_same(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        loaded = load(path)
    except CheckpointError:
        refusal(path)
    else:
        assert_same(loaded, make())


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
    # Zip readers have special cases here: versions, encryption, patches, compression.
    assert_refused_or_same(path, flip(good, good.index(b"PK\x01\x02") + offset, mask))


# --- zip files that numpy would not have written -------------------------------------------------


def npy_file(header: str | bytes, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """Return a .npy file with a header of one's own."""
    raw = header.encode() if isinstance(header, str) else header
    return npy.MAGIC_PREFIX + version + struct.pack("<H", len(raw)) + raw + body


def repack(path: Path, name: str, content: bytes, **options: Any) -> None:
    """Replace (or add) one member of the zip."""
    with zipfile.ZipFile(path) as archive:
        raw = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for member, old in ({name: b""} | raw).items():
            archive.writestr(member, content if member == name else old)


def header(descr: str = "'<f4'", fortran_order: str = "False", shape: str = f"({H},)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran_order}, 'shape': {shape}, }}\n"


B0 = make().model.parameters["b0"].tobytes()


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
    # The array itself is the right one.
    repack(path, "b0.npy", npy_file(header(), B0))
    assert_same(load(path), make())
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


# --- sealed files that contradict themselves -----------------------------------------------------


def spoil(path: Path, changes: Mapping[str, Any], *, seal: bool = True) -> None:
    """Replace members (None: leave out; a function: apply) and compute the checksum anew."""
    with np.load(path) as archive:
        members: dict[str, Any] = dict(archive)
    for name, change in changes.items():
        old = members.pop(name, None)
        if change is not None:
            members[name] = np.asarray(change(old) if callable(change) else change)
    if seal and "checksum" in members and not any(m.dtype.hasobject for m in members.values()):
        del members["checksum"]
        members["checksum"] = np.array(checksum(members))
    np.savez(path, **members)


def put(*place: int, value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that changes one element of a copy."""

    def change(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array[place] = value
        return array

    return change


def in_json(section: str, **values: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that changes keys in a section of JSON text."""

    def change(text: NDArray[Any]) -> NDArray[Any]:
        tree = json.loads(str(text))
        (tree[section] if section else tree).update(values)
        return np.array(json.dumps(tree))

    return change


def test_sealing_again_unchanged_is_accepted(path: Path) -> None:
    # So that the refusals below are for what they spoil.
    spoil(path, {"V": lambda V: V.copy()})
    assert_same(load(path), make())


def test_a_change_without_a_new_seal_is_refused(path: Path) -> None:
    spoil(path, {"V": lambda V: V + 1}, seal=False)
    assert refusal(path) == "the checksum does not match: the file was damaged or changed"


def test_no_member_can_be_left_out_or_added(path: Path, good: bytes) -> None:
    with np.load(path) as members:
        every = list(members.files)
    for name in every:
        spoil(path, {name: None})
        found = refusal(path)
        assert name in found or name == "hidden_state", found
        path.write_bytes(good)
    for name in ("U1", "W7", "optimizer.x"):
        spoil(path, {name: np.zeros(3, np.float32)})
        assert refusal(path) == f"unexpected member {name!r}"
        path.write_bytes(good)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"U0": lambda U: U.astype(object)}, "U0 has a type or layout that is not allowed"),
        ({"U0": np.asfortranarray}, "U0 has a type or layout that is not allowed"),
        ({"U0": lambda U: U.astype(np.float64)}, "U0 is float64 (3, 5), expected float32 (3, 5)"),
        ({"U0": lambda U: U.astype(">f4")}, "U0 is >f4 (3, 5), expected float32 (3, 5)"),
        ({"V": lambda V: V.T.copy()}, "V is float32 (3, 5), expected float32 (5, 3)"),
        ({"c": lambda c: c[None]}, "c is float32 (1, 5), expected float32 (5,)"),
        ({"hidden_state": lambda h: h[0]}, "hidden_state is float32 (2, 3), expected"),
        ({"optimizer.m": lambda m: m[1:]}, "optimizer.m is float32"),
        ({"W0": put(1, 2, value=np.nan)}, "W0 holds values that are not finite"),
        ({"hidden_state": put(0, 1, 2, value=np.inf)}, "hidden_state holds values that are not"),
        ({"optimizer.v": put(4, value=-np.inf)}, "optimizer.v holds values that are not finite"),
        ({"format_version": 2}, "format version 2; this charnn reads version 1"),
        ({"format_version": 2, "averaged": 1}, "format version 2; this charnn reads version 1"),
        ({"format_version": 1.0}, "format_version is float64"),
        ({"format_version": [1]}, "format_version is int64 (1,)"),
        ({"vocabulary": np.array([1, 2, 2, 3, 4], np.uint32)}, "the vocabulary repeats"),
        ({"vocabulary": np.array([2, 1, 3, 4, 5], np.uint32)}, "the vocabulary repeats"),
        ({"vocabulary": np.array([1, 2, 3, 4, 0x110000], np.uint32)}, "the vocabulary is not a"),
        ({"vocabulary": np.array([1, 2, 3, 4, 0xD800], np.uint32)}, "the vocabulary is not a"),
        ({"vocabulary": np.array([[1, 2, 3, 4, 5]], np.uint32)}, "the vocabulary is not a"),
        ({"vocabulary": np.uint32(5)}, "the vocabulary is not a"),
        ({"vocabulary": lambda v: v.astype(np.int64)}, "vocabulary is int64"),
        ({"vocabulary": lambda v: v[1:]}, "U0 is float32 (3, 5), expected float32 (3, 4)"),
        ({"config": "not JSON"}, ""),
        ({"config": 5}, "config is int64"),
        ({"config": in_json("model", hidden_size=4)}, "U0 is float32 (3, 5), expected float32 (4,"),
        ({"config": in_json("model", hidden_size=10**18)}, "U0 is float32 (3, 5), expected"),
        ({"config": in_json("model", num_layers=2)}, "U1 is missing"),
        ({"config": in_json("model", num_layers=10**12)}, ""),
        ({"config": in_json("model", hidden_size=0)}, "model.hidden_size must be >= 1, got 0"),
        ({"config": in_json("model", colour="red")}, "unknown key model.colour"),
        (
            {"config": in_json("training", dtype="float64")},
            "U0 is float32 (3, 5), expected float64",
        ),
        ({"config": in_json("training", optimizer="adagrad")}, "optimizer.s is missing"),
        ({"config": in_json("training", optimizer="sgd")}, "unexpected member 'optimizer.m'"),
        ({"progress": "not JSON"}, "its progress is not valid: "),
        ({"progress": in_json("", luck=1)}, "its progress is not valid: "),
        ({"progress": in_json("", step="7")}, "its progress is not valid: "),
        ({"progress": in_json("", step=-1)}, "its progress is not valid: "),
        ({"progress": in_json("", nats=float("nan"))}, "its progress is not valid: "),
    ],
)
def test_a_sealed_file_that_contradicts_itself_is_refused(
    path: Path, changes: dict[str, Any], reason: str
) -> None:
    spoil(path, changes)
    found = refusal(path)
    assert found.removeprefix("member ").startswith(reason), found
