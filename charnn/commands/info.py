"""The command `charnn info`."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from charnn.commands.figures import print_figures
from charnn.commands.options import CKPT, JSON
from charnn.showing import excerpt

if TYPE_CHECKING:
    from charnn.network.arrays import Array


def info(
    ckpt: Annotated[Path, CKPT],
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Print the contents of a checkpoint.

    The output has the model, the vocabulary, the training so far and the config. Two checkpoints
    with the same parameters have the same parameters sha256, whatever else they contain.

    \b
    Example:
      charnn info --ckpt run1.npz --json
    """
    from charnn.checkpoint.checkpoint import load
    from charnn.checkpoint.progress import NO_TEXT
    from charnn.config.writing import commented_yaml

    checkpoint = load(ckpt)
    model, progress = checkpoint.model, checkpoint.progress
    characters = checkpoint.vocabulary.characters
    figures: dict[str, Any] = {
        "cell": model.spec.cell,
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "activation": model.activation,
        "dtype": str(model.dtype),
        "parameters": model.parameters.flat.size,
        "vocab_size": model.vocab_size,
        "vocabulary": characters if as_json else excerpt(characters),
        "step": progress.step,
        "val_loss": progress.val_loss,
        "best_val_loss": progress.best_val_loss,
        "best_step": progress.best_step,
        "resumable": checkpoint.resumable,
        "corpus_sha256": None if progress.fingerprint == NO_TEXT else progress.fingerprint,
        "parameters_sha256": _digest(model.parameters.flat),
    }
    if as_json:
        figures["config"] = checkpoint.config.model_dump()
    print_figures(figures, as_json)
    if not as_json:
        print()
        print(commented_yaml(checkpoint.config), end="")


def _digest(parameters: "Array") -> str:
    """Return the SHA-256 of the numbers in little-endian order."""
    return hashlib.sha256(
        parameters.astype(parameters.dtype.newbyteorder("<")).tobytes()
    ).hexdigest()
