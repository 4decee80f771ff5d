"""The base of all sections of a config: strict checks, fixed values, help and a short repr."""

import reprlib
from collections.abc import Iterator
from inspect import Parameter, Signature
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from charnn.errors import ConfigError
from charnn.showing import show_value

AUTO = "auto"  # a key's value is chosen for the text; see charnn.training.choosing

_brief = reprlib.Repr()
_brief.maxstring, _brief.maxother = 80, 10_000  # shortens a long text or list, but not a section


def summary(section: object) -> str:
    """Return the first line of the docstring of a section's class."""
    return (section.__doc__ or "").partition("\n")[0]


def chosen(default: Any, description: str, **bounds: Any) -> Any:
    """Describe a key that is chosen for the text of a run unless it is given.

    Args:
        default: its value if there is no text.
        description: its meaning.
        bounds: as for `Field`.
    """
    return Field(default, description=description, json_schema_extra=_or_auto, **bounds)


def _or_auto(schema: dict[str, Any]) -> None:
    """Let the schema of a key accept `auto` as well, and give it as the default."""
    about = {name: schema.pop(name) for name in ("description", "default")}
    kinds = schema.pop("anyOf", None) or [dict(schema)]
    schema.clear()
    schema |= {"anyOf": [*kinds, {"const": AUTO}]} | about | {"default": AUTO}


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def _complete_schema(schema: dict[str, Any], section: type) -> None:
    # A section of a file, or the whole file, may be empty.
    schema |= {"type": ["object", "null"], "description": summary(section)}


class Section(BaseModel):
    """A section of a config: its keys, with checked values that do not change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        json_schema_extra=_complete_schema,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Describe the keys for `help`, completion and the tooltips of a notebook."""
        lines, parameters = [], []
        for name, field in cls.model_fields.items():
            lines.append(f"    {name}: {field.description or summary(field.annotation)}")
            # The type is left out, because pydantic writes it in several lines.
            default = AUTO if name in cls.chosen_keys() else _default(field)
            parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default))
        cls.__doc__ = "\n".join([summary(cls), "", "Attributes:", *lines])
        cls.__signature__ = Signature(parameters)

    @classmethod
    def chosen_keys(cls) -> list[str]:
        """Return the names of the keys that are chosen for the text unless they are given."""
        return [
            name for name, field in cls.model_fields.items() if field.json_schema_extra is _or_auto
        ]

    @model_validator(mode="before")
    @classmethod
    def _auto_is_not_given(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        chosen = cls.chosen_keys()
        return {
            name: value
            for name, value in values.items()
            if not (isinstance(value, str) and value == AUTO and name in chosen)
        }

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        given = f"{name}={show_value(value)}"
        raise ConfigError(f"a config does not change; make another one with {given}")

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield only values that differ from the defaults, because few of fifty keys are set."""
        chosen = self.chosen_keys()
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in self.model_fields_set if name in chosen else value != _default(field):
                yield name, value

    def __repr_str__(self, join_str: str) -> str:
        return join_str.join(f"{name}={_brief.repr(value)}" for name, value in self.__repr_args__())

    def __str__(self) -> str:
        return repr(self)
