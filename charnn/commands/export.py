"""The command `charnn export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.options import CKPT, OVERWRITE
from charnn.commands.outfile import check_outfile, write_outfile
from charnn.errors import RequestError


def export(
    ckpt: Annotated[Path, CKPT],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help="File to write: FILE.safetensors or FILE.html."
        ),
    ],
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(
            help="Number format of a page. float16 halves its size and changes log-probabilities "
            "by less than 0.01; float32 by less than 0.0001.  [default: float16]",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, OVERWRITE] = False,
) -> None:
    """Write a model for PyTorch, or as a page that runs it.

    FILE.safetensors has the names and shapes of nn.RNN, nn.LSTM or nn.GRU and nn.Linear;
    docs/pytorch.md has the lines that load it. `charnn import` reads it back. This format needs
    safetensors: pip install 'charnn[safetensors]'.

    FILE.html runs the model in a browser: you write, and the model continues. The page is one file
    that needs no network; docs/page.md describes it. This format needs Jinja2: pip install
    'charnn[report]'.

    \b
    Examples:
      charnn export --ckpt run1.best.npz -o run1.safetensors
      charnn export --ckpt run1.best.npz -o run1.html
    """
    check_outfile(out, (".safetensors", ".html"), overwrite, inputs=[ckpt])
    if dtype and out.suffix != ".html":
        raise RequestError("--dtype is for a page: -o FILE.html")
    from charnn.checkpoint.checkpoint import load

    if out.suffix == ".html":
        from charnn.insight.live import live_page

        html = live_page(load(ckpt), ckpt.name, dtype or "float16")
        write_outfile(out, html.encode("utf-8", "backslashreplace"))
    else:
        from charnn.exchange import exported

        write_outfile(out, exported(load(ckpt)))
