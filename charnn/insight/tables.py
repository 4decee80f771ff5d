"""An inspection for the eye and for programs: rich on a terminal, tables elsewhere."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from charnn.insight.inspection import Inspection

View = Literal["surprise", "expectation", "memory", "gradients"]


class Table(NamedTuple):
    """Named columns and rows of text, numbers or None."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def shown(text: str) -> str:
    """Return a text on one line: what is not printable becomes an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def tables(seen: Inspection, view: View | None, top: int) -> dict[str, Table]:
    """Return the tables of a view by name, the one with a row for each place or lag last."""
    match view:
        case "surprise":
            return {"most_surprising": _most_surprising(seen, top), "surprise": _surprise(seen)}
        case "expectation":
            return {"expectation": _expectation(seen)}
        case "memory":
            return {"units": _units(seen), "memory": _memory(seen)}
        case "gradients":
            lags = Table(
                ["lag", *(f"layer_{layer}" for layer in range(len(seen.gradients)))],
                _numbered(zip(*(flow.norms for flow in seen.gradients), strict=True)),
            )
            return {"layers": _layers(seen), "gradients": lags}
        case None:
            return {
                "most_surprising": _most_surprising(seen, top),
                "units": _units(seen),
                "layers": _layers(seen),
            }


def _numbered(rows: Iterable[Iterable[Any]]) -> Iterable[Sequence[Any]]:
    """Put each row's number before it."""
    return ((number, *row) for number, row in enumerate(rows))


def _most_surprising(seen: Inspection, top: int) -> Table:
    reading = seen.reading
    return Table(
        ["place", "line", "column", "character", "bits", "before", "expected"],
        (
            (place, *_line_and_column(seen.text, place), seen.text[place], reading.bits[place],
             seen.text[max(0, place - 12) : place],
             seen.vocabulary.decode(reading.likeliest[place, :1]))
            for place in seen.most_surprising(top).tolist()
        ),
    )  # fmt: skip


def _line_and_column(text: str, place: int) -> tuple[int, int]:
    return text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)


def _surprise(seen: Inspection) -> Table:
    rows = _numbered(zip(seen.text, seen.reading.bits, strict=True))
    return Table(["place", "character", "bits"], rows)


def _expectation(seen: Inspection) -> Table:
    reading = seen.reading
    columns = ["place", "character", "bits", "rank"]
    for number in range(1, reading.likeliest.shape[1] + 1):
        columns += [f"expected_{number}", f"probability_{number}"]
    return Table(
        columns,
        (
            (place, character, reading.bits[place], int(reading.ranks[place]) or None, *(
                part if place else None
                for pair in zip(
                    seen.vocabulary.decode(reading.likeliest[place]),
                    reading.probabilities[place],
                    strict=True,
                )
                for part in pair
            ))
            for place, character in enumerate(seen.text)
        ),
    )  # fmt: skip


def _units(seen: Inspection) -> Table:
    rows = ((unit.name, unit.feature, unit.correlation) for unit in seen.units)
    return Table(["unit", "feature", "correlation"], rows)


def _memory(seen: Inspection) -> Table:
    columns = ["place", "character", *(unit.name for unit in seen.units)]
    activations = (seen.activations(unit) for unit in seen.units)
    return Table(columns, _numbered(zip(seen.text, *activations, strict=True)))


def _layers(seen: Inspection) -> Table:
    return Table(
        ["layer", "spectral_radius", "largest_singular_value", "reach", "verdict"],
        _numbered(
            (flow.spectral_radius, flow.largest_singular_value, flow.reach, flow.verdict)
            for flow in seen.gradients
        ),
    )


def tab_separated(found: Iterable[Table]) -> Iterable[str]:
    """Yield the lines of tables; an empty one between two. Characters are shown as escapes."""
    for number, table in enumerate(found):
        if number:
            yield ""
        yield "\t".join(table.columns)
        for row in table.rows:
            yield "\t".join(map(_cell, row))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return shown(value.replace("\\", "\\\\"))
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else str(value)


def as_json(figures: dict[str, Any], found: dict[str, Table]) -> str:
    """Return figures and tables as one JSON object; a table is a list of objects."""
    lists = {
        name: [dict(zip(table.columns, map(_value, row), strict=True)) for row in table.rows]
        for name, table in found.items()
    }
    return json.dumps(figures | lists, ensure_ascii=False)


def _value(value: Any) -> Any:
    return (None if math.isnan(value) else float(value)) if isinstance(value, float) else value
