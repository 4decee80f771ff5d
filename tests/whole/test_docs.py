"""Generated files are up to date, and the schema and the loader accept the same configs."""

import doctest
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from charnn.commands.app import app
from charnn.config.keys import RESUMABLE, section_models
from charnn.config.loading import load_config, parse_override
from charnn.config.writing import commented_yaml, json_schema
from charnn.errors import ConfigError
from tests.helpers.places import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
GENERATED: dict[Path, str] = runpy.run_path(str(ROOT / "docs" / "generate.py"))["generated"]()
SCHEMA = Draft202012Validator(json_schema())


def parsed(text: str) -> Any:
    """Read YAML as charnn does."""
    return parse_override(f"file={text}")[1].value


# --- generated files -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_files_are_those_of_make_docs(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path], "run make docs"


def test_the_command_prints_the_shipped_schema() -> None:
    printed = CliRunner().invoke(app, ["config", "--schema"]).stdout
    assert printed == (ROOT / "configs" / "schema.json").read_text(encoding="utf-8")


def test_the_page_has_a_row_for_every_key() -> None:
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    tables = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    assert list(tables) == list(section_models())
    for section, model in section_models().items():
        rows = [row.split(" | ") for row in tables[section].splitlines() if row.startswith("| `")]
        assert [row[0] for row in rows] == [f"| `{key}`" for key in model.model_fields]
        assert {row[0][3:-1] for row in rows if row[3] == "yes"} == {
            key for key in model.model_fields if f"{section}.{key}" in RESUMABLE
        }


# --- the schema ----------------------------------------------------------------------------------


def test_the_schema_is_one_and_describes_every_key() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == "charnn config"
    for part in schema["$defs"].values():
        assert part["description"]
        assert all(key["description"] and "default" in key for key in part["properties"].values())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configs_are_valid_and_name_their_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    load_config(path)
    SCHEMA.validate(parsed(text))
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")


@pytest.mark.parametrize("text", [commented_yaml(), "", "model:\n", "data: {}\n"])
def test_the_printed_config_and_empty_ones_are_valid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    load_config(path)
    SCHEMA.validate(parsed(text))


GOOD = """
data: {path: a.txt}
data: {path: [a.txt, b.txt]}
data: {val_fraction: 0}
model: {hidden_size: 1e2}
model: {cell: rnn}
model: {init: identity}
model: {init: normal(.5)}
model: {init: normal(1e-2)}
training: {seq_length: full}
training: {seq_length: 1}
training: {time_limit: 90}
training: {time_limit: 0.5}
training: {time_limit: 10m}
training: {time_limit: 1h30m}
training: {time_limit: "90"}
training: {time_limit: 100h}
training: {time_limit: null}
training: {max_steps: 0}
training: {seed: 9223372036854775807}
training: {learning_rate: 2e-3}
training: {clip_norm: null}
output: {checkpoint: runs/a.npz}
"""
BAD = """
models: {hidden_size: 8}
hidden_size: 8
model: 8
model: [hidden_size]
model: {hiden_size: 8}
model: {hidden_size: 0}
model: {hidden_size: 8.5}
model: {hidden_size: "8"}
model: {hidden_size: null}
model: {cell: none}
model: {cell: [rnn]}
model: {cell: null}
model: {activation: gelu}
model: {dropout: 1}
model: {init: normal}
model: {init: normal()}
model: {init: normal(-1)}
model: {init: normal(1.2.3)}
model: {init: 0.01}
data: {path: 5}
data: {path: [a.txt, 5]}
data: {path: null}
data: {val_fraction: 1}
data: {val_fraction: -0.1}
data: {normalize_newlines: 1}
training: {seq_length: 0}
training: {seq_length: half}
training: {seq_length: true}
training: {seq_length: null}
training: {time_limit: 0}
training: {time_limit: 0m}
training: {time_limit: ""}
training: {time_limit: 10 fortnights}
training: {time_limit: 30m1h}
training: {time_limit: true}
training: {max_steps: -1}
training: {threads: 0}
training: {patience: 0}
training: {seed: 9223372036854775808}
training: {learning_rate: 0}
training: {learning_rate: fast}
training: {gamma: 1.5}
training: {clip_norm: 0}
training: {dtype: float16}
output: {checkpoint: run}
output: {checkpoint: run.best.npz}
output: {keep_best: 1}
"""


@pytest.mark.parametrize("text", GOOD.strip().splitlines())
def test_schema_and_loader_accept(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    load_config(path)
    SCHEMA.validate(parsed(text))


@pytest.mark.parametrize("text", BAD.strip().splitlines())
def test_schema_and_loader_refuse(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)
    assert not SCHEMA.is_valid(parsed(text))


def test_the_page_of_the_docs_has_its_pictures_and_they_are_small() -> None:
    page = (ROOT / "docs" / "inside.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert pictures == ["inspect.svg", "report.png"]
    for picture in pictures:
        assert (ROOT / "docs" / picture).stat().st_size < 300_000


def test_the_page_on_safety_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_/]+\.py)[ `]", page))
    assert len(named) > 10
    assert [path for path in named if not (ROOT / "tests" / path).exists()] == []


def test_every_example_of_the_derivation_is_true() -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs" / "bptt.md"), module_relative=False)
    assert tried > 30
    assert failed == 0
