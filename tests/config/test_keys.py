"""The keys of a config: the values they accept, and one exact line for each bad value."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from charnn.config.keys import ADDED_KEYS, RESUMABLE, Config, ModelConfig
from charnn.config.loading import Override, load_config, parse_config_json
from charnn.config.writing import config_json
from charnn.errors import ConfigError
from charnn.network.cells import CELLS
from tests.helpers.configs import FILE, KEYS, read, refusal

# Every line about a bad value has this form.
LINE = re.compile(r"(c\.yaml:[0-9]+|--set): [a-z_0-9.]+ (\+ test_fraction )?must .+, got .*")


# --- what is accepted ----------------------------------------------------------------------------


def test_an_empty_config_has_the_defaults() -> None:
    assert (
        load_config(None) == read("") == read("# nothing\n") == read("model:\ndata:\n") == Config()
    )


def test_2e_3_is_a_number_and_1e4_a_whole_one() -> None:
    training = read("training: {learning_rate: 2e-3, eps: 1E-08, epochs: 1e4, seed: 3.0}").training
    assert (training.learning_rate, training.eps) == (0.002, 1e-8)
    assert (training.epochs, training.seed) == (10_000, 3)
    assert type(training.epochs) is type(training.seed) is int


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h0m5s", 3605),
        ("0.5", 0.5),
        ("10min", 600),
        ("2d", 172800),
        ("1h 30m", 5400),
        ("2 days 1.5 hours", 178200),
        ("1hr", 3600),
        ("5 sec", 5),
    ],
)
def test_time_limits_are_read_as_seconds(written: str, seconds: float) -> None:
    assert read(f"training: {{time_limit: {written}}}").training.time_limit == seconds


def test_one_path_is_a_list_of_one() -> None:
    assert read("data: {path: a.txt}").data.path == ("a.txt",)
    assert read("data: {path: [a.txt, b]}").data.path == ("a.txt", "b")


def test_init_std_is_the_number_in_normal() -> None:
    assert read("model: {init: normal(2.5e-2)}").model.init_std == 0.025
    assert read("model: {init: orthogonal}").model.init_std is None


def test_with_values_changes_a_copy() -> None:
    config = Config()
    changed = config.with_values({"model.hidden_size": 7, "training.seed": 1})
    assert (changed.model.hidden_size, changed.training.seed) == (7, 1)
    assert changed.training.epochs == config.training.epochs
    assert config == Config()


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ConfigError, match="does not change; make another one with epochs=3"):
        Config().training.epochs = 3  # type: ignore[misc]  # it is read-only, as mypy knows
    with pytest.raises(ConfigError, match=r"make another one with model=ModelConfig\(\)"):
        Config().model = ModelConfig()  # type: ignore[misc]  # read-only, too


def test_the_keys_that_may_differ_on_resume_exist() -> None:
    assert set(KEYS) >= RESUMABLE


# --- bad values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.learning_rate", "-1", "must be > 0, got -1"),
        ("training.learning_rate", "fast", "must be a number, got fast"),
        ("training.learning_rate", "true", "must be a number, got true"),
        ("training.learning_rate", ".inf", "must be a finite number, got inf"),
        ("training.learning_rate", ".nan", "must be a finite number, got nan"),
        ("training.momentum", "1", "must be < 1, got 1"),
        ("training.gamma", "1.5", "must be <= 1, got 1.5"),
        ("training.batch_size", "0", "must be >= 1, got 0"),
        ("training.batch_size", "2.5", "must be a whole number, got 2.5"),
        ("training.batch_size", "true", "must be a whole number, got true"),
        ("training.batch_size", "null", "must be a whole number, got null"),
        ("training.batch_size", "'8'", "must be a whole number, got '8' in quotes"),
        ("training.drop_last", "'true'", "must be true or false, got 'true' in quotes"),
        ("training.seq_length", "0", "must be a whole number >= 1, or full, got 0"),
        ("training.seq_length", "true", "must be a whole number >= 1, or full, got true"),
        ("training.seq_length", "long", "must be a whole number >= 1, or full, got long"),
        ("training.optimizer", "lion", "must be sgd, adagrad, rmsprop or adam, got lion"),
        ("training.drop_last", "1", "must be true or false, got 1"),
        ("training.time_limit", "soon", "must be a time > 0 like 90s, 10m, 1h30m or 2d, got soon"),
        ("training.time_limit", "0s", "must be a time > 0 like 90s, 10m, 1h30m or 2d, got 0s"),
        ("training.time_limit", "true", "must be a time > 0 like 90s, 10m, 1h30m or 2d, got true"),
        ("data.path", "5", "must be a path or a list of paths, got 5"),
        ("output.checkpoint", "5", "must be text, got 5"),
        (
            "output.checkpoint",
            "run",
            "must be a name ending in .npz (not .best.npz), got run",
        ),
        (
            "output.checkpoint",
            "a.best.npz",
            "must be a name ending in .npz (not .best.npz), got a.best.npz",
        ),
    ],
)
def test_a_bad_value_is_one_line_with_its_place(key: str, value: str, message: str) -> None:
    section, name = key.split(".")
    text = f"# a comment\n{section}:\n  # another\n  {name}: {value}\n"
    assert refusal(text) == f"c.yaml:4: {key} {message}"
    assert refusal(f"{section}: {{}}\n", f"{key}={value}") == f"--set: {key} {message}"


@pytest.mark.parametrize(
    "value",
    ["xavier", "normal", "normal(-1)", "normal(..)", "normal(1.2.3)", "normal(1e999)", "[uniform]"],
)
def test_init_is_a_known_word_or_a_normal_with_a_standard_deviation(value: str) -> None:
    assert refusal(f"model:\n  init: {value}\n").startswith(
        "c.yaml:2: model.init must be uniform, "
    )


def test_the_splits_must_leave_something_to_train_on() -> None:
    wrong = "data.val_fraction + test_fraction must be < 1, got 0.6 + 0.5"
    found = refusal("data:\n  val_fraction: 0.6\n  test_fraction: 0.5\n")
    assert found in (f"c.yaml:2: {wrong}", f"c.yaml:3: {wrong}")
    assert refusal("data:\n  val_fraction: 0.6\n", "data.test_fraction=0.5") == f"--set: {wrong}"


def test_a_bad_item_of_a_list_has_its_place() -> None:
    assert refusal("data:\n  path: [a, 5]\n").startswith("c.yaml:2: data.path")


@pytest.mark.parametrize("section", ["5", "[]", "''", "word"])
def test_a_section_that_holds_no_keys_is_refused(section: str) -> None:
    assert refusal(f"data:\nmodel: {section}\n").startswith("c.yaml:2: model must be a section")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@settings(max_examples=150)
@given(st.sampled_from(KEYS), VALUES)
def test_any_value_for_any_key_is_valid_or_one_line(key: str, value: Any) -> None:
    section, name = key.split(".")
    FILE.write_text(yaml.safe_dump({section: {name: value}}))
    try:
        found = [given for given, _ in load_config(FILE).given()]
    except ConfigError as error:
        found = str(error).splitlines()
    assert found == [key] or all(LINE.fullmatch(line) for line in found), found


@pytest.mark.parametrize("digits", [310, 5000])
@pytest.mark.parametrize("unit", ["", "s"])
@pytest.mark.parametrize("key", ["time_limit", "learning_rate"])
def test_a_number_beyond_all_bounds_is_one_line(digits: int, unit: str, key: str) -> None:
    found = refusal(f"training:\n  {key}: {'9' * digits}{unit}\n")
    assert re.match(rf"c\.yaml(:2: training\.{key} must|: not valid YAML)", found)
    assert "\n" not in found


@pytest.mark.parametrize("value", ["LSTM", "leaky", "RNN", "5", "null", "[rnn]", "{}"])
def test_the_cell_is_one_of_the_list(value: str) -> None:
    text = f"model:\n  cell: {value}\n"
    assert refusal(text).startswith("c.yaml:2: model.cell must be rnn, lstm or gru, got ")


def test_the_message_names_a_cell_that_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "leaky", "tests:Leaky")
    found = refusal("model:\n  cell: RNN\n")
    assert found.startswith("c.yaml:2: model.cell must be rnn, lstm, gru or leaky, got ")


def test_a_cell_that_is_added_to_the_list_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "leaky", "tests:Leaky")
    config = read("model: {cell: leaky}")
    assert config.model.cell == "leaky"
    assert parse_config_json(config_json(config)) == config


def test_a_stored_config_leaves_out_added_keys_with_their_old_value() -> None:
    config = Config().with_values(ADDED_KEYS)
    every = json.loads(config.model_dump_json())
    stored = json.loads(config_json(config))
    for key, old in ADDED_KEYS.items():
        section, name = key.split(".")
        assert every[section].pop(name) == old
    assert stored == every


def test_an_added_key_that_a_stored_config_lacks_has_its_old_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # This pretends that versions without the key behaved as if it were 3.
    monkeypatch.setitem(ADDED_KEYS, "model.num_layers", 3)
    assert parse_config_json("{}").model.num_layers == 3
    assert parse_config_json('{"model": {"num_layers": 1}}').model.num_layers == 1
    config = Config()
    assert parse_config_json(config_json(config)) == config


def test_home_is_found_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = load_config(
        overrides={
            "data.path": Override(["~/a.txt", "b~.txt"], "--data"),
            "data.val_path": Override("~/v.txt", "--set"),
            "output.checkpoint": Override("~/run.npz", "--out"),
        }
    )
    assert config.data.path == ("/home/me/a.txt", "b~.txt")
    assert config.data.val_path == ("/home/me/v.txt",)
    assert config.output.checkpoint == "/home/me/run.npz"
