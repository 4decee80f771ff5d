"""Settings that do nothing are named before a run begins."""

import pytest

from charnn.config.idle import idle_settings
from charnn.config.keys import Config
from tests.helpers.configs import read


def warned(config: Config, total_steps: int = 5000, *, validates: bool = True) -> list[str]:
    return list(idle_settings(config, total_steps, validates))


@pytest.mark.parametrize(
    ("settings", "key", "reason"),
    [
        ("momentum: 0.5", "momentum", "optimizer adam; it is for sgd"),
        ("alpha: 0.5", "alpha", "optimizer adam; it is for rmsprop"),
        ("optimizer: sgd, beta2: 0.5", "beta2", "optimizer sgd; it is for adam"),
        ("optimizer: sgd, eps: 1", "eps", "optimizer sgd; it is for adagrad, rmsprop, adam"),
        ("schedule: step, min_learning_rate: 1e-4", "min_learning_rate", "schedule step; it is"),
        ("gamma: 0.1", "gamma", "schedule cosine; it is for step"),
        ("epochs: 3, max_steps: 5000", "epochs", "beside training.max_steps 5,000"),
    ],
)
def test_a_key_without_its_partner_does_nothing(settings: str, key: str, reason: str) -> None:
    (line,) = warned(read(f"training: {{{settings}}}"))
    assert line.startswith(f"training.{key} does nothing ")
    assert reason in line


def test_a_plan_may_be_too_short_for_its_schedule() -> None:
    config = read("training: {warmup_steps: 400, schedule: step, step_size: 100}")
    assert warned(config, 501) == warned(config, 0) == []
    (line,) = warned(config, 500)
    assert line.startswith("training.step_size 100 leaves no decay within the 500 steps of the run")
    (line,) = warned(config, 400)
    assert line.startswith("training.warmup_steps 400 is not below the 400 steps of the run")


def test_patience_needs_a_text_to_validate_on() -> None:
    config = read("training: {patience: 3}")
    assert warned(config) == []
    (line,) = warned(config, validates=False)
    assert line == "training.patience does nothing without a text to validate on"


def test_a_config_that_lists_every_default_warns_of_nothing() -> None:
    assert warned(Config.model_validate(Config().model_dump())) == []
