"""Files, options and JSON become one config, or errors in a fixed order."""

import pytest

from charnn.config.keys import Config
from charnn.config.loading import Override, load_config, parse_config_json
from charnn.errors import ConfigError
from tests.helpers.configs import read, refusal


def test_given_is_just_what_was_written_in_the_order_of_the_sections() -> None:
    text = "training: {seed: null, epochs: 10, batch_size: 8}\nmodel: {num_layers: 2}\n"
    assert list(read(text, "data.path=a", "training.seed=4").given()) == [
        ("data.path", ("a",)),
        ("model.num_layers", 2),
        ("training.batch_size", 8),
        ("training.epochs", 10),
        ("training.seed", 4),
    ]
    assert list(Config().given()) == []


def test_all_errors_come_at_once_in_the_order_of_the_file_then_of_the_options() -> None:
    text = """
training:
  epochs: 0
  seed: -1
model:
  hidden_size: x
  num_layer: 2
  activation: tanh
data:
  path: 3
"""
    options = ("training.batch_size=0", "model.dropout=1", "training.seed=-2")
    assert refusal(text, *options).splitlines() == [
        "c.yaml:3: training.epochs must be >= 1, got 0",
        "c.yaml:6: model.hidden_size must be a whole number, got x",
        "c.yaml:7: unknown key model.num_layer; did you mean model.num_layers?",
        "c.yaml:10: data.path must be a path or a list of paths, got 3",
        "--set: training.batch_size must be >= 1, got 0",
        "--set: model.dropout must be < 1, got 1",
        "--set: training.seed must be >= 0, got -2",
    ]


def test_a_path_that_json_cannot_hold_is_refused_before_any_training() -> None:
    # Python decodes a file name that is not UTF-8 like this.
    with pytest.raises(ConfigError, match=r"^--data: data\.path"):
        load_config(None, {"data.path": Override(["caf\udce9.txt"], "--data")})


def test_json_that_is_no_config_is_one_line() -> None:
    for text in ("", "[]", '{"model": {"hidden_size": 0, "num_layers": 0}}', '{"x": 1}'):
        with pytest.raises(ConfigError) as caught:
            parse_config_json(text)
        assert "\n" not in str(caught.value)


def test_overrides_win_over_the_file() -> None:
    text = "training:\n  seed: 1\n  epochs: 2\n"
    config = read(text, "training.seed=5", "training.learning_rate=1e-4", "data.path=[a, b]")
    assert (config.training.seed, config.training.epochs) == (5, 2)
    assert (config.training.learning_rate, config.data.path) == (1e-4, ("a", "b"))
    assert read("model:\n", "model.num_layers=2").model.num_layers == 2


def test_an_override_may_hold_an_equals_sign() -> None:
    assert read("", "output.checkpoint=lr=1.npz").output.checkpoint == "lr=1.npz"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("training.seed", "--set training.seed: write it as section.key=value"),
        ("training.seed=[", "--set training.seed=[: not valid YAML: "),
        ("training.seed=*x", "--set training.seed=*x: not valid YAML: aliases are not allowed"),
        ("seed=5", "--set: unknown key seed; did you mean training.seed?"),
        ("training.epoch=5", "--set: unknown key training.epoch; did you mean training.epochs?"),
        ("nosuch.key=5", "--set: unknown key nosuch"),
        ("model=5", "--set: model must be a section of keys, got 5"),
        ("=5", "--set"),
    ],
)
def test_an_override_that_is_wrong_is_one_line(option: str, message: str) -> None:
    found = refusal("training:\n  seed: 1\n", option)
    assert found.startswith(message)
    assert "\n" not in found
