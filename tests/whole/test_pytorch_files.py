"""The code of docs/pytorch.md, and models that PyTorch saved. This needs PyTorch."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.checkpoint.progress import NO_TEXT, Progress
from charnn.config.keys import Config, ModelConfig
from charnn.exchange import exported, imported
from charnn.network.network import Network
from charnn.text.vocabulary import Vocabulary
from tests.helpers.places import ROOT

torch: Any = pytest.importorskip("torch")
CASES = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]
TEXT = "To be"


def logits(checkpoint: Checkpoint, text: str) -> Any:
    ids = checkpoint.vocabulary.encode(text)[:, None]
    return checkpoint.model.logits(ids, checkpoint.model.zero_state())[:, 0]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("cell", "activation"), CASES)
def test_the_lines_of_the_docs_give_the_same_logits(
    cell: str, activation: Any, layers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(9, 6, layers, activation, cell=cell)
    network.parameters.flat[...] = np.random.default_rng(1).normal(0, 0.5, network.num_parameters)
    config = Config(
        model=ModelConfig(cell=cell, hidden_size=6, num_layers=layers, activation=activation)
    )
    here = Checkpoint(config, Vocabulary("To be中😀\nx"), network, Progress(fingerprint=NO_TEXT))
    (tmp_path / "run1.safetensors").write_bytes(exported(here))
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    lines = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(lines, names)
    found = names["o"].detach().numpy()
    np.testing.assert_allclose(found, logits(here, TEXT), rtol=0, atol=1e-5)


@pytest.mark.parametrize("embedded", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("cell", "activation"), CASES)
def test_a_model_of_pytorch_gives_the_same_logits_here(
    cell: str, activation: str, layers: int, embedded: bool, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(layers)
    characters = "b Teo\n"
    K, H, n = len(characters), 7, 4 if embedded else len(characters)
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    options = {"nonlinearity": activation} if cell == "rnn" else {}
    parts = {"body": kind(n, H, layers, **options), "head": torch.nn.Linear(H, K)}
    if embedded:
        parts["letters"] = torch.nn.Embedding(K, n)
    module = torch.nn.ModuleDict(parts)
    save_file(module.state_dict(), tmp_path / "m.safetensors")
    found = imported(
        tmp_path / "m.safetensors", characters, "relu" if activation == "relu" else None
    )
    ids = torch.tensor([characters.index(character) for character in TEXT])
    x = module["letters"](ids) if embedded else torch.nn.functional.one_hot(ids, K).float()
    expected = module["head"](module["body"](x)[0]).detach().numpy()
    order = [characters.index(character) for character in found.vocabulary.characters]
    np.testing.assert_allclose(logits(found, TEXT), expected[:, order], rtol=0, atol=1e-5)


def test_the_example_of_saving_is_read(tmp_path: Path) -> None:
    """The test writes stoi.json as the docs do."""
    stoi = {character: index for index, character in enumerate("ba\n")}
    with (tmp_path / "stoi.json").open("w") as file:
        json.dump(stoi, file)
    from charnn.commands.import_ import _characters

    assert _characters(tmp_path / "stoi.json") == "ba\n"
