"""Weights for PyTorch and from PyTorch: files in the safetensors format.

The names and layouts are those of a module with `rnn = nn.RNN(K, H, L)`, or nn.LSTM or nn.GRU, and
`output = nn.Linear(H, K)`:

    rnn.weight_ih_l0 …      (G·H, K), above the first layer (G·H, H)      U
    rnn.weight_hh_l0 …      (G·H, H)                                      W
    rnn.bias_ih_l0 …        (G·H,)                                        b
    rnn.bias_hh_l0 …        (G·H,)                                        0, and a GRU's d
    output.weight           (K, H)                                        V
    output.bias             (K,)                                          c

A file from another program may have a prefix before these names. It may also have an nn.Embedding
E, (K, n), whose rows the first layer reads: U = weight_ih_l0 Eᵀ. Reading checks everything.
docs/pytorch.md has examples.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.errors import CharnnError, CheckpointError, ConfigError, RequestError

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save
except ImportError:
    raise CharnnError(
        "this needs safetensors, which is not installed: pip install 'charnn[safetensors]'"
    ) from None

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.checkpoint.members import MAX_TEXT
from charnn.checkpoint.progress import NO_TEXT, Progress
from charnn.config.keys import Config
from charnn.config.loading import parse_config_json
from charnn.config.writing import config_json
from charnn.modules import Tensors, check_shapes, parts_of
from charnn.network.cells import CELLS, cell_class
from charnn.network.cells.cell import Activation
from charnn.network.network import Network
from charnn.showing import BOUNDARY, one_line, show_value
from charnn.text.vocabulary import Vocabulary

_NUMBERS = {"F16", "F32", "F64"}
# Bounds of the header, which is JSON and has 16 MB with a vocabulary of all of Unicode. Without
# them a file of 100 MB takes minutes and gigabytes.
_MAX_HEADER = 20_000_000  # bytes
_MAX_COMMAS = 200_000  # four or more for each tensor


def tensors_of(network: Network) -> Tensors:
    """Return the parameters of a network by PyTorch's names."""
    found: Tensors = {}
    for layer in range(network.num_layers):
        own = network.parameters.of_layer(layer)
        U, W, b = (own.pop(letter) for letter in "UWb")
        pair = network.spec.cell_class.pytorch_biases(b, own)
        found[f"rnn.weight_ih_l{layer}"], found[f"rnn.weight_hh_l{layer}"] = U, W
        found[f"rnn.bias_ih_l{layer}"], found[f"rnn.bias_hh_l{layer}"] = pair
    V, c = network.parameters["V"], network.parameters["c"]
    return found | {"output.weight": V, "output.bias": c}


def exported(checkpoint: Checkpoint) -> bytes:
    """Return a model as a safetensors file: the tensors, and the metadata that a reader needs.

    The metadata are `cell`, `activation`, `vocabulary` (the characters in the order of their ids,
    as a JSON string) and `config` (JSON).
    """
    model = checkpoint.model
    metadata = {
        "format": "pt",
        "cell": model.spec.cell,
        "activation": model.activation,
        "vocabulary": json.dumps(checkpoint.vocabulary.characters),
        "config": config_json(checkpoint.config),
    }
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors_of(model).items()}
    return save(tensors, metadata)


def imported(
    path: Path, characters: str | None = None, activation: Activation | None = None
) -> Checkpoint:
    """Read a model from a safetensors file.

    Args:
        path: of the file.
        characters: those of the model in the order of their ids; None takes the file's metadata.
        activation: of an nn.RNN; None takes that of the metadata, or tanh.

    Raises:
        CheckpointError: if the file is not such a model. One line names the file and the reason.
        RequestError: if neither `characters` nor the file has the characters.
    """
    tensors, metadata = _read(path)
    try:
        return _built(tensors, metadata, characters, activation)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None
    except (CharnnError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def _read(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Return all tensors of a file and its metadata."""
    try:
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            tensors: Tensors = {}
            names = file.keys()
            for name in names:
                kind = file.get_slice(name).get_dtype()
                if kind not in _NUMBERS:
                    raise CheckpointError(
                        f"{path}: {show_value(name)} has numbers of type {show_value(kind)}; "
                        "save the module in float32 first: module.float()"
                    )
                tensors[name] = file.get_tensor(name)
            return tensors, file.metadata() or {}
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, ValueError, OverflowError) as error:
        reason = one_line(f"{error!s:.200}")  # it may quote a name in the file
        raise CheckpointError(f"{path}: not a safetensors file: {reason}") from None


def _check_header(path: Path) -> None:
    """Refuse a header that would take too long to parse."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(min(size, _MAX_HEADER + 1))
    if len(header) > _MAX_HEADER or header.count(b",") > _MAX_COMMAS:
        raise ValueError("the header is too long for one model")


def _built(
    tensors: Tensors,
    metadata: Mapping[str, str],
    characters: str | None,
    activation: Activation | None,
) -> Checkpoint:
    kinds = {array.dtype for array in tensors.values()}
    dtype = "float64" if np.dtype(np.float64) in kinds else "float32"
    parts = parts_of({name: array.astype(dtype, copy=False) for name, array in tensors.items()})
    layers, H = len(parts.recurrent), parts.recurrent[0]["weight_hh"].shape[1]
    cell = _cell_of(parts.recurrent[0]["weight_hh"], H)
    K = len(parts.output)
    check_shapes(parts, cell_class(cell).gates * H, H)
    ordered, order = _vocabulary(characters, metadata, K)
    config = _config(metadata, BOUNDARY in ordered.characters).with_values(
        {
            "model.cell": cell,
            "model.hidden_size": H,
            "model.num_layers": layers,
            "model.activation": _activation(cell, metadata, activation),
            "training.dtype": dtype,
        }
    )
    model = Network.from_config(config.model, K, dtype)
    for layer, found in enumerate(parts.recurrent):
        own = model.parameters.of_layer(layer)
        U, W, b = (own.pop(letter) for letter in "UWb")
        weight = found["weight_ih"]
        biases = [found.get(name, np.zeros(len(b), dtype)) for name in ("bias_ih", "bias_hh")]
        with np.errstate(all="ignore"):  # the check below reports an overflow
            if layer == 0 and parts.embedding is not None:
                weight = weight @ parts.embedding.T
            model.spec.cell_class.take_pytorch_biases(biases[0], biases[1], b, own)
        U[...] = weight if layer else weight[:, order]
        W[...] = found["weight_hh"]
    model.parameters["V"][...] = parts.output[order]
    if parts.output_bias is not None:
        model.parameters["c"][...] = parts.output_bias[order]
    if not np.isfinite(model.parameters.flat).all():
        raise ValueError("it has numbers that are not finite")
    return Checkpoint(config, ordered, model, Progress(fingerprint=NO_TEXT))


def _cell_of(W: NDArray[Any], H: int) -> str:
    """Return the cell whose W has this number of rows."""
    for name in CELLS:
        if cell_class(name).gates * H == len(W):
            return name
    raise ValueError(f"weight_hh_l0 of shape {W.shape} fits no cell: {', '.join(CELLS)}")


def _activation(
    cell: str, metadata: Mapping[str, str], activation: Activation | None
) -> Activation:
    wanted = activation or metadata.get("activation", "tanh")
    if wanted not in ("tanh", "relu"):
        raise ValueError(f"its activation is {show_value(wanted)}, neither tanh nor relu")
    if cell != "rnn" and wanted != "tanh":
        raise RequestError(f"{wanted} is for nn.RNN; this is another cell, {cell}")
    return "relu" if wanted == "relu" else "tanh"


def _vocabulary(
    characters: str | None, metadata: Mapping[str, str], K: int
) -> tuple[Vocabulary, NDArray[np.intp]]:
    """Return the vocabulary, whose ids follow the code points, and the model's id of each."""
    if characters is None:
        if "vocabulary" not in metadata:
            raise RequestError(
                "it does not list its characters; give them by --vocabulary FILE, "
                "in the order of their ids"
            )
        try:
            characters = json.loads(metadata["vocabulary"])
        except (ValueError, RecursionError):
            characters = None
        if not isinstance(characters, str):
            raise ValueError("the vocabulary in its metadata is not a JSON string")
    if len(characters) != K:
        raise RequestError(f"the vocabulary has {len(characters):,} characters, the model {K:,}")
    if len(set(characters)) != K:
        raise RequestError("the vocabulary repeats a character")
    if any(0xD800 <= ord(character) < 0xE000 and character != BOUNDARY for character in characters):
        raise RequestError("the vocabulary has half of a character of UTF-16")
    points = np.array([ord(character) for character in characters])
    return Vocabulary(characters), np.argsort(points)


def _config(metadata: Mapping[str, str], has_boundary: bool) -> Config:
    """Return the config in the metadata, without its paths of texts."""
    config = Config()
    if "config" in metadata:
        if len(metadata["config"]) > MAX_TEXT:
            raise ValueError(f"the config in its metadata has more than {MAX_TEXT:,} characters")
        try:
            config = parse_config_json(metadata["config"])
        except ConfigError as error:
            raise ValueError(f"the config in its metadata is not valid: {error}") from None
    if (config.data.documents is not None) != has_boundary:
        raise ValueError("its config and the boundary in its vocabulary contradict each other")
    return config.with_values({"data.path": (), "data.val_path": None, "data.test_path": None})
