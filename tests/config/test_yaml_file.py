"""YAML is data: numbers, repeated keys, and files that are not configs."""

import contextlib
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnn.config.keys import Config
from charnn.config.loading import load_config
from charnn.errors import ConfigError
from tests.helpers.configs import FILE, read, refusal


@pytest.mark.parametrize(
    "text",
    ["model: {}\ndata: {}\nmodel: {}\n", "model:\n  num_layers: 1\n  'num_layers': 2\n"],
)
def test_a_key_given_twice_is_refused_at_its_second_place(text: str) -> None:
    assert re.fullmatch(r"c\.yaml:3: model[a-z_.]* is given twice", refusal(text))


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


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("".join(f"a{number}: 1\n" for number in range(10_000)), "and 9,980 errors more"),
        ("model:\n" + "".join(f" a{number}: 1\n" for number in range(9_000)), "errors more"),
        (f"data: {{path: [{'[],' * 30_000}]}}", "errors more"),
        ("a: [" + "[" * 99_000, "nested too deeply"),
        ("- " * 40_000, "nested too deeply"),
        ("a: &a [x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(5000)), "aliases are not"),
        ("a: !!python/object/apply:os.system [echo]", "tags are not allowed"),
        ("!!map {}", "tags are not allowed"),
        ("model: !!binary aGVsbG8=", "tags are not allowed"),
        ("model: {hidden_size: ! 3}", "tags are not allowed"),
        ("? " * 40_000, "nested too deeply"),
        ("training: {max_steps: " + "9" * 90_000 + "}", "not valid YAML: Exceeds the limit"),
        ("a" * 1_000_000, "larger than 100,000 bytes"),
    ],
)
def test_a_config_that_means_harm_is_refused_soon(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert reason in str(caught.value).splitlines()[-1]
    assert time.process_time() - began < 10  # a full read would take minutes, or all memory


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: larger than 100,000 bytes"):
        load_config(Path("/dev/zero"))
