"""An inspection on a terminal: the text in colours, and small grids of figures."""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from charnn.insight.gradients import LOST, GradientFlow
from charnn.insight.inspection import Inspection
from charnn.insight.reading import Floats
from charnn.insight.tables import View, line_and_column
from charnn.insight.units import Unit
from charnn.showing import BOUNDARY, visible, visible_character

# The number of characters that a terminal shows. The tables have all characters read.
_SHOWN = {"summary": 400, "surprise": 2000, "expectation": 40, "memory": 600, "gates": 200}

_LAGS = (0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128)

# Each bound has the style of the values from it to the next bound.
# Bold and underlined text stays visible on terminals without colours.
_SURPRISE = {
    0.0: "",
    1.0: "black on #ffeda0",
    2.0: "black on #feb24c",
    4.0: "underline white on #e31a1c",
    8.0: "bold underline white on #800026",
}

_ACTIVATION = {
    -math.inf: "underline white on #2166ac",
    -0.6: "black on #92c5de",
    -0.2: "",
    0.2: "black on #f4a582",
    0.6: "bold white on #b2182b",
}


_ORIGIN = {
    0.0: "",
    0.05: "black on #fee6ce",
    0.15: "black on #fdae6b",
    0.4: "underline white on #d94801",
    0.8: "bold underline white on #7f2704",
}


def show(seen: Inspection, view: View | None, top: int, console: Console) -> None:
    """Print a view on a terminal.

    Args:
        seen: the inspection.
        view: None for a summary of all views.
        top: how many of the most surprising places to list.
        console: prints it.
    """
    parts: Iterable[RenderableType]
    match view:
        case "surprise":
            parts = [_surprising_text(seen, _SHOWN["surprise"]), _surprising_places(seen, top)]
        case "expectation":
            parts = [_expected_text(seen)]
        case "memory":
            parts = _remembered_text(seen)
        case "gates":
            parts = _gated_text(seen)
        case "gradients":
            parts = [_fading(seen.gradients, console.width), _verdicts(seen.gradients)]
        case "origins":
            parts = _original_texts(seen, top)
        case None:
            parts = [
                _surprising_text(seen, _SHOWN["summary"]),
                _surprising_places(seen, top),
                _unit_lines(seen),
                _verdicts(seen.gradients),
            ]
    for part in parts:
        console.print(part)
        console.print()


def _title(text: str, more: str = "") -> Text:
    return Text.assemble((text, "bold"), (f"  {more}" if more else "", "dim"))


def _legend(styles: dict[float, str], unit: str) -> Text:
    bounds = list(styles)
    words = [
        f"< {_bound(high)}" if low == -math.inf else f"{_bound(low)} to {_bound(high)}"
        for low, high in itertools.pairwise(bounds)
    ]
    words.append(f"> {_bound(bounds[-1])}")
    pieces: list[tuple[str, str]] = [(f"{unit}: ", "dim")]
    for word, style in zip(words, styles.values(), strict=True):
        pieces += [(f" {word} ", style), (" ", "")]
    return Text.assemble(*pieces)


def _bound(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _coloured(text: str, values: Floats, styles: dict[float, str]) -> Text:
    """Return a text in which each character has the style of the last bound its value reaches."""
    bounds, names = list(styles), list(styles.values())
    drawn = Text()
    for place, (character, value) in enumerate(zip(text, values, strict=True)):
        if character == BOUNDARY and place == 0:
            continue
        level = sum(value >= bound for bound in bounds)
        style = names[level - 1] if level else "dim"
        drawn.append(visible(character), style)
        if character in ("\n", BOUNDARY):
            drawn.append("\n")
    drawn.rstrip()
    return drawn


def _surprising_text(seen: Inspection, most: int) -> Group:
    mean = f"{seen.bits_per_char:.3f} bits per character; {_first_of(most, seen)}"
    return Group(
        _title("Surprise", mean),
        _legend(_SURPRISE, "bits"),
        _coloured(seen.text[:most], seen.reading.bits[:most], _SURPRISE),
    )


def _first_of(most: int, seen: Inspection) -> str:
    n = len(seen.text)
    return f"the first {most:,} of {n:,} characters" if most < n else f"{n:,} characters"


def _surprising_places(seen: Inspection, top: int) -> Group:
    grid = _grid("line:column", "bits", "rank", "expected", "where")
    reading = seen.reading
    for place in seen.most_surprising(top).tolist():
        line, column = line_and_column(seen.text, place)
        before, after = seen.around(place)
        where = Text.assemble(
            visible(before),
            (f"[{visible_character(seen.text[place])}]", "bold underline"),
            visible(after),
        )
        where.truncate(30, overflow="ellipsis")
        bits, rank = f"{reading.bits[place]:4.1f}", f"{reading.char_ranks[place]:4}"
        grid.add_row(f"{line}:{column}", bits, rank, _expected(seen, place, 2), where)
    return Group(_title("The most surprising characters"), grid)


def _grid(*columns: str) -> RichTable:
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        grid.add_column(column)
    return grid


def _expected(seen: Inspection, place: int, most: int) -> Text:
    """Return the most likely characters at a place, with the true one in brackets."""
    reading, drawn = seen.reading, Text()
    for character, p in zip(
        seen.vocabulary.decode(reading.likeliest[place, :most]),
        reading.probabilities[place, :most],
        strict=True,
    ):
        true = character == seen.text[place]
        name = f"[{visible_character(character)}]" if true else f" {visible_character(character)} "
        drawn.append(f"{name} {p:4.0%}  ", "bold" if true else "")
    return drawn


def _expected_text(seen: Inspection) -> Group:
    grid = _grid("place", "", "bits", "rank", "expected, the true one in brackets")
    reading = seen.reading
    for place in range(1, min(len(seen.text), _SHOWN["expectation"])):
        character = Text(visible_character(seen.text[place]), "bold")
        bits, rank = f"{reading.bits[place]:4.1f}", f"{reading.char_ranks[place]:4}"
        expected = _expected(seen, place, reading.likeliest.shape[1])
        grid.add_row(str(place), character, bits, rank, expected)
    return Group(_title("Expectation", _first_of(_SHOWN["expectation"], seen)), grid)


def _unit_lines(seen: Inspection) -> Group:
    grid = _grid("layer:unit", "follows", "correlation")
    for unit in seen.units:
        grid.add_row(unit.name, *_follows(unit))
    return Group(_title("Memory", "what single units follow"), grid)


def _follows(unit: Unit) -> tuple[str, ...]:
    """Return the cells for the feature that a unit follows and for the correlation."""
    if unit.feature is None:
        return ("nothing known",)
    return unit.feature, f"{unit.correlation:+.2f}".replace("-", "−")


def _remembered_text(seen: Inspection) -> Iterable[RenderableType]:
    most = _SHOWN["memory"]
    yield Group(
        _title("Memory", f"activation after each character; {_first_of(most, seen)}"),
        _legend(_ACTIVATION, "−1 to 1"),
    )
    for unit in seen.units:
        yield Group(
            _title(f"Unit {unit.name}", ", correlation ".join(_follows(unit))),
            _coloured(seen.text[:most], seen.scaled(unit)[:most], _ACTIVATION),
        )


def _gated_text(seen: Inspection) -> Iterable[RenderableType]:
    most = _SHOWN["gates"]
    yield Group(
        _title("Gates", f"after each character; {_first_of(most, seen)}"),
        _legend(_ACTIVATION, "−1 to 1; the state is shown by its largest"),
    )
    for unit in seen.units:
        for gate, values in seen.gates(unit).items():
            if gate == "state":
                values = values / (np.abs(values).max() or 1)
            title = _title(f"Unit {unit.name}, {gate}", ", correlation ".join(_follows(unit)))
            yield Group(title, _coloured(seen.text[:most], values[:most], _ACTIVATION))


def _original_texts(seen: Inspection, top: int) -> Iterable[RenderableType]:
    yield Group(
        _title("Origins", "how much each earlier character matters to the loss of the last"),
        _legend(_ORIGIN, "share of the largest"),
    )
    for place, norms in seen.origins(top).items():
        line, column = line_and_column(seen.text, place)
        before = seen.text[place - len(norms) : place]
        drawn = _coloured(before, norms[::-1] / (norms.max() or 1), _ORIGIN)
        drawn.append(f"[{visible_character(seen.text[place])}]", "bold underline")
        yield Group(_title(f"{line}:{column}", f"{seen.reading.bits[place]:.1f} bits"), drawn)


def _fading(flows: Sequence[GradientFlow], width: int) -> Group:
    """Return bars for the gradient at some lags, on a log scale from 1 % of lag 0 to all of it."""
    grid = _grid("lag", *(f"layer {flow.name}" for flow in flows))
    longest = max(1, min(20, (width - 5) // len(flows) - 10))
    last = len(flows[0].norms) - 1
    for lag in [*(lag for lag in _LAGS if lag < last), last]:
        grid.add_row(str(lag), *(_bar(float(flow.shares[lag]), longest) for flow in flows))
    mean = (
        f"mean ‖∂L(t)/∂h(t−k)‖ of {flows[0].positions} places t, by lag k; bars: log scale from 1 %"
    )
    return Group(_title("Gradient flow", mean), grid)


def _bar(share: float, longest: int) -> str:
    length = round(longest * math.log(share / LOST, 1 / LOST)) if share > LOST else 0
    amount = f"{share:.2%}" if share < 10 else f"×{share:.0e}"
    return f"{amount:>7} {'█' * min(length, longest)}"


def _verdicts(flows: Sequence[GradientFlow]) -> Group:
    grid = _grid("layer", "gradient", "ρ", "σ")
    for flow in flows:
        radius, value = f"{flow.spectral_radius:.2f}", f"{flow.largest_singular_value:.2f}"
        grid.add_row(flow.name, flow.verdict, radius, value)
    title = _title("How far back it learns", "W: spectral radius ρ, largest singular value σ")
    return Group(title, grid)
