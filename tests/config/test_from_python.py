"""A config made in Python is checked, and its errors are charnn's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charnn

make: Any = charnn.Config  # mypy must not reject the wrong arguments


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (
            "ModelConfig",
            {"hiden_size": 3},
            "unknown key hiden_size; did you mean model.hidden_size?",
        ),
        (
            "Config",
            {"model": {"lr": 3}},
            "unknown key model.lr; did you mean training.learning_rate?",
        ),
        ("Config", {"trainin": {}}, "unknown key trainin; did you mean training?"),
        ("TrainingConfig", {"max_steps": 1.5}, "max_steps must be a whole number, got 1.5"),
        (
            "DataConfig",
            {"val_fraction": 0.5, "test_fraction": 0.6},
            "val_fraction + test_fraction must be < 1, got 0.5 + 0.6",
        ),
    ],
)
def test_a_wrong_key_or_value_is_one_line(
    section: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(charnn.CharnnError) as caught:
        getattr(charnn, section)(**values)
    assert str(caught.value) == message


def test_a_right_one_is_a_config() -> None:
    config = charnn.Config(model=charnn.ModelConfig(hidden_size=3))
    assert (config.model.hidden_size, list(config.given())) == (3, [("model.hidden_size", 3)])


def test_several_mistakes_are_a_line_each() -> None:
    with pytest.raises(charnn.CharnnError) as caught:
        make(model={"num_layers": 0, "hiden_size": 3})
    assert str(caught.value).splitlines() == [
        "model.num_layers must be >= 1, got 0",
        "unknown key model.hiden_size; did you mean model.hidden_size?",
    ]


def test_a_dict_is_checked_like_arguments() -> None:
    assert charnn.Config.model_validate({"model": {"hidden_size": 3}}).model.hidden_size == 3
    with pytest.raises(charnn.CharnnError, match="model must be a section of keys, got 5"):
        charnn.Config.model_validate({"model": 5})


def test_whole_numbers_of_numpy_and_paths_are_accepted() -> None:
    config = make(
        data={"path": Path("a.txt"), "val_path": [Path("b.txt"), "c.txt"]},
        model={"hidden_size": np.int64(3)},
        output={"checkpoint": Path("a") / "b.npz"},
    )
    assert config.data.all_paths == ("a.txt", "b.txt", "c.txt")
    assert type(config.model.hidden_size) is int
    assert config.output.checkpoint == "a/b.npz"
