"""TODO."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import (
    ValidationError,
)

from charnn.config.keys import Config
from charnn.config.problems import _MAX_ERRORS, _explain, _keys, _ranks
from charnn.config.yaml_file import _Loader, _read_yaml, _yaml_problem
from charnn.errors import ConfigError
from charnn.showing import show_value


class Override(NamedTuple):
    """A value given on the command line: what, and the option that gave it, for messages."""

    value: Any
    place: str


def parse_override(text: str) -> tuple[str, Override]:
    """Read one `--set section.key=value`; the value is YAML.

    Raises:
        ConfigError: if the text has no `=`, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {show_value(text)}: write it as section.key=value")
    try:
        return key.strip(), Override(yaml.load(value, _Loader), "--set")
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {show_value(text)}: {_yaml_problem(error)}") from None


def load_config(
    path: Path | None = None, overrides: Mapping[str, Override] | None = None
) -> Config:
    """Read a YAML file (or nothing), lay `overrides` over it by dotted key, and validate.

    Raises:
        ConfigError: one line for each error: `file:line: section.key must …, got …`.
    """
    tree: dict[str, Any] = {}
    places: dict[tuple[str, ...], str] = {}
    if path is not None:
        tree = _read_yaml(path, places)
    for key, override in (overrides or {}).items():
        section, _, name = key.partition(".")
        keys = (section, name) if name else (section,)
        places.pop(keys, None)  # it is said last now
        places[keys] = override.place
        part = tree.setdefault(section, {})
        if not name:
            tree[section] = override.value
        elif isinstance(part, dict):
            part[name] = override.value
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        order, ranks = list(places), _ranks(places)
        last = len(order)
        errors = sorted(error.errors(), key=lambda found: ranks.get(_keys(found, order), last))
        lines = [_explain(found, places, path) for found in errors[:_MAX_ERRORS]]
        if len(errors) > _MAX_ERRORS:
            lines.append(f"and {len(errors) - _MAX_ERRORS:,} errors more")
        raise ConfigError("\n".join(lines)) from None


def parse_config_json(text: str) -> Config:
    """Read the config stored in a checkpoint.

    Raises:
        ConfigError: if it is not a valid config.
    """
    try:
        return Config.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(_explain(first, {}, None)) from None
