"""Small checkpoints, whole and spoiled."""

import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy
from numpy.typing import NDArray

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.checkpoint.members import checksum
from charnn.checkpoint.progress import NO_TEXT, Progress
from charnn.config.keys import Config
from charnn.errors import CheckpointError
from charnn.network.network import RNN, Network
from charnn.optimizers import make_optimizer
from charnn.showing import BOUNDARY
from charnn.text.vocabulary import Vocabulary

Members = dict[str, NDArray[Any]]


H, B = 3, 2


def make_checkpoint(num_layers: int = 1, *, resumable: bool = True, **training: Any) -> Checkpoint:
    """Return a small checkpoint in which all numbers differ."""
    values = {f"training.{key}": value for key, value in training.items()}
    config = Config().with_values(
        {"model.hidden_size": H, "model.num_layers": num_layers, "training.seed": 2**63 - 1}
        | {"data.path": ("prüfung.txt",), "data.separator": "", "data.order": "name"}
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


def random_checkpoint(
    characters: str, cell: str = "rnn", *, documents: bool = False, **model: Any
) -> Checkpoint:
    """Return an untrained checkpoint whose parameters, biases included, are random.

    Args:
        characters: the vocabulary. A model of documents also has the boundary.
        cell: the cell of the network.
        documents: whether it is a model of documents.
        model: other keys of the config's section `model`.
    """
    values: dict[str, Any] = {f"model.{key}": value for key, value in model.items()}
    values["model.cell"] = cell
    if documents:
        values["data.documents"] = "lines"
    config = Config().with_values(values)
    vocabulary = Vocabulary(characters + BOUNDARY * documents)
    network = Network.from_config(config.model, len(vocabulary), config.training.dtype)
    network.initialize("uniform", seed=1)
    rng = np.random.default_rng(1)
    for name, parameter in network.parameters.items():
        if parameter.ndim == 1:
            parameter += rng.normal(0, 0.3, parameter.shape)
        if name[0] == "V":  # this makes some characters likely and others not
            parameter *= 4
    return Checkpoint(config, vocabulary, network, Progress(fingerprint=NO_TEXT))


def arrays_of(checkpoint: Checkpoint) -> Members:
    """Return the parameters, the hidden state and the slots of the optimizer by name."""
    state = {} if checkpoint.hidden_state is None else {"hidden_state": checkpoint.hidden_state}
    return {**checkpoint.model.parameters, **state, **checkpoint.slots}


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    """Check that two checkpoints are equal to the last bit."""
    assert one.config == other.config
    assert one.vocabulary == other.vocabulary
    assert one.progress == other.progress
    assert one.resumable == other.resumable
    assert one.model.activation == other.model.activation
    ours, theirs = arrays_of(one), arrays_of(other)
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert (array.dtype, array.shape) == (theirs[name].dtype, theirs[name].shape)
        assert array.tobytes() == theirs[name].tobytes()


def refusal(path: Path) -> str:
    """Return why a file is refused. The error is one line that names it."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    assert caught.value.exit_code == 1
    return message.removeprefix(f"{path}: ").removeprefix("not a usable checkpoint: ")


def flip(content: bytes, place: int, mask: int) -> bytes:
    """Flip the bits of a mask in one byte."""
    return content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :]


def npy_file(header: str | bytes, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """Return a .npy file with a given header."""
    raw = header.encode() if isinstance(header, str) else header
    return npy.MAGIC_PREFIX + version + struct.pack("<H", len(raw)) + raw + body


def repack(path: Path, name: str, content: bytes, **options: Any) -> None:
    """Replace or add one member of a zip file."""
    with zipfile.ZipFile(path) as archive:
        raw = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for member, old in ({name: b""} | raw).items():
            archive.writestr(member, content if member == name else old)


def header(descr: str = "'<f4'", fortran_order: str = "False", shape: str = f"({H},)") -> str:
    """Return the header of a .npy file; by default, the right one for b0."""
    return f"{{'descr': {descr}, 'fortran_order': {fortran_order}, 'shape': {shape}, }}\n"


def spoil(path: Path, changes: Mapping[str, Any], *, seal: bool = True) -> None:
    """Change members of a checkpoint and compute its checksum again.

    A change is a new value, a function of the old value, or None to remove the member.
    """
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


def in_json(section: str, **values: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that changes keys in a section of JSON text."""

    def change(text: NDArray[Any]) -> NDArray[Any]:
        tree = json.loads(str(text))
        (tree[section] if section else tree).update(values)
        return np.array(json.dumps(tree))

    return change
