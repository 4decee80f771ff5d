"""Models in safetensors files: round trips, files of other programs, and hostile files."""

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.checkpoint.progress import NO_TEXT, Progress
from charnn.config.keys import Config, DataConfig, ModelConfig, TrainingConfig
from charnn.errors import CheckpointError, RequestError
from charnn.exchange import exported, imported, tensors_of
from charnn.network.network import Network
from charnn.showing import BOUNDARY
from charnn.text.vocabulary import Vocabulary

CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]


def model(cell: str, activation: Any = "tanh", characters: str = "abcé中😀") -> Checkpoint:
    vocabulary = Vocabulary(characters)
    network = Network(len(vocabulary), 5, 2, activation, cell=cell)
    rng = np.random.default_rng(1)
    network.parameters.flat[...] = rng.normal(0, 0.5, network.num_parameters)
    config = Config(
        data=DataConfig(documents="lines" if BOUNDARY in characters else None),
        model=ModelConfig(cell=cell, hidden_size=5, num_layers=2, activation=activation),
        training=TrainingConfig(learning_rate=0.5),
    )
    return Checkpoint(config, vocabulary, network, Progress(fingerprint="ab" * 32))


def logits(checkpoint: Checkpoint, text: str) -> Any:
    ids = checkpoint.vocabulary.encode(text)[:, None]
    return checkpoint.model.logits(ids, checkpoint.model.zero_state())


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_a_round_trip_keeps_the_model(cell: str, activation: str, tmp_path: Path) -> None:
    before = model(cell, activation)
    (tmp_path / "m.safetensors").write_bytes(exported(before))
    found = imported(tmp_path / "m.safetensors")
    assert found.vocabulary == before.vocabulary
    np.testing.assert_array_equal(found.model.parameters.flat, before.model.parameters.flat)
    assert found.config.model == before.config.model
    assert found.config.training.learning_rate == 0.5
    assert found.progress.fingerprint == NO_TEXT
    found.save(tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    np.testing.assert_array_equal(logits(again, "中aé"), logits(before, "中aé"))


def test_documents_keep_their_boundary(tmp_path: Path) -> None:
    before = model("rnn", characters="ab" + BOUNDARY)
    (tmp_path / "m.safetensors").write_bytes(exported(before))
    found = imported(tmp_path / "m.safetensors")
    assert found.vocabulary.boundary == before.vocabulary.boundary is not None
    assert found.config.data.documents == "lines"


def test_the_names_and_shapes_are_those_of_pytorch() -> None:
    tensors = tensors_of(model("gru").model)
    assert {name: array.shape for name, array in tensors.items()} == {
        "rnn.weight_ih_l0": (15, 6),
        "rnn.weight_hh_l0": (15, 5),
        "rnn.bias_ih_l0": (15,),
        "rnn.bias_hh_l0": (15,),
        "rnn.weight_ih_l1": (15, 5),
        "rnn.weight_hh_l1": (15, 5),
        "rnn.bias_ih_l1": (15,),
        "rnn.bias_hh_l1": (15,),
        "output.weight": (6, 5),
        "output.bias": (6,),
    }


def saved(path: Path, tensors: dict[str, Any], **metadata: str) -> Path:
    save_file(
        {name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, metadata
    )
    return path


def test_a_file_of_others_has_any_prefix_an_embedding_and_its_own_order(tmp_path: Path) -> None:
    """The file has characters in the order "cab", E of width 4, other names and two biases."""
    rng = np.random.default_rng(0)
    E, H = rng.normal(size=(3, 4)).astype(np.float32), 5
    tensors = {
        "net.encoder.weight": E,
        "net.lstm.weight_ih_l0": rng.normal(size=(4 * H, 4)).astype(np.float32),
        "net.lstm.weight_hh_l0": rng.normal(size=(4 * H, H)).astype(np.float32),
        "net.lstm.bias_ih_l0": rng.normal(size=4 * H).astype(np.float32),
        "net.lstm.bias_hh_l0": rng.normal(size=4 * H).astype(np.float32),
        "head.weight": rng.normal(size=(3, H)).astype(np.float32),
        "head.bias": rng.normal(size=3).astype(np.float32),
    }
    found = imported(saved(tmp_path / "m.safetensors", tensors), "cab")
    p = found.model.parameters
    for place, character in enumerate("cab"):
        ours = found.vocabulary.characters.index(character)
        U = tensors["net.lstm.weight_ih_l0"] @ E[place]
        np.testing.assert_allclose(p["U0"][:, ours], U, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(p["V"][ours], tensors["head.weight"][place])
        assert p["c"][ours] == tensors["head.bias"][place]
    both = tensors["net.lstm.bias_ih_l0"] + tensors["net.lstm.bias_hh_l0"]
    np.testing.assert_allclose(p["b0"], both, rtol=1e-6)
    assert found.config.model.cell == "lstm"


def test_a_gru_of_others_has_two_biases_of_each_gate(tmp_path: Path) -> None:
    """The biases of r and u are summed. The second bias of n is d, which r multiplies."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih_l0": (15, 2),
        "weight_hh_l0": (15, 5),
        "bias_ih_l0": (15,),
        "bias_hh_l0": (15,),
        "fc.weight": (2, 5),
    }
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    p = imported(saved(tmp_path / "m.safetensors", tensors), "ab").model.parameters
    first, second = tensors["bias_ih_l0"], tensors["bias_hh_l0"]
    np.testing.assert_array_equal(p["b0"][:10], first[:10] + second[:10])
    np.testing.assert_array_equal(p["b0"][10:], first[10:])
    np.testing.assert_array_equal(p["d0"], second[10:])


def test_modules_without_biases_and_of_other_precisions(tmp_path: Path) -> None:
    for kind, dtype in ((np.float16, "float32"), (np.float64, "float64")):
        rng = np.random.default_rng(0)
        tensors = {
            "weight_ih_l0": rng.normal(size=(5, 3)).astype(kind),
            "weight_hh_l0": rng.normal(size=(5, 5)).astype(kind),
            "fc.weight": rng.normal(size=(3, 5)).astype(kind),
        }
        found = imported(saved(tmp_path / f"{dtype}.safetensors", tensors), "abc", "relu")
        assert found.config.training.dtype == str(found.model.dtype) == dtype
        assert found.model.activation == "relu"
        assert not found.model.parameters["b0"].any()
        np.testing.assert_array_equal(found.model.parameters["W0"], tensors["weight_hh_l0"])


def test_half_precision_is_widened_before_it_is_multiplied(tmp_path: Path) -> None:
    tensors = {
        "embedding.weight": np.full((2, 3), 300, np.float16),
        "weight_ih_l0": np.full((5, 3), 300, np.float16),  # 300 · 300 · 3 overflows float16
        "weight_hh_l0": np.ones((5, 5), np.float16),
        "fc.weight": np.ones((2, 5), np.float16),
    }
    found = imported(saved(tmp_path / "m.safetensors", tensors), "ab")
    assert (found.model.parameters["U0"] == 270_000).all()


def test_what_overflows_is_one_line_without_a_warning(tmp_path: Path) -> None:
    tensors = {name: np.full_like(array, 3e38) for name, array in GOOD.items()}
    tensors["bias_hh_l0"] = tensors["bias_ih_l0"]
    with pytest.raises(CheckpointError, match="not finite"):
        imported(saved(tmp_path / "m.safetensors", tensors), "abc")


GOOD = {
    "weight_ih_l0": np.ones((5, 3), np.float32),
    "weight_hh_l0": np.ones((5, 5), np.float32),
    "bias_ih_l0": np.ones(5, np.float32),
    "fc.weight": np.ones((3, 5), np.float32),
    "fc.bias": np.ones(3, np.float32),
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight_ih_l0": None}, "weight_ih_l0 is missing"),
        ({"weight_hh_l0": None}, "weight_hh_l0 is missing"),
        ({"weight_ih_l0": np.ones((5, 3, 1), np.float32)}, "weight_ih_l0 is not a matrix"),
        ({"weight_ih_l0": np.ones((5, 7), np.float32)}, "weight_ih_l0 must have the shape (5, 3)"),
        ({"weight_hh_l0": np.ones((10, 5), np.float32)}, "fits no cell: rnn, lstm, gru"),
        ({"weight_hh_l0": np.ones((5, 0), np.float32)}, "has no columns"),
        ({"bias_ih_l0": np.ones(4, np.float32)}, "bias_ih_l0 must have the shape (5,)"),
        ({"weight_hh_l0_reverse": np.ones((5, 5), np.float32)}, "bidirectional"),
        ({"weight_hr_l0": np.ones((5, 5), np.float32)}, "proj_size"),
        ({"b.weight_ih_l0": np.ones((5, 3), np.float32)}, "two weight_ih_l0"),
        ({"weight_ih_l2": np.ones((5, 3), np.float32)}, "it has no weight_ih_l0"),
        ({"fc.weight": None}, "no matrix with 5 columns could be the output layer"),
        ({"fc.bias": np.ones(4, np.float32)}, "fc.bias must have the shape (3,)"),
        ({"ln.weight": np.ones(5, np.float32)}, "more than a recurrent network"),
        ({"e.weight": np.ones((4, 3), np.float32)}, "different numbers of characters"),
        ({"e.weight": np.ones((3, 9), np.float32)}, "no matrix with 3 columns could be the emb"),
        ({"weight_hh_l0": np.full((5, 5), np.nan, np.float32)}, "not finite"),
        ({"weight_hh_l0": np.ones((5, 5), np.int32)}, "numbers of type I32"),
    ],
)
def test_what_is_no_such_model_is_one_clear_line(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    tensors = {name: array for name, array in (GOOD | changes).items() if array is not None}
    with pytest.raises(CheckpointError) as error:
        imported(saved(tmp_path / "m.safetensors", tensors), "abc")
    assert words in str(error.value)
    assert "m.safetensors: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("metadata", "characters", "words"),
    [
        ({}, None, "give them by --vocabulary FILE"),
        ({}, "ab", "the vocabulary has 2 characters, the model 3"),
        ({}, "aab", "repeats a character"),
        ({"vocabulary": "abc"}, None, "not a JSON string"),
        ({"vocabulary": "[" * 100_000}, None, "not a JSON string"),
        ({"vocabulary": '"ab\\udc00"'}, None, "half of a character"),
        ({"vocabulary": '"ab\\ud800"'}, None, "contradict each other"),
        ({"config": "{}x"}, "abc", "the config in its metadata is not valid"),
        ({"activation": "selu"}, "abc", "its activation is selu"),
    ],
)
def test_metadata_are_not_trusted(
    metadata: dict[str, str], characters: str | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises((CheckpointError, RequestError)) as error:
        imported(saved(tmp_path / "m.safetensors", GOOD, **metadata), characters)
    assert words in str(error.value)


def test_gates_have_no_activation_to_choose(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(exported(model("gru")))
    with pytest.raises(RequestError, match=r"relu is for nn\.RNN"):
        imported(tmp_path / "m.safetensors", activation="relu")


def test_broken_files(tmp_path: Path) -> None:
    whole = exported(model("rnn"))
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}})
    huge = (1 << 62).to_bytes(8, "little") + b"{}"
    overlong = len(header).to_bytes(8, "little") + header.encode() + b"1234"
    for content in (b"", b"PK", whole[:-1], whole[:40], whole + b"x", huge, overlong):
        (tmp_path / "m.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match="not a safetensors file"):
            imported(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="No such file"):
        imported(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError):
        imported(tmp_path)


def written(path: Path, shapes: dict[str, list[int]], **metadata: str) -> Path:
    """Write a file of float32 zeros with these shapes and metadata."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    content = json.dumps(header).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + bytes(end))
    return path


def test_shapes_are_checked_before_memory_is_allocated(tmp_path: Path) -> None:
    """Ask for a product of 100 GB, and for 3,000 layers of which only one has tensors."""
    rows, K = 160_000, 160_000
    wide = {
        "weight_ih_l0": [rows, 1],
        "weight_hh_l0": [1, 1],
        "out.weight": [K, 1],
        "e.weight": [K, 1],
    }
    wide["out.bias"] = [K]
    with pytest.raises(CheckpointError, match=r"weight_ih_l0 must have the shape \(1, 1\)"):
        imported(
            written(tmp_path / "m.safetensors", wide),
            "".join(map(chr, range(0x10000, 0x10000 + K))),
        )
    deep = {"weight_ih_l0": [1000, 1], "weight_hh_l0": [1000, 1000], "out.weight": [1, 1000]}
    for layer in range(1, 3000):
        deep |= {f"weight_ih_l{layer}": [0, 1], f"weight_hh_l{layer}": [1, 0]}
    path = written(tmp_path / "m.safetensors", deep)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="_l1 must have the shape"):
            imported(path, "a")
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_a_bias_that_is_a_matrix_is_no_embedding(tmp_path: Path) -> None:
    shapes = {
        "weight_ih_l0": [5, 3],
        "weight_hh_l0": [5, 5],
        "fc.weight": [3, 5],
        "fc.bias": [3, 3],
    }
    with pytest.raises(CheckpointError, match=r"fc\.bias must have the shape \(3,\)"):
        imported(written(tmp_path / "m.safetensors", shapes), "abc")


def test_a_header_that_would_take_long_is_refused_unread(tmp_path: Path) -> None:
    path = written(tmp_path / "m.safetensors", {f"tensor{i}": [0] for i in range(60_000)})
    with pytest.raises(CheckpointError, match="the header is too long for one model"):
        imported(path, "abc")


def test_a_config_as_long_as_no_checkpoint_holds_is_refused(tmp_path: Path) -> None:
    config = json.dumps({f"key{i}": 1 for i in range(30_000)})
    with pytest.raises(CheckpointError, match="more than 250,000 characters"):
        imported(saved(tmp_path / "m.safetensors", GOOD, config=config), "abc")


def test_names_in_a_broken_header_are_escaped(tmp_path: Path) -> None:
    path = written(tmp_path / "m.safetensors", {"\x1b[31m\n\u202e": [1]})
    path.write_bytes(path.read_bytes()[:-1])
    header = path.read_bytes().replace(b"[0, 4]", b"[9, 4]")
    path.write_bytes(header)
    with pytest.raises(CheckpointError) as error:
        imported(path, "abc")
    assert str(error.value).isprintable()
