"""charnn chooses some keys for the text if they are `auto` or left out."""

from pathlib import Path

import pytest

from charnn.config.keys import Config, section_models
from charnn.config.loading import load_config
from charnn.config.writing import commented_yaml
from tests.helpers.configs import KEYS, read, refusal

CHOSEN = [
    f"{section}.{name}"
    for section, model in section_models().items()
    for name in model.chosen_keys()
]
CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))


def test_sizes_length_rate_and_regularisation_are_chosen() -> None:
    assert {key.partition(".")[2] for key in CHOSEN} == {
        "hidden_size", "num_layers", "dropout", "batch_size", "seq_length", "epochs", "max_steps",
        "learning_rate", "warmup_steps", "clip_norm", "weight_decay", "ema_decay",
    }  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_auto_is_as_if_the_key_were_not_there(key: str) -> None:
    if key in CHOSEN:
        config = read("", f"{key}=auto")
        assert config == Config()
        assert list(config.given()) == []
    elif key not in ("data.path", "data.val_path", "data.test_path", "data.separator"):
        assert f"{key} must" in refusal("", f"{key}=auto")


def test_the_printed_defaults_show_auto_and_a_given_value() -> None:
    assert sum(": auto" in line for line in commented_yaml().splitlines()) == len(CHOSEN)
    text = commented_yaml(read("model: {hidden_size: 256}"))
    assert "hidden_size: 256" in text
    assert "num_layers: auto" in text


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configs_leave_nothing_to_be_chosen(path: Path) -> None:
    given = dict(load_config(path).given())
    assert set(CHOSEN) - given.keys() == {"training.epochs"}
    assert given["training.max_steps"]
