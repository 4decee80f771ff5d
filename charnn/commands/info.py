"""TODO."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from charnn.commands.options import _JSON


def info(
    ckpt: Annotated[Path, typer.Argument(help="A checkpoint.", metavar="FILE.npz")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print what a checkpoint holds.

    Its model, vocabulary, training so far and config.

    \b
    Example:
      charnn info run1.npz --json
    """
    from charnn.checkpoint.checkpoint import load
    from charnn.commands.console import shortened
    from charnn.config.writing import commented_yaml

    checkpoint = load(ckpt)
    model, progress = checkpoint.model, checkpoint.progress
    figures: dict[str, Any] = {
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "activation": model.activation,
        "dtype": str(model.dtype),
        "parameters": model.parameters.flat.size,
        "vocab_size": model.vocab_size,
        "vocabulary": checkpoint.vocabulary.characters,
        "step": progress.step,
        "val_loss": progress.val_loss,
        "best_val_loss": progress.best_val_loss,
        "best_step": progress.best_step,
        "resumable": checkpoint.resumable,
        "corpus_sha256": progress.fingerprint,
    }
    if as_json:
        figures["config"] = checkpoint.config.model_dump()
        _print_figures(figures, as_json)
        return
    figures["vocabulary"] = shortened(checkpoint.vocabulary.characters)
    _print_figures(figures, as_json)
    print()
    print(commented_yaml(checkpoint.config), end="")


def _print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures as one JSON object, or as aligned lines."""
    if as_json:
        # JSON itself leaves these as they are: delete, and the controls that begin with 0x80.
        escapes = {point: f"\\u{point:04x}" for point in range(0x7F, 0xA0)}
        print(json.dumps(figures, ensure_ascii=False).translate(escapes))
        return
    for name, value in figures.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        shown = f"{value:.4f}" if isinstance(value, float) else shown
        print(f"{name.replace('_', ' '):<16}{'-' if shown is None else shown}")
