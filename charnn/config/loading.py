"""Loading a config: a YAML file, options that override it, or the JSON in a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from charnn.config.keys import ADDED_KEYS, STORED, Config, known_keys
from charnn.config.problems import Places, explain_all, explain_first
from charnn.config.yaml_file import read_yaml, yaml_value
from charnn.errors import ConfigError
from charnn.showing import show_value

_CONFIG = TypeAdapter(Config)  # its errors keep the places, which error messages need


class Override(NamedTuple):
    """A value given on the command line, and the option that gave it, for error messages."""

    value: Any
    place: str


def parse_override(text: str) -> tuple[str, Override]:
    """Parse the argument of one `--set section.key=value`. The value is YAML.

    Raises:
        ConfigError: if the text has no `=`, or the value is not valid YAML.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {show_value(text)}: write it as section.key=value")
    try:
        return key.strip(), Override(yaml_value(value), "--set")
    except ConfigError as error:
        raise ConfigError(f"--set {show_value(text)}: {error}") from None


def load_config(
    path: Path | None = None, overrides: Mapping[str, Override] | None = None
) -> Config:
    """Read and check a config.

    Example:
        config = charnn.load_config(Path("configs/shakespeare.yaml"))

    Args:
        path: of a YAML file, or None for the defaults.
        overrides: values that replace those of the file, by dotted key.

    Raises:
        ConfigError: one line for each error: `file:line: section.key must …, got …`.
    """
    tree, places = read_yaml(path) if path is not None else ({}, {})
    for key, override in (overrides or {}).items():
        _lay_over(tree, places, key, override)
    try:
        return _CONFIG.validate_python(tree)
    except ValidationError as error:
        raise ConfigError(explain_all(error, known_keys(), places, path)) from None


def _lay_over(tree: dict[str, Any], places: Places, key: str, override: Override) -> None:
    section, _, name = key.partition(".")
    keys = (section, name) if name else (section,)
    places.pop(keys, None)  # The key moves to the end: it is written last now.
    places[keys] = override.place
    part = tree.setdefault(section, {})
    if not name:
        tree[section] = override.value
    elif isinstance(part, dict):
        part[name] = override.value


def parse_config_json(text: str) -> Config:
    """Read the config stored in a checkpoint, as `writing.config_json` writes it.

    Raises:
        ConfigError: if it is not valid, in one line.
    """
    try:
        config = _CONFIG.validate_json(text, context=STORED)
    except ValidationError as error:
        raise ConfigError(explain_first(error, known_keys())) from None
    stored = {key for key, _ in config.given()}
    return config.with_values({key: old for key, old in ADDED_KEYS.items() if key not in stored})
