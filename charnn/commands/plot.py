"""The command `charnn plot`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.console import say
from charnn.commands.options import OVERWRITE, file_path
from charnn.commands.outfile import check_outfile, write_outfile
from charnn.errors import RequestError


def plot(
    logs: Annotated[
        list[Path],
        typer.Argument(
            help="Metrics logs, one for each run.", metavar="RUN.jsonl", parser=file_path
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Picture to write, .png or .svg.")
    ],
    x: Annotated[
        Literal["step", "seconds"], typer.Option(help="The horizontal axis: step or time.")
    ] = "step",
    overwrite: Annotated[bool, OVERWRITE] = False,
) -> None:
    """Draw the curves of one run, or compare the curves of several.

    The picture has training and validation loss, learning rate, gradient norm and speed. The
    command needs matplotlib: pip install 'charnn[plot]'.

    \b
    Examples:
      charnn plot run1.jsonl -o loss.png
      charnn plot runs/*.jsonl --x seconds -o compared.svg
    """
    check_outfile(out, (".png", ".svg"), overwrite, inputs=logs)
    from charnn.insight.curves import read_all
    from charnn.insight.plots import MOST_RUNS, draw_curves

    file_type: Literal["png", "svg"] = "svg" if out.suffix == ".svg" else "png"
    runs, empty = read_all(logs)
    for path in empty:
        say(f"note: {path}: no metrics in it yet; left out")
    if len(runs) > MOST_RUNS:
        raise RequestError(
            f"{len(runs)} runs are too many for one picture; name at most {MOST_RUNS}"
        )
    write_outfile(out, draw_curves(runs, x, file_type))
