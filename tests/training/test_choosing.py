"""A run chooses values for the keys that were not given."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.checkpoint.checkpoint import load
from charnn.config.keys import Config, ModelConfig, TrainingConfig, section_models
from charnn.config.loading import Override, load_config
from charnn.config.writing import config_json
from charnn.text.corpus import Corpus
from charnn.training.choosing import (
    Choice,
    choose,
    most_work,
    network_for,
    share_read,
    size_for,
    usual_steps,
    usual_work,
)
from charnn.training.preparation import resumed_config, training_characters
from charnn.training.trainer import Trainer
from tests.helpers.texts import english

CHOSEN = {
    f"{section}.{name}"
    for section, model in section_models().items()
    for name in model.chosen_keys()
} - {"training.epochs"}
TEXTS = st.integers(2, 10**10)  # characters


def config(**values: Any) -> Config:
    given = {key.replace("__", "."): Override(value, "") for key, value in values.items()}
    return load_config(None, given)


def chosen(config: Config, text: int, **options: Any) -> dict[str, Any]:
    return {choice.key: choice.value for choice in choose(config, text, **options)}


@given(TEXTS)
def test_every_key_gets_a_valid_value_and_a_reason(text: int) -> None:
    choices = choose(Config(), text)
    assert {choice.key for choice in choices} == CHOSEN
    assert all(choice.reason for choice in choices)
    values = {choice.key: Override(choice.value, "") for choice in choices}
    assert chosen(load_config(None, values), text) == {}


@given(TEXTS, st.sampled_from(sorted(CHOSEN | {"training.epochs"})))
def test_a_given_key_stays(text: int, key: str) -> None:
    value = {"model.dropout": 0.5, "training.ema_decay": 0.5}.get(key, 7)
    found = chosen(config(**{key: value}), text)
    left = {key, "training.max_steps"} if key == "training.epochs" else {key}
    assert found.keys() == CHOSEN - left


@given(TEXTS, TEXTS)
def test_a_longer_text_gets_no_fewer_steps_and_no_smaller_network(one: int, other: int) -> None:
    short, long = sorted([one, other])
    if short < 64 * 32:  # fewer streams fit, so a step has fewer characters
        return
    fewer, more = chosen(Config(), short), chosen(Config(), long)
    for name in ("training.max_steps", "model.hidden_size", "model.num_layers"):
        assert fewer[name] <= more[name]
    assert fewer["training.weight_decay"] >= more["training.weight_decay"]


@given(TEXTS, st.floats(1e9, 1e18), st.sampled_from(["rnn", "lstm", "gru"]))
def test_more_work_takes_no_smaller_network(text: int, work: float, cell: str) -> None:
    def weights(work: float) -> int:
        H, L = size_for(cell, text, work)
        return (2 * L - 1) * H * H

    assert weights(work) <= weights(2 * work)
    assert usual_work(text) <= most_work(cell, text)


def test_values_follow_what_is_given() -> None:
    text = 1_000_000
    wide = chosen(config(model__hidden_size=1024), text)
    assert wide["training.learning_rate"] < chosen(Config(), text)["training.learning_rate"]
    often = chosen(config(training__epochs=50), text)
    assert often["model.dropout"] > chosen(Config(), text)["model.dropout"]
    few = chosen(config(training__max_steps=60), text)
    assert few["training.warmup_steps"] == 3
    assert few["model.dropout"] == 0
    large = chosen(config(training__batch_size=64), text)
    half = chosen(Config(), text)["training.max_steps"] / 2
    assert large["training.max_steps"] == pytest.approx(half, rel=0.03)
    whole = chosen(config(training__seq_length="full"), text)
    read = chosen(Config(), text)["training.max_steps"] * 32 * 64
    assert whole["training.max_steps"] == pytest.approx(read / text, rel=0.1)
    high = chosen(config(training__min_learning_rate=0.009), text)
    assert high["training.learning_rate"] == 0.009


def test_other_optimizers_keep_their_defaults() -> None:
    text = 1_000_000
    assert "training.learning_rate" not in chosen(config(training__optimizer="sgd"), text)


def test_a_run_stores_what_it_chose_and_resumes_with_it(tmp_path: Path) -> None:
    corpus = Corpus.from_text(english(3000), val_fraction=0.1)
    path = tmp_path / "run.npz"
    values: dict[str, Any] = {"model.hidden_size": 8, "training.max_steps": 3, "training.seed": 1}
    values |= {"output.checkpoint": str(path)}
    given = config(**values)
    trainer = Trainer(given, corpus)
    assert trainer.choices == choose(given, training_characters(corpus))
    assert {choice.key for choice in trainer.choices} == CHOSEN - values.keys()
    list(trainer.run())
    stored = load(path)
    for key, value, _ in trainer.choices:
        section, _, name = key.partition(".")
        assert getattr(getattr(stored.config, section), name) == value
    again = Trainer(given, corpus, resume=stored)  # `given` names few keys
    assert again.choices == []
    assert config_json(again.config) == config_json(stored.config)


def test_epochs_given_to_a_resumed_run_replace_the_steps_that_were_chosen() -> None:
    stored = Config(training=TrainingConfig(max_steps=100, epochs=50))
    longer = resumed_config(config(training__epochs=70), stored)
    assert (longer.training.epochs, longer.training.max_steps) == (70, None)
    both = resumed_config(config(training__epochs=70, training__max_steps=200), stored)
    assert both.training.max_steps == 200


def test_a_network_from_python_keeps_the_plain_defaults() -> None:
    assert (ModelConfig().hidden_size, ModelConfig().num_layers) == (256, 1)


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        (54_000, (256, 3, 500, 0.6, 0.004)),
        (1_004_000, (256, 3, 4700, 0.1, 0.003)),
        (4_300_000, (256, 3, 8000, 0.1, 0.003)),
    ],
)
def test_the_same_text_gives_the_same_choice(characters: int, expected: tuple[Any, ...]) -> None:
    found = chosen(Config(), characters)
    names = ("model.hidden_size", "model.num_layers", "training.max_steps", "training.weight_decay")
    assert tuple(found[name] for name in (*names, "training.learning_rate")) == expected


def test_a_choice_is_a_key_a_value_and_a_reason() -> None:
    first = choose(Config(), 54_000)[0]
    assert first == Choice("model.hidden_size", 256, "for 54,000 characters to learn from")


def test_a_given_plan_wins_over_the_steps_that_the_time_allows() -> None:
    given = config(training__max_steps=60)
    assert chosen(given, 1_000_000, steps=9000) == chosen(given, 1_000_000)
    reasons = {
        choice.reason
        for work in (1e12, 1e18)
        for choice in choose(Config(), 54_000, work, steps=70)
        if choice.key == "training.max_steps"
    }
    assert reasons == {"as many as the time allows", "more would gain little"}


def test_a_clause_tells_how_much_of_the_text_is_read() -> None:
    assert share_read(18.519) == "the text is read 18.5 times"
    assert share_read(0.346) == "34.6% of the text is read"
    assert share_read(0.0027) == "0.27% of the text is read"
    assert share_read(0.99999) == "100% of the text is read"


@given(TEXTS, st.floats(1e9, 1e18))
def test_gates_come_with_work_and_stay_when_the_text_limits_it(text: int, work: float) -> None:
    cell, *sizes = network_for(None, text, work)
    assert (cell, *sizes) == network_for(cell, text, work)
    if cell == "gru":
        assert text > 9000
        assert network_for(None, text, 2 * work)[0] == "gru"
        assert network_for(None, text, min(work, most_work("gru", text)))[0] == "gru"
    else:
        assert work < 2e12 or text <= 9000
    assert network_for("lstm", text, work)[0] == "lstm"


def test_a_short_text_holds_gates_by_weight_decay_and_dropout() -> None:
    for cell, text, expected in (
        ("gru", 54_000, (0.2, 0.6)),
        ("gru", 4_000_000, (0.0, 0.1)),
        ("rnn", 54_000, (0.0, 0.6)),
    ):
        found = chosen(config(model__cell=cell), text)
        assert (found["model.dropout"], found["training.weight_decay"]) == expected


def test_a_gated_network_with_few_weights_for_its_text_needs_no_dropout_for_eight_epochs() -> None:
    for H, text, epochs, expected in (
        (128, 1_000_000, 8, 0.0),
        (128, 1_000_000, 13, 0.3),
        (192, 1_000_000, 8, 0.2),
        (128, 330_000, 8, 0.2),
    ):
        sizes = {"model__cell": "gru", "model__hidden_size": H, "model__num_layers": 2}
        given = config(**sizes, training__max_steps=epochs * text // (32 * 64))
        assert chosen(given, text)["model.dropout"] == expected


def test_the_work_that_a_text_is_worth_follows_its_length_and_the_cell() -> None:
    assert usual_steps(450) == 13  # some 60 epochs
    assert most_work("rnn", 54_000) == 2 * usual_work(54_000)
    assert most_work("gru", 54_000) == usual_work(54_000)
    assert most_work("gru", 4_000_000) > 1.5 * most_work("gru", 2_000_000)
