"""The command `charnn gradcheck`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charnn.commands.options import JSON, SET, file_path
from charnn.errors import CharnnError, RequestError
from charnn.showing import json_line

if TYPE_CHECKING:
    from charnn.config.keys import Config
    from charnn.insight.gradcheck import Row

# The defaults are small, because each parameter needs two losses.
_SMALL = {
    "model.hidden_size": 6,
    "model.num_layers": 1,
    "training.seq_length": 8,
    "training.batch_size": 3,
    "training.seed": 1,
}
_USED = _SMALL.keys() | {"model.cell", "model.activation", "training.loop"}
_TELLING = 3  # the fewest characters that distinguish the slips
_CHARACTERS = 6  # K = H, so that few slips in a backward pass end in an error of shapes
_MOST = 20_000  # parameters, and characters of a window


def gradcheck(
    assignments: Annotated[
        list[str] | None,
        SET,
    ] = None,
    mine: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.py", help="Check the function backward in this file.", parser=file_path
        ),
    ] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Check gradients against central differences.

    A small network with random parameters reads random characters, in float64. The command compares
    each gradient with the change of the loss when an element of the parameter changes a little. The
    exit code is 1 if a relative difference is 1e-6 or more.

    --mine compares your own backward pass with charnn's. backward(parameters, inputs, targets,
    state) receives a dict of arrays by name (U, W, b, V and c of one layer), T character ids, the T
    ids that follow, and the state before, (1, H). It returns a dict of the gradients of the loss
    summed over the characters: dU, dW, db, dV, dc. The output names common mistakes.

    With `--set model.cell=lstm` the state is (2, H), h and then s; a GRU also has d. With several
    layers the names are U0, W0, b0, U1 and so on.

    \b
    Examples:
      charnn gradcheck
      charnn gradcheck --set model.cell=lstm --set model.num_layers=2
      charnn gradcheck --mine homework.py
    """
    from charnn.insight.gradcheck import Window, compared, of_a_file
    from charnn.network.spec import Spec

    config = _config(assignments or [])
    training, model = config.training, config.model
    T, B = training.seq_length, training.batch_size
    if T == "full":
        raise RequestError("training.seq_length must be a number here")
    parameters = Spec.from_config(model, _CHARACTERS, "float64").num_parameters
    for count, things in ((parameters, "parameters"), (T * B, "characters")):
        if count > _MOST:
            raise RequestError(f"{count:,} {things} take too long; at most {_MOST:,}")
    window = Window.drawn(model, _CHARACTERS, T, 1 if mine else B, training.seed or 0)
    hints = {}
    if mine:
        found = of_a_file(mine, window)
        rows = compared(found, window.gradients(textbook=True))
        wrong = [row.parameter for row in rows if not row.agrees]
        hints = {parameter: _hint(found, window, parameter) for parameter in wrong}
    else:
        ours = window.gradients(textbook=training.loop == "textbook")
        rows = compared(ours, window.differences())
        wrong = [row.parameter for row in rows if not row.agrees]
    _print(rows, hints, as_json)
    if wrong:
        raise CharnnError(f"wrong: {', '.join(f'd{name}' for name in wrong)}")


def _config(assignments: list[str]) -> "Config":
    from charnn.config.keys import all_keys
    from charnn.config.loading import Override, load_config, parse_override
    from charnn.config.values import listed

    given = dict(parse_override(text) for text in assignments)
    for key in given.keys() - _USED:
        if key in all_keys():
            raise RequestError(f"{key} is not for gradcheck; it takes {listed(sorted(_USED))}")
    small = {key: Override(value, "--set") for key, value in _SMALL.items()}
    return load_config(None, small | given)


def _hint(found: dict[str, Any], window: Any, parameter: str) -> str:
    from charnn.insight.slips import likely_slip

    spec = window.network.spec
    if spec.num_layers > 1 or spec.cell != "rnn" or spec.activation != "tanh":
        return "common mistakes are known only for one layer of tanh units"
    if len(window.inputs) < _TELLING:
        return f"too few steps to identify the mistake; use training.seq_length {_TELLING} or more"
    return likely_slip(found, window, parameter)


def _print(rows: "list[Row]", hints: dict[str, str], as_json: bool) -> None:
    if as_json:
        objects = [
            {**row._asdict(), "agrees": row.agrees, "hint": hints.get(row.parameter)}
            for row in rows
        ]
        print(json_line({"gradients": objects, "agree": all(row.agrees for row in rows)}))
        return
    columns = ["", "shape", "norm", "difference", "worst element", "found", "right"]
    lines = [columns]
    for row in rows:
        shape = " × ".join(map(str, row.shape))
        worst = ", ".join(map(str, row.worst))
        lines.append(
            [
                f"d{row.parameter}",
                shape,
                f"{row.norm:.4f}",
                f"{row.difference:.1e}",
                worst,
                f"{row.found:.6f}",
                f"{row.right:.6f}",
            ]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for number, line in enumerate(lines):
        shown = "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        hint = hints.get(rows[number - 1].parameter) if number else None
        print(shown.rstrip())
        if hint:
            print(f"    {hint}")
