"""What all sections of a config share: strict checks, values that stay, help and a short repr."""

import reprlib
from collections.abc import Iterator
from inspect import Parameter, Signature
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from charnn.errors import ConfigError
from charnn.showing import show_value

_brief = reprlib.Repr()
_brief.maxstring, _brief.maxother = 80, 10_000  # cuts a long text or list, and not a section


def summary(section: object) -> str:
    """Return the first line of the docstring of a section's class."""
    return (section.__doc__ or "").partition("\n")[0]


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def _complete_schema(schema: dict[str, Any], section: type) -> None:
    # A section of a file, or the whole file, may be empty.
    schema |= {"type": ["object", "null"], "description": summary(section)}


class Section(BaseModel):
    """Keys with values that were checked and do not change."""

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
            # Without its type, which pydantic writes in several lines.
            parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=_default(field)))
        cls.__doc__ = "\n".join([summary(cls), "", "Attributes:", *lines])
        cls.__signature__ = Signature(parameters)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        given = f"{name}={show_value(value)}"
        raise ConfigError(f"a config does not change; make another one with {given}")

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield what differs from the default, because there are fifty keys and few are set."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != _default(field):
                yield name, value

    def __repr_str__(self, join_str: str) -> str:
        return join_str.join(f"{name}={_brief.repr(value)}" for name, value in self.__repr_args__())

    def __str__(self) -> str:
        return repr(self)
