"""TODO."""

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic_core import ErrorDetails

from charnn.config.keys import section_models
from charnn.showing import show_value

_MAX_ERRORS = 20  # that are told; more say no more


_REASONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda ctx: f"must be > {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"must be >= {ctx['ge']:g}",
    "less_than": lambda ctx: f"must be < {ctx['lt']:.19g}",
    "less_than_equal": lambda ctx: f"must be <= {ctx['le']:g}",
    "literal_error": lambda ctx: f"must be {ctx['expected']}".replace("'", ""),
    "int_type": lambda ctx: "must be a whole number",
    "float_type": lambda ctx: "must be a number",
    "finite_number": lambda ctx: "must be a finite number",
    "bool_type": lambda ctx: "must be true or false",
    "string_type": lambda ctx: "must be text",
    "string_too_short": lambda ctx: "must not be empty",
    "tuple_type": lambda ctx: "must be a path or a list of paths",
    "model_type": lambda ctx: "must be a section of keys",
}


def _keys(error: ErrorDetails, order: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the key an error is about; of several, the one written last."""
    keys = tuple(str(part) for part in error["loc"])
    if error["type"] == "split":
        pair = [(*keys, "val_fraction"), (*keys, "test_fraction")]
        return max(pair, key=lambda key: order.index(key) if key in order else -1)
    return keys[:2]  # an item of a list is where the list is


def _ranks(order: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return where the file (then the command line) first speaks of each key and section."""
    ranks: dict[tuple[str, ...], int] = {}
    for rank, keys in enumerate(order):
        for length in range(len(keys) + 1):
            ranks.setdefault(keys[:length], rank)
    return ranks


def _explain(error: ErrorDetails, places: dict[tuple[str, ...], str], path: Path | None) -> str:
    keys = _keys(error, list(places))
    found = places.get(keys) or next((p for k, p in places.items() if k[: len(keys)] == keys), path)
    place = f"{found}: " if found else ""
    keys = tuple(str(part) for part in error["loc"][:2])
    name = show_value(".".join(keys))
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{place}unknown key {name}{_did_you_mean(keys)}"
    if kind == "split":
        return f"{place}{name}.{error['msg']}"
    reason = _REASONS[kind](error.get("ctx", {})) if kind in _REASONS else error["msg"]
    return f"{place}{name} {reason}, got {show_value(error['input'])}"


def _did_you_mean(keys: tuple[str, ...]) -> str:
    """Suggest the nearest key, in this section first, then anywhere."""
    sections = {name: list(part.model_fields) for name, part in section_models().items()}
    everything = [f"{name}.{key}" for name, part in sections.items() for key in part]
    if len(keys) == 1:
        moved = [key for key in everything if key.split(".")[1] == keys[0]]
        near = moved or difflib.get_close_matches(keys[0], list(sections), 1)
    else:
        near = [key for key in everything if key.split(".")[1] == keys[-1]]
        near = near or [
            f"{keys[0]}.{key}"
            for key in difflib.get_close_matches(keys[1], sections.get(keys[0], []), 1)
        ]
        near = near or difflib.get_close_matches(".".join(keys), everything, 1)
    return f"; did you mean {near[0]}?" if near else ""
