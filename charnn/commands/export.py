"""The command `charnn export`."""

from pathlib import Path
from typing import Annotated

import typer

from charnn.commands.options import CKPT, OVERWRITE
from charnn.commands.outfile import check_outfile, write_outfile


def export(
    ckpt: Annotated[Path, CKPT],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.safetensors", help="File to write.")
    ],
    overwrite: Annotated[bool, OVERWRITE] = False,
) -> None:
    """Write a model for PyTorch and other programs.

    The file has the names and shapes of nn.RNN, nn.LSTM or nn.GRU and nn.Linear; docs/pytorch.md
    has the ten lines that load it. `charnn import` goes the other way. Needs safetensors: pip
    install 'charnn[safetensors]'.

    \b
    Example:
      charnn export --ckpt run1.best.npz -o run1.safetensors
    """
    check_outfile(out, (".safetensors",), overwrite, inputs=[ckpt])
    from charnn.checkpoint.checkpoint import load
    from charnn.exchange import exported

    write_outfile(out, exported(load(ckpt)))
