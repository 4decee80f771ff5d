"""The command `charnn report`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.console import waiting
from charnn.commands.options import CKPT, OVERWRITE, READ, UNIT, UNKNOWN, units_named
from charnn.commands.outfile import check_outfile, write_outfile
from charnn.commands.texts import VALIDATION, text_to_read


def report(
    ckpt: Annotated[Path, CKPT],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="Page to write.")],
    data: Annotated[list[str] | None, READ] = None,
    unit: Annotated[list[str] | None, UNIT] = None,
    n: Annotated[
        int, typer.Option("--n", "-n", min=2, max=50_000, metavar="N", help="Characters to show.")
    ] = 5000,
    unknown: Annotated[Literal["error", "skip"], UNKNOWN] = "error",
    overwrite: Annotated[bool, OVERWRITE] = False,
) -> None:
    """Write a page that shows the losses, text and units of a model.

    The page has the model's losses, curves (from the log beside the checkpoint), samples, gradients
    and config. It also has the text: point at a character, or move with the arrow keys, to see what
    the model expected there. About twenty hidden units can colour the text. The page is one file
    that needs no network. The command needs Jinja2: pip install 'charnn[report]'.

    \b
    Examples:
      charnn report --ckpt run1.best.npz -o run1.html
      charnn report --ckpt run1.npz --data mine.txt --unit 0:17 --unit 1:3 -o mine.html
    """
    chosen = units_named(unit)
    check_outfile(out, (".html", ".htm"), overwrite, inputs=[ckpt, *map(Path, data or [])])
    from charnn.checkpoint.checkpoint import load
    from charnn.insight.report import page

    checkpoint = load(ckpt)
    name, ids, _ = text_to_read(checkpoint, data, None, unknown, has_split=False)
    with waiting("reading") as on_stage:
        html = page(checkpoint, ckpt, name if data else VALIDATION, ids, n, chosen, on_stage)
    write_outfile(out, html.encode("utf-8", "backslashreplace"))
