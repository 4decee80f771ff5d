"""TODO."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.options import _OVERWRITE
from charnn.commands.outputs import _check_output, _write


def plot(
    logs: Annotated[
        list[Path],
        typer.Argument(help="Metrics logs, one for each run.", metavar="RUN.jsonl", readable=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Picture to write, .png or .svg.")
    ],
    against: Annotated[
        Literal["step", "seconds"], typer.Option(help="What runs to the right.")
    ] = "step",
    overwrite: Annotated[bool, _OVERWRITE] = False,
) -> None:
    """Draw the curves of one run, or of several to compare.

    Training and validation loss, learning rate, gradient norm and speed. Needs matplotlib: pip
    install 'charnn[plot]'.

    \b
    Examples:
      charnn plot run1.jsonl -o loss.png
      charnn plot runs/*.jsonl --against seconds -o compared.svg
    """
    _check_output(out, (".png", ".svg"), overwrite, read=logs)
    from charnn.insight.curves import read_all
    from charnn.insight.plots import plot as picture

    _write(out, picture(read_all(logs), against, "svg" if out.suffix == ".svg" else "png"))
