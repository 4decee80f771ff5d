"""Each error in a config is a short, printable line."""

import pytest

from charnn.config.keys import Config
from charnn.config.loading import parse_config_json
from charnn.config.writing import config_json
from tests.helpers.configs import read, refusal


def test_a_long_value_is_shown_short_and_control_characters_escaped() -> None:
    found = refusal('training:\n  optimizer: "' + "\\e[31m\\n" * 50 + '"\n')
    assert found.endswith("...")
    assert len(found) < 150
    assert found.isprintable()
    assert refusal('output:\n  checkpoint: "\\e[31m\\n"\n').isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mdel: {}", "c.yaml:1: unknown key mdel; did you mean model?"),
        ("learning_rate: 1", "c.yaml:1: unknown key learning_rate; did you mean training."),
        (
            "model:\n  hiden_size: 1",
            "c.yaml:2: unknown key model.hiden_size; did you mean model.hi",
        ),
        (
            "model:\n  epochs: 1",
            "c.yaml:2: unknown key model.epochs; did you mean training.epochs?",
        ),
        ("lr: 1", "c.yaml:1: unknown key lr; did you mean training.learning_rate?"),
        (
            "training:\n  lr: 1",
            "c.yaml:2: unknown key training.lr; did you mean training.learning_rate?",
        ),
        ("model:\n  layers: 1", "c.yaml:2: unknown key model.layers; did you mean model.num_l"),
        ("training:\n  hidden: 1", "c.yaml:2: unknown key training.hidden; did you mean model.h"),
        ("model:\n  zzzzzz: 1", "c.yaml:2: unknown key model.zzzzzz"),
        ("model:\n  5: 1", "c.yaml:2: unknown key model.5"),
        ("model:\n  null: 1", "c.yaml:2: unknown key model.null"),
        ("model: {}\ntrue: 1", "c.yaml:2: unknown key true"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_a_key_with_a_line_break_still_gives_one_printable_line() -> None:
    assert refusal('model:\n  "x\\ny": 1\n').isprintable()


def test_a_lowest_learning_rate_above_the_highest_is_refused() -> None:
    low, high = "training:\n  min_learning_rate: 2e-3\n", "  learning_rate: 1e-3\n"
    message = "training.min_learning_rate must be <= learning_rate 0.001, got 0.002"
    assert refusal(low + high) == f"c.yaml:3: {message}"
    assert refusal(low, "training.learning_rate=1e-3") == f"--set: {message}"
    read(low, "training.learning_rate=2e-3")


def test_a_checkpoint_of_earlier_versions_may_have_such_rates() -> None:
    rates = {"training.min_learning_rate": 2e-3, "training.learning_rate": 1e-3}
    stored = Config().with_values(rates)
    assert parse_config_json(config_json(stored)).training == stored.training
