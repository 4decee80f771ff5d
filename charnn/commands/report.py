"""TODO."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.options import (
    _CKPT,
    _OVERWRITE,
    _TEXT,
    _UNIT,
    _UNKNOWN,
    _VALIDATION,
    _units_named,
)
from charnn.commands.outputs import _check_output, _write
from charnn.commands.texts import _text_read_by


def report(
    ckpt: Annotated[Path, _CKPT],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="Page to write.")],
    text: Annotated[list[str] | None, _TEXT] = None,
    unit: Annotated[list[str] | None, _UNIT] = None,
    n: Annotated[
        int, typer.Option("--n", "-n", min=2, max=50_000, metavar="N", help="Characters to show.")
    ] = 5000,
    unknown: Annotated[Literal["error", "skip"], _UNKNOWN] = "error",
    overwrite: Annotated[bool, _OVERWRITE] = False,
) -> None:
    """Write a page that shows a model, outside and inside.

    Its losses, curves (from the log beside the checkpoint), samples, gradients and config; and the
    text, where pointing at a character, or moving with the arrow keys, shows what the model
    expected, and any of some twenty units gives the colours. One file that needs no network.
    Making it needs Jinja2: pip install 'charnn[report]'.

    \b
    Examples:
      charnn report --ckpt run1.best.npz -o run1.html
      charnn report --ckpt run1.npz --text mine.txt --unit 0:17 --unit 1:3 -o mine.html
    """
    chosen = _units_named(unit)
    _check_output(out, (".html", ".htm"), overwrite, read=[ckpt, *map(Path, text or [])])
    from charnn.checkpoint.checkpoint import load
    from charnn.commands.console import waiting
    from charnn.insight.report import page

    checkpoint = load(ckpt)
    name, ids, _ = _text_read_by(checkpoint, text, None, unknown, "--text")
    with waiting("reading and drawing"):
        html = page(checkpoint, ckpt, name if text else _VALIDATION, ids, n, chosen)
    _write(out, html.encode("utf-8", "backslashreplace"))
