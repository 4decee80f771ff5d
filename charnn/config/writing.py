"""TODO."""

from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from charnn.config.keys import Config, section_models

_EDITOR_LINE = (
    "# yaml-language-server: $schema=schema.json  "
    "for completion: charnn config --schema > schema.json"
)


def commented_yaml(config: Config | None = None) -> str:
    """Return a config as YAML with a comment on every key (the defaults, when none is given)."""
    lines = [] if config else [_EDITOR_LINE]
    config = config or Config()
    for section, model in section_models().items():
        lines.append(f"{section}:  # {(model.__doc__ or '').strip().rstrip('.')}")
        for name, field in model.model_fields.items():
            value = getattr(getattr(config, section), name)
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 else list(value)
            shown = yaml.safe_dump(value, default_flow_style=True, width=10_000)
            entry = f"  {name}: {shown.removesuffix('...' + chr(10)).strip()}"
            lines.append(f"{entry:<33} # {field.description}")
        lines.append("")
    return "\n".join(lines)


class _Untitled(GenerateJsonSchema):
    """A key's name is title enough."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file.

    It judges each key by itself: `val_fraction + test_fraction < 1` is beyond it.
    """
    schema = Config.model_json_schema(schema_generator=_Untitled)
    return {"$schema": _Untitled.schema_dialect, **schema}
