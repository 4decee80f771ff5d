"""Checkpoints are exact and atomic; files that contradict themselves are refused in one line."""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charnn.checkpoint.checkpoint import load
from charnn.errors import CheckpointError
from tests.helpers.checkpoints import B, H, assert_same, in_json, make_checkpoint, refusal, spoil

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
    saved = make_checkpoint(
        num_layers, resumable=resumable, dtype=dtype, optimizer=optimizer, ema_decay=ema_decay
    )
    saved.save(tmp_path / "run.npz")
    assert_same(load(tmp_path / "run.npz"), saved)


def test_numpy_alone_reads_every_member(path: Path) -> None:
    checkpoint = make_checkpoint()
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
    make_checkpoint(resumable=False).save(tmp_path / "run.best.npz")
    with np.load(tmp_path / "run.best.npz") as members:
        assert not [name for name in members.files if "optimizer" in name or "state" in name]
    assert not load(tmp_path / "run.best.npz").resumable


# --- atomic writing ------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_another(
    path: Path, noting: Callable[..., list[str]]
) -> None:
    done = noting((os, "fsync"), (Path, "replace"))
    make_checkpoint().save(path)
    assert done == ["fsync", "replace", "fsync"]  # the last flush is that of the folder


def test_a_full_disk_leaves_the_old_checkpoint_alone(path: Path, good: bytes) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, limits[1]))
    try:
        with pytest.raises(CheckpointError) as caught:
            make_checkpoint().save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"{path}: cannot be written: File too large"
    assert path.read_bytes() == good
    assert names(path.parent) == [path.name]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        make_checkpoint().save(tmp_path / "no" / "run.npz")
    assert str(caught.value) == (
        f"{tmp_path / 'no' / 'run.npz'}: cannot be written: No such file or directory"
    )
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(CheckpointError, match="Is a directory"):
        make_checkpoint().save(tmp_path / "folder.npz")
    assert names(tmp_path) == ["folder.npz"]


def test_an_error_without_a_number_still_says_what_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def savez(*_: Any, **__: Any) -> None:
        raise OSError("7 requested and 0 written")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(CheckpointError, match="cannot be written: 7 requested and 0 written"):
        make_checkpoint().save(path)


def test_a_checkpoint_has_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "any").write_bytes(b"")
    make_checkpoint().save(tmp_path / "run.npz")
    assert (tmp_path / "run.npz").stat().st_mode == (tmp_path / "any").stat().st_mode


# --- sealed files that contradict themselves -----------------------------------------------------


def put(*place: int, value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that changes one element of a copy."""

    def change(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array[place] = value
        return array

    return change


def test_sealing_again_unchanged_is_accepted(path: Path) -> None:
    # So the changes alone cause the refusals below.
    spoil(path, {"V": lambda V: V.copy()})
    assert_same(load(path), make_checkpoint())


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
        ({"format_version": 3}, "format version 3; this charnn reads versions 1 and 2"),
        (
            {"format_version": 3, "averaged": 1},
            "format version 3; this charnn reads versions 1 and 2",
        ),
        ({"format_version": 1.0}, "format_version is float64"),
        ({"format_version": [1]}, "format_version is int64 (1,)"),
        ({"vocabulary": np.array([1, 2, 2, 3, 4], np.uint32)}, "the vocabulary repeats"),
        ({"vocabulary": np.array([2, 1, 3, 4, 5], np.uint32)}, "the vocabulary repeats"),
        ({"vocabulary": np.array([1, 2, 3, 4, 0x110000], np.uint32)}, "the vocabulary is not a"),
        ({"vocabulary": np.array([1, 2, 3, 4, 0xD800], np.uint32)}, "data.documents and the"),
        ({"vocabulary": np.array([1, 2, 3, 4, 0xD801], np.uint32)}, "the vocabulary is not a"),
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
