"""The tables of an inspection, for pipes and programs: tab-separated lines, or JSON."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from charnn.insight.inspection import Inspection
from charnn.showing import BOUNDARY, printable

View = Literal["surprise", "expectation", "memory", "gates", "gradients", "origins"]


class Table(NamedTuple):
    """Named columns and rows of text, numbers or None."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def tables(seen: Inspection, view: View | None, top: int) -> dict[str, Table]:
    """Return the tables of a view, or those of the summary, by name.

    The table with the name of the view comes last. It has a row for each place or lag.

    Args:
        seen: the inspection.
        view: None for the summary.
        top: how many of the most surprising places to list.
    """
    match view:
        case "surprise":
            return {"most_surprising": _most_surprising(seen, top), "surprise": _surprise(seen)}
        case "expectation":
            return {"expectation": _expectation(seen)}
        case "memory":
            return {"units": _units(seen), "memory": _memory(seen)}
        case "gates":
            return {"units": _units(seen), "gates": _gates(seen)}
        case "gradients":
            lags = Table(
                ["lag", *(f"layer_{flow.name.replace(' ', '_')}" for flow in seen.gradients)],
                _numbered(zip(*(flow.norms for flow in seen.gradients), strict=True)),
            )
            return {"layers": _layers(seen), "gradients": lags}
        case "origins":
            return {"origins": _origins(seen, top)}
        case None:
            return {
                "most_surprising": _most_surprising(seen, top),
                "units": _units(seen),
                "layers": _layers(seen),
            }


def _numbered(rows: Iterable[Iterable[Any]]) -> Iterable[Sequence[Any]]:
    """Put its number, counted from 0, before each row."""
    return ((number, *row) for number, row in enumerate(rows))


def _most_surprising(seen: Inspection, top: int) -> Table:
    reading = seen.reading
    return Table(
        ["place", "line", "column", "character", "bits", "before", "expected"],
        (
            (place, *line_and_column(seen.text, place), seen.text[place], reading.bits[place],
             seen.around(place)[0],
             seen.vocabulary.decode(reading.likeliest[place, :1]))
            for place in seen.most_surprising(top).tolist()
        ),
    )  # fmt: skip


def line_and_column(text: str, place: int) -> tuple[int, int]:
    """Return the line and the column of a place in a text, both counted from 1.

    The end of a document ends a line, too.
    """
    if text[0] == BOUNDARY:
        text, place = text[1:].replace(BOUNDARY, "\n"), place - 1
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
            (place, character, reading.bits[place], int(reading.char_ranks[place]) or None, *(
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


def _gates(seen: Inspection) -> Table:
    columns, values = ["place", "character"], []
    for unit in seen.units:
        for gate, series in seen.gates(unit).items():
            columns.append(f"{unit.name} {gate}")
            values.append(series)
    return Table(columns, _numbered(zip(seen.text, *values, strict=True)))


def _origins(seen: Inspection, top: int) -> Table:
    return Table(
        ["place", "character", "bits", "back", "origin", "gradient"],
        (
            (place, seen.text[place], seen.reading.bits[place], back, seen.text[place - back],
             float(norm))
            for place, norms in seen.origins(top).items()
            for back, norm in enumerate(norms, 1)
        ),
    )  # fmt: skip


def _layers(seen: Inspection) -> Table:
    return Table(
        ["layer", "spectral_radius", "largest_singular_value", "reach", "verdict"],
        (
            (flow.layer if flow.letter == "h" else flow.name,
             flow.spectral_radius, flow.largest_singular_value, flow.reach, flow.verdict)
            for flow in seen.gradients
        ),
    )  # fmt: skip


def tab_separated(found: Iterable[Table]) -> Iterable[str]:
    """Yield the lines of tables, with an empty line between two. Texts have escapes."""
    for number, table in enumerate(found):
        if number:
            yield ""
        yield "\t".join(table.columns)
        for row in table.rows:
            yield "\t".join(map(_cell, row))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return printable(value.replace("\\", "\\\\"))
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else str(value)


def as_objects(found: dict[str, Table]) -> dict[str, list[dict[str, Any]]]:
    """Return tables for JSON: each is a list with an object for each row."""
    return {
        name: [dict(zip(table.columns, map(_value, row), strict=True)) for row in table.rows]
        for name, table in found.items()
    }


def _value(value: Any) -> Any:
    """Return a number for JSON: no NaN, and no type of NumPy."""
    return (None if math.isnan(value) else float(value)) if isinstance(value, float) else value
