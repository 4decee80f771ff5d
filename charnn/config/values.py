"""The types of config values: each type parses, checks and describes its values.

Each is a type for pydantic. It also has a JSON Schema, for editors and docs/config.md.
"""

import math
import os
import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from charnn.network.cells import CELLS


def _read_whole(value: Any) -> Any:
    """Accept a float without a fraction, such as 1e4, and a whole number of NumPy's."""
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole or isinstance(value, np.integer) else value


# Bounds come before the validator. Otherwise the schema of a key that may be null loses them.
Whole = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_read_whole)]
Count = Annotated[int, Field(ge=1, lt=2**63), BeforeValidator(_read_whole)]
Threads = Annotated[int, Field(ge=1, le=1024), BeforeValidator(_read_whole)]


def _check_utf8(value: str) -> str:
    """Refuse text that JSON cannot contain, and null characters, which no file name has."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("utf8", "must be text in UTF-8") from None
    if "\0" in value:
        raise PydanticCustomError("null", "must not contain a null character")
    return value


String = Annotated[str, AfterValidator(_check_utf8)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_check_utf8)]


def _read_path(value: Any) -> Any:
    """Accept a `pathlib.Path` from Python."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


Path = Annotated[Text, BeforeValidator(_read_path), AfterValidator(os.path.expanduser)]


def _read_paths(value: Any) -> Any:
    """Accept one path as a list of one."""
    if isinstance(value, str | os.PathLike):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Paths = Annotated[
    tuple[Path, ...],
    BeforeValidator(_read_paths),
    PlainSerializer(list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def _check_npz(value: str) -> str:
    if value.endswith(".npz") and not value.endswith(".best.npz"):
        return value
    raise PydanticCustomError("npz", "must be a name ending in .npz (not .best.npz)")


Npz = Annotated[Path, AfterValidator(_check_npz)]


def listed(names: list[str]) -> str:
    """Return names as in a sentence: rnn, lstm or gru."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _check_cell(value: Any) -> Any:
    if isinstance(value, str) and value in CELLS:
        return value
    raise PydanticCustomError("cell", "must be {cells}", {"cells": listed(list(CELLS))})


# A Literal would fix the cells when this module is imported; `CELLS` may grow later.
Cell = Annotated[str, BeforeValidator(_check_cell), WithJsonSchema({"enum": list(CELLS)})]


_DIVIDING = ["lines", "blank-lines", "files", "text:SEPARATOR"]


def _check_dividing(value: Any) -> Any:
    if isinstance(value, str) and (value in _DIVIDING[:3] or value[:5] == "text:" < value):
        return _check_utf8(value)
    raise PydanticCustomError("documents", "must be {kinds}", {"kinds": listed(_DIVIDING)})


# How a text is divided into documents.
Dividing = Annotated[
    str,
    BeforeValidator(_check_dividing),
    WithJsonSchema({"anyOf": [{"enum": _DIVIDING[:3]}, {"type": "string", "pattern": "^text:."}]}),
]


def _read_seq_length(value: Any) -> Any:
    value = _read_whole(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value == "full" or (is_whole and 1 <= value < 2**63):
        return value
    raise PydanticCustomError("seq_length", "must be a whole number >= 1, or full")


SeqLength = Annotated[
    int | Literal["full"],
    BeforeValidator(_read_seq_length),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "exclusiveMaximum": 2**63},
                {"const": "full"},
            ]
        }
    ),
]


_AMOUNT = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_UNITS = {
    "d(?:ays?)?": 86400,
    "h(?:(?:ou)?rs?)?": 3600,
    "m(?:in(?:ute)?s?)?": 60,
    "(?:s(?:ec(?:ond)?s?)?)?": 1,
}
_TIME = re.compile(" *".join(f"(?:{_AMOUNT} *{unit})?" for unit in _UNITS))


def _read_seconds(value: Any) -> Any:
    """Convert 90, 90s, 10m, 1h30m or 2d to seconds; also 10 min, or 1h 30m."""
    if isinstance(value, str):
        match = _TIME.fullmatch(value.strip())
        if match and any(match.groups()):
            amounts = zip(match.groups(), _UNITS.values(), strict=True)
            value = sum(float(amount or 0) * unit for amount, unit in amounts)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12:
        return float(value)
    raise PydanticCustomError("seconds", "must be a time > 0 like 90s, 10m, 1h30m or 2d")


Seconds = Annotated[
    float,
    BeforeValidator(_read_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {
                    "type": "string",
                    "pattern": f"^(?=.*[1-9]){_TIME.pattern}$",
                    "examples": ["90s", "10m", "1h30m", "2d"],
                },
            ]
        }
    ),
]


_INITS = ["uniform", "orthogonal", "identity"]
_NORMAL_INIT = re.compile(r"normal\(((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\)")


def normal_std(init: str) -> float | None:
    """Return STD of the initialisation normal(STD), or None for the other kinds."""
    match = _NORMAL_INIT.fullmatch(init)
    return float(match[1]) if match else None


def _check_init(value: Any) -> Any:
    std = normal_std(value) if isinstance(value, str) else None
    if value in _INITS or (std is not None and math.isfinite(std)):
        return value
    raise PydanticCustomError("init", "must be uniform, orthogonal, identity or normal(STD)")


Init = Annotated[
    str,
    BeforeValidator(_check_init),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": _INITS},
                {
                    "type": "string",
                    "pattern": f"^{_NORMAL_INIT.pattern}$",
                    "examples": ["normal(0.01)"],
                },
            ]
        }
    ),
]
