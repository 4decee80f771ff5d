"""TODO."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.options import _CKPT, _JSON, _TEXT, _UNIT, _UNKNOWN, _VALIDATION, _units_named
from charnn.commands.texts import _text_read_by
from charnn.showing import escaped


def inspect(
    ckpt: Annotated[Path, _CKPT],
    text: Annotated[list[str] | None, _TEXT] = None,
    view: Annotated[
        Literal["surprise", "expectation", "memory", "gradients"] | None,
        typer.Option(help="One view in full; default a summary of all."),
    ] = None,
    unit: Annotated[list[str] | None, _UNIT] = None,
    top: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Places, expected characters or units to list."),
    ] = 5,
    n: Annotated[
        int, typer.Option("--n", "-n", min=2, metavar="N", help="Characters to read, at most.")
    ] = 20_000,
    unknown: Annotated[Literal["error", "skip"], _UNKNOWN] = "error",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what a model expects, remembers and can learn.

    Surprise is the bits each character costs; expectation, what was likeliest in its place; memory,
    what hidden units follow (correlation of the activation with a feature of the text, chosen on
    the first half and measured on the second); gradients, how many characters back the loss still
    reaches each layer. A pipe gets tab-separated tables of all that was read, a terminal the
    beginning in colour.

    \b
    Examples:
      charnn inspect --ckpt run1.best.npz
      charnn inspect --ckpt run1.npz --view memory --unit 0:17 --text mine.txt
      charnn inspect --ckpt run1.npz --view surprise > surprise.tsv
      charnn inspect --ckpt run1.npz --view gradients --json | jq .layers
    """
    chosen = _units_named(unit)

    from charnn.checkpoint.checkpoint import load
    from charnn.insight.inspection import Inspection
    from charnn.insight.tables import as_json as jsonified
    from charnn.insight.tables import tab_separated, tables
    from charnn.insight.terminal import show

    checkpoint = load(ckpt)
    name, ids, _ = _text_read_by(checkpoint, text, None, unknown, "--text")
    model, known = checkpoint.model, checkpoint.vocabulary
    seen = Inspection(model, known, ids, n, top=top, find=top, chosen=chosen)
    part = f"the first {len(seen.ids):,} of" if len(seen.ids) < seen.total else "all"
    part = f"{name if text else _VALIDATION}: read {part} {seen.total:,} characters"
    if as_json:
        figures = {
            "text": escaped(name),
            "characters": len(seen.ids),
            "of": seen.total,
            "bits_per_char": seen.bits_per_char,
        }
        print(jsonified(figures, tables(seen, view, top)))
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        console.print(Text(escaped(part), style="dim"), end="\n\n")
        show(seen, view, top, console)
    else:
        print(escaped(part), file=sys.stderr)
        found = tables(seen, view, top)
        for line in tab_separated([found[view]] if view else found.values()):
            print(line)
