"""The command `charnn import`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from charnn.commands.console import say
from charnn.commands.options import OVERWRITE, file_path
from charnn.commands.outfile import check_outfile
from charnn.errors import RequestError


def import_(
    file: Annotated[
        Path, typer.Argument(help="A model.", metavar="FILE.safetensors", parser=file_path)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.npz", help="Checkpoint to write.")
    ],
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The model's characters in the order of their ids, as text, or as a JSON list, "
            "string, or object from characters to ids.",
        ),
    ] = None,
    activation: Annotated[
        Literal["tanh", "relu"] | None,
        typer.Option(help="Activation of an nn.RNN. Default: that in the file, or tanh."),
    ] = None,
    overwrite: Annotated[bool, OVERWRITE] = False,
) -> None:
    """Read a model from PyTorch or from `charnn export`.

    The file must contain an nn.RNN, nn.LSTM or nn.GRU and an nn.Linear. It may also contain an
    nn.Embedding, which becomes a part of U, and nothing else; docs/pytorch.md has the details.
    `sample`, `eval --data`, `inspect`, `report` and `train --init` work with the checkpoint. The
    command needs safetensors: pip install 'charnn[safetensors]'.

    \b
    Examples:
      charnn import model.safetensors -o model.npz
      charnn import model.safetensors -o model.npz --vocabulary stoi.json
    """
    check_outfile(out, (".npz",), overwrite, [file, *([vocabulary] if vocabulary else [])])
    from charnn.exchange import imported

    characters = _characters(vocabulary) if vocabulary else None
    checkpoint = imported(file, characters, activation)
    checkpoint.save(out)
    spec = checkpoint.model.spec
    say(f"{out}: {spec.stack}, {spec.vocab_size:,} characters")


def _characters(path: Path) -> str:
    """Read the characters of a model.

    Raises:
        RequestError: if the file does not contain such a list.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path}: not UTF-8 text") from None
    if path.suffix != ".json":
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise RequestError(f"{path}: not valid JSON") from None
    if isinstance(found, dict):
        ids = list(found.values())
        if not all(type(number) is int for number in ids) or sorted(ids) != list(range(len(ids))):
            raise RequestError(f"{path}: the ids must be 0, 1, 2 … each once")
        found = sorted(found, key=found.__getitem__)
    if isinstance(found, list) and all(isinstance(one, str) and len(one) == 1 for one in found):
        found = "".join(found)
    if not isinstance(found, str):
        raise RequestError(f"{path}: expected single characters")
    return found
