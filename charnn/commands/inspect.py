"""The command `charnn inspect`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.console import console
from charnn.commands.options import CKPT, JSON, READ, UNIT, UNKNOWN, units_named
from charnn.commands.texts import VALIDATION, text_to_read
from charnn.showing import escaped, json_line, one_line


def inspect(
    ckpt: Annotated[Path, CKPT],
    data: Annotated[list[str] | None, READ] = None,
    view: Annotated[
        Literal["surprise", "expectation", "memory", "gates", "gradients", "origins"] | None,
        typer.Option(help="Show one view in full. Default: a summary of all."),
    ] = None,
    unit: Annotated[list[str] | None, UNIT] = None,
    place: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            help="Show the origins at character N (from 0), not at the most surprising places; "
            "repeatable.",
        ),
    ] = None,
    top: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Number of places, expected characters or units to list."
        ),
    ] = 5,
    n: Annotated[
        int, typer.Option("--n", "-n", min=2, metavar="N", help="Read at most N characters.")
    ] = 20_000,
    unknown: Annotated[Literal["error", "skip"], UNKNOWN] = "error",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show what a model expects, remembers and can learn.

    A terminal shows the beginning of the text in colour. A pipe receives tab-separated tables of
    all characters read. The views are:

    \b
      surprise     the bits that each character costs
      expectation  the most probable characters at each place
      memory       the correlation of hidden units with features of the text; the
                   feature is chosen on the first half, measured on the second
      gates        the gates of the same units, in an LSTM or a GRU
      gradients    how many characters back the gradient still reaches each layer
      origins      how much each character before a place affected its loss

    \b
    Examples:
      charnn inspect --ckpt run1.best.npz
      charnn inspect --ckpt run1.npz --view memory --unit 0:17 --data mine.txt
      charnn inspect --ckpt run1.npz --view surprise > surprise.tsv
      charnn inspect --ckpt lstm.npz --view gates --unit 0:17
      charnn inspect --ckpt run1.npz --view gradients --json | jq .layers
      charnn inspect --ckpt run1.npz --view origins --place 1042
    """
    chosen = units_named(unit)

    from charnn.checkpoint.checkpoint import load
    from charnn.insight.inspection import Inspection
    from charnn.insight.tables import as_objects, tab_separated, tables
    from charnn.insight.terminal import show

    checkpoint = load(ckpt)
    name, ids, _ = text_to_read(checkpoint, data, None, unknown, has_split=False)
    model, known = checkpoint.model, checkpoint.vocabulary
    seen = Inspection(model, known, ids, n, top=top, find=top, chosen=chosen, places=place or ())
    part = f"the first {len(seen.ids):,} of" if len(seen.ids) < seen.total else "all"
    note = one_line(f"{name if data else VALIDATION}: read {part} {seen.total:,} characters")
    if as_json:
        figures = {
            "text": escaped(name),
            "characters": len(seen.ids),
            "of": seen.total,
            "bits_per_char": seen.bits_per_char,
        }
        print(json_line(figures | as_objects(tables(seen, view, top))))
    elif sys.stdout.isatty():
        from rich.text import Text

        terminal = console(sys.stdout)
        terminal.print(Text(note, style="dim"), end="\n\n")
        show(seen, view, top, terminal)
    else:
        print(note, file=sys.stderr)
        found = tables(seen, view, top)
        for line in tab_separated([found[view]] if view else found.values()):
            print(line)
