"""The config: what is accepted, and one exact line for each thing that is not."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from charnn.config.keys import ADDED_KEYS, RESUMABLE, Config, section_models
from charnn.config.loading import Override, load_config, parse_config_json, parse_override
from charnn.config.writing import commented_yaml, config_json
from charnn.errors import ConfigError
from charnn.network.cells import CELLS

FILE = Path("c.yaml")
KEYS = [f"{name}.{key}" for name, part in section_models().items() for key in part.model_fields]
# What every line about a value looks like.
LINE = re.compile(r"(c\.yaml:[0-9]+|--set): [a-z_0-9.]+ (\+ test_fraction )?must .+, got .*")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str | bytes, *sets: str) -> Config:
    """Read a config file of this text, with `--set` options over it."""
    FILE.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(FILE, dict(parse_override(option) for option in sets))


def refusal(text: str | bytes, *sets: str) -> str:
    """Return why a config file is refused."""
    with pytest.raises(ConfigError) as caught:
        read(text, *sets)
    assert caught.value.exit_code == 2
    return str(caught.value)


# --- what is accepted ----------------------------------------------------------------------------


def test_nothing_written_is_the_defaults() -> None:
    assert (
        load_config(None) == read("") == read("# nothing\n") == read("model:\ndata:\n") == Config()
    )


def test_the_printed_config_reads_back_as_the_defaults_and_explains_every_key() -> None:
    text = commented_yaml()
    assert read(text) == Config()
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(lines) == len(KEYS)
    assert all(re.fullmatch(r"  [a-z_0-9]+: .+# .+", line) for line in lines)


PATHS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data.path": PATHS | st.lists(PATHS, max_size=3),
            "data.val_fraction": st.floats(0, 0.5),
            "data.normalize_newlines": st.booleans(),
            "model.hidden_size": st.integers(1, 10**12),
            "model.init": st.sampled_from(["uniform", "identity", "normal(0.01)", "normal(1e-3)"]),
            "training.seq_length": st.just("full") | st.integers(1, 999),
            "training.learning_rate": st.floats(5e-324, 1e308),
            "training.time_limit": st.none() | st.floats(1e-3, 1e9),
            "training.clip_norm": st.none() | st.floats(1e-3, 1e3),
            "training.seed": st.none() | st.integers(0, 2**63 - 1),
            "output.checkpoint": PATHS.map(lambda name: f"{name}/a.npz"),
        },
    )
)
def test_a_config_reads_back_from_its_yaml_and_from_its_json(values: dict[str, Any]) -> None:
    config = load_config(None, {key: Override(value, "x") for key, value in values.items()})
    assert read(commented_yaml(config)) == config
    assert parse_config_json(config.model_dump_json()) == config
    assert parse_config_json(config_json(config)) == config


def test_2e_3_is_a_number_and_1e4_a_whole_one() -> None:
    training = read("training: {learning_rate: 2e-3, eps: 1E-08, epochs: 1e4, seed: 3.0}").training
    assert (training.learning_rate, training.eps) == (0.002, 1e-8)
    assert (training.epochs, training.seed) == (10_000, 3)
    assert type(training.epochs) is type(training.seed) is int


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h0m5s", 3605), ("0.5", 0.5)],
)
def test_time_limits_are_read_as_seconds(written: str, seconds: float) -> None:
    assert read(f"training: {{time_limit: {written}}}").training.time_limit == seconds


def test_one_path_is_a_list_of_one() -> None:
    assert read("data: {path: a.txt}").data.path == ("a.txt",)
    assert read("data: {path: [a.txt, b]}").data.path == ("a.txt", "b")


def test_init_std_is_the_number_in_normal() -> None:
    assert read("model: {init: normal(2.5e-2)}").model.init_std == 0.025
    assert read("model: {init: orthogonal}").model.init_std is None


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


def test_with_values_changes_a_copy() -> None:
    config = Config()
    changed = config.with_values({"model.hidden_size": 7, "training.seed": 1})
    assert (changed.model.hidden_size, changed.training.seed) == (7, 1)
    assert changed.training.epochs == config.training.epochs
    assert config == Config()


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().training.epochs = 3  # type: ignore[misc]  # it is read-only, as mypy knows


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
        ("training.batch_size", "'8'", "must be a whole number, got 8"),
        ("training.seq_length", "0", "must be a whole number >= 1, or full, got 0"),
        ("training.seq_length", "true", "must be a whole number >= 1, or full, got true"),
        ("training.seq_length", "long", "must be a whole number >= 1, or full, got long"),
        ("training.optimizer", "lion", "must be sgd, adagrad, rmsprop or adam, got lion"),
        ("training.drop_last", "1", "must be true or false, got 1"),
        ("training.time_limit", "soon", "must be a time > 0 like 90s, 10m or 1h30m, got soon"),
        ("training.time_limit", "0s", "must be a time > 0 like 90s, 10m or 1h30m, got 0s"),
        ("training.time_limit", "true", "must be a time > 0 like 90s, 10m or 1h30m, got true"),
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


@pytest.mark.parametrize("value", ["lstm", "RNN", "5", "null", "[rnn]", "{}"])
def test_the_cell_is_one_of_the_list(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"model:\n  cell: {value}\n"
    assert refusal(text).startswith("c.yaml:2: model.cell must be rnn, got ")
    monkeypatch.setitem(CELLS, "leaky", "tests:Leaky")
    assert refusal(text).startswith("c.yaml:2: model.cell must be rnn or leaky, got ")
    monkeypatch.setitem(CELLS, "toy", "tests:Toy")
    assert refusal(text).startswith("c.yaml:2: model.cell must be rnn, leaky or toy, got ")


def test_a_cell_that_is_added_to_the_list_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "leaky", "tests:Leaky")
    config = read("model: {cell: leaky}")
    assert config.model.cell == "leaky"
    assert parse_config_json(config_json(config)) == config


def test_a_stored_config_leaves_out_added_keys_with_their_old_value() -> None:
    every = json.loads(Config().model_dump_json())
    stored = json.loads(config_json(Config()))
    for key, old in ADDED_KEYS.items():
        section, name = key.split(".")
        assert every[section].pop(name) == old
    assert stored == every


def test_an_added_key_that_a_stored_config_lacks_has_its_old_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if the default of a key had been another for the versions that did not have it.
    monkeypatch.setitem(ADDED_KEYS, "model.num_layers", 3)
    assert parse_config_json("{}").model.num_layers == 3
    assert parse_config_json('{"model": {"num_layers": 1}}').model.num_layers == 1
    config = Config()
    assert parse_config_json(config_json(config)) == config


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


def test_a_long_value_is_shown_short_and_control_characters_escaped() -> None:
    found = refusal('training:\n  optimizer: "' + "\\e[31m\\n" * 50 + '"\n')
    assert found.endswith("...")
    assert len(found) < 150
    assert found.isprintable()
    assert refusal('output:\n  checkpoint: "\\e[31m\\n"\n').isprintable()


def test_a_path_that_json_cannot_hold_is_refused_before_any_training() -> None:
    # How the shell hands over a file name that is not UTF-8.
    with pytest.raises(ConfigError, match=r"^--data: data\.path"):
        load_config(None, {"data.path": Override(["caf\udce9.txt"], "--data")})


# --- unknown and repeated keys -------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "text",
    ["model: {}\ndata: {}\nmodel: {}\n", "model:\n  num_layers: 1\n  'num_layers': 2\n"],
)
def test_a_key_given_twice_is_refused_at_its_second_place(text: str) -> None:
    assert re.fullmatch(r"c\.yaml:3: model[a-z_.]* is given twice", refusal(text))


# --- files that are no config --------------------------------------------------------------------


def test_numbers_are_those_of_yaml_1_2() -> None:
    config = read("training: {max_steps: 010, epochs: 1_000, eps: 1e-7, step_size: 2E3}")
    training = config.training
    assert (training.max_steps, training.epochs, training.eps) == (10, 1000, 1e-7)
    assert training.step_size == 2000
    assert read("data: {path: [1e3.txt, 2020-01-01, 1:30]}").data.path == (
        "1e3.txt",
        "2020-01-01",
        "1:30",
    )
    assert "training.time_limit must be a time" in refusal("training: {time_limit: 1:30}")
    assert "quote a value that begins with *" in refusal("data:\n  path: *.txt\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: &x 1\nb: *x\n", "c.yaml:2: not valid YAML: aliases are not allowed here"),
        ("\nmodel: !!python/object:os.system x\n", "c.yaml:2: not valid YAML: tags are not"),
        ("model: !secret x\n", "c.yaml:1: not valid YAML: tags are not allowed here"),
        ("model: {num_layers: !!int 2}\n", "c.yaml:1: not valid YAML: tags are not allowed here"),
        ("a: " + "[" * 5000, "c.yaml:1: not valid YAML: nested too deeply"),
        ("a: " + "{a: " * 25, "c.yaml:1: not valid YAML: nested too deeply"),
        ("model: [\n", "c.yaml:2: not valid YAML: "),
        ("? [a]\n: 3\n", "c.yaml:1: not valid YAML: "),
        ("{}\n---\n{}\n", "c.yaml:2: not valid YAML: "),
        ("model:\n  init: 2020-99-99\n", "c.yaml"),
        ("\x00", "c.yaml: not valid YAML: "),
        (b"model: \xff\n", "c.yaml: not UTF-8 text (byte 7)"),
        ("- model\n", "c.yaml:1: expected sections data, model, training, output"),
        ("word\n", "c.yaml:1: expected sections data, model, training, output"),
        ("#" * 100_001, "c.yaml: larger than 100,000 bytes"),
    ],
)
def test_a_file_that_is_no_config_is_one_line(content: str | bytes, message: str) -> None:
    found = refusal(content)
    assert found.startswith(message)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("path", "message"),
    [("nope.yaml", "nope.yaml: No such file or directory"), (".", ".: Is a directory")],
)
def test_a_file_that_cannot_be_read_is_one_line(path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Path(path))
    assert str(caught.value) == message


@settings(max_examples=150)
@given(st.text("model:tr a-[]{},&*!|>'\"#%\n\t0.e1<?", max_size=30) | st.binary(max_size=20))
def test_whatever_the_file_holds_the_answer_is_a_config_or_a_config_error(
    content: str | bytes,
) -> None:
    FILE.write_bytes(content if isinstance(content, bytes) else content.encode())
    with contextlib.suppress(ConfigError):
        assert isinstance(load_config(FILE), Config)


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert read(b"\xef\xbb\xbfmodel: {num_layers: 2}").model.num_layers == 2


def test_json_that_is_no_config_is_one_line() -> None:
    for text in ("", "[]", '{"model": {"hidden_size": 0, "num_layers": 0}}', '{"x": 1}'):
        with pytest.raises(ConfigError) as caught:
            parse_config_json(text)
        assert "\n" not in str(caught.value)


# --- overrides -----------------------------------------------------------------------------------


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
