"""Writing a config: as commented YAML, as the JSON in a checkpoint, and its JSON Schema."""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from charnn.config.keys import ADDED_KEYS, Config, section_models
from charnn.config.section import AUTO, summary

_EDITOR_LINE = (
    "# yaml-language-server: $schema=schema.json  "
    "for completion: charnn config --schema > schema.json"
)


def commented_yaml(config: Config | None = None) -> str:
    """Return a config, or the defaults, as YAML with a comment on every key."""
    lines = [] if config else [_EDITOR_LINE]
    config = config or Config()
    for section, model in section_models().items():
        lines.append(f"{section}:  # {summary(model).rstrip('.')}")
        for name, field in model.model_fields.items():
            part = getattr(config, section)
            chosen = name in model.chosen_keys() and name not in part.model_fields_set
            value = AUTO if chosen else getattr(part, name)
            lines.append(_entry(name, value, field.description))
        lines.append("")
    return "\n".join(lines)


def reasoned_yaml(config: Config, reasons: Mapping[str, str]) -> str:
    """Return the keys of a config that were given or have a reason, as YAML.

    Args:
        config: a config.
        reasons: comments for some keys, by dotted key.
    """
    lines, section = list[str](), ""
    for key, value in config.given():
        before, (section, _, name) = section, key.partition(".")
        if section != before:
            lines.append(f"{section}:")
        lines.append(_entry(name, value, reasons.get(key)))
    return "\n".join(lines) + "\n"


def _entry(name: str, value: Any, comment: str | None) -> str:
    """Return the line of a key."""
    if isinstance(value, tuple):
        value = value[0] if len(value) == 1 else list(value)
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    entry = f"  {name}: {dumped.removesuffix('...' + chr(10)).strip()}"
    return f"{entry:<33} # {comment}" if comment else entry


def config_json(config: Config) -> str:
    """Return a config as the JSON that a checkpoint stores.

    Keys that earlier versions did not have are left out if they have no effect (see `ADDED_KEYS`).
    """
    left_out: dict[str, set[str]] = {}
    for key in ADDED_KEYS.keys() - _added(config):
        section, name = key.split(".")
        left_out.setdefault(section, set()).add(name)
    return config.model_dump_json(exclude=left_out)


def has_added_keys(config: Config) -> bool:
    """Return whether a stored config has keys that the first version of the format lacks."""
    return bool(_added(config))


def _added(config: Config) -> set[str]:
    sections = {key: key.split(".") for key in ADDED_KEYS}
    return {
        key
        for key, (section, name) in sections.items()
        if getattr(getattr(config, section), name) != ADDED_KEYS[key]
    }


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles of keys, which only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file.

    It checks each key alone, so it does not check val_fraction + test_fraction < 1.
    """
    schema = Config.model_json_schema(schema_generator=_Untitled)
    return {"$schema": _Untitled.schema_dialect, **schema}
