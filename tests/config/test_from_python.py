"""A config made in Python is checked, and errors are those of charnn."""

from typing import Any

import pytest

import charnn


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
