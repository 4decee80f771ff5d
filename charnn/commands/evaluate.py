"""TODO."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from charnn.commands.info import _print_figures
from charnn.commands.options import _AGAINST, _CKPT, _JSON, _NOVELTY
from charnn.commands.texts import _copies, _text_read_by, _training_text
from charnn.errors import RequestError
from charnn.showing import one_line


def eval_(
    ckpt: Annotated[Path, _CKPT],
    data: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Read this text, whole; - for stdin.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        typer.Option(help="Part of the text the model was trained on; default val."),
    ] = None,
    unknown: Annotated[
        Literal["error", "skip"], typer.Option(help="Characters the model does not know.")
    ] = "error",
    context: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Start anew from the zero state every N characters."),
    ] = None,
    novelty: Annotated[bool, _NOVELTY] = False,
    against: Annotated[list[str] | None, _AGAINST] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print how well a model predicts a text.

    The loss is exact: the text is read from the zero state to the end, one character at a time.
    For scale, in bits per character of the same text: models that count characters (unigram) or
    pairs (bigram) as they go, and xz.

    --context N compares with models that see at most N characters: the text is cut into blocks of
    N predictions, each read from the zero state. --novelty tells how much of the text is copied
    from the training text, character for character, as `charnn sample` does.

    \b
    Examples:
      charnn eval --ckpt run1.npz
      charnn eval --ckpt run1.npz --data other.txt --unknown skip
      charnn eval --ckpt run1.npz --split train --json | jq .bits_per_char
      charnn eval --ckpt run1.npz --split val --data where/it/is/now.txt
      charnn eval --ckpt run1.npz --data mine.txt --novelty
    """
    if against and not novelty:
        raise RequestError("--against is for --novelty")
    if novelty and unknown == "skip":
        raise RequestError("--novelty looks for exact copies; leave out --unknown skip")
    from charnn.baselines import bigram_bits, unigram_bits, xz_bits
    from charnn.checkpoint.checkpoint import load
    from charnn.commands.console import shortened, waiting, watch
    from charnn.evaluation import evaluating

    checkpoint = load(ckpt)
    known = checkpoint.vocabulary
    name, ids, skipped = _text_read_by(checkpoint, data, split, unknown)
    training = _training_text(checkpoint, against) if novelty else None
    result = watch(evaluating(checkpoint.model, ids, context=context))
    with waiting("counting and compressing"):
        scale = {
            "unigram_bits": unigram_bits(ids, len(known)),
            "bigram_bits": bigram_bits(ids, len(known)),
            "xz_bits": xz_bits(ids, known),
        }
    figures: dict[str, Any] = {
        "text": name if as_json else one_line(name),
        "characters": len(ids),
        "skipped": skipped,
        "nats_per_char": result.nats_per_char,
        "bits_per_char": result.bits_per_char,
        "perplexity": result.perplexity,
        "accuracy": result.accuracy,
        **scale,
    }
    if context is not None:
        figures["context"] = context
    if training is not None:
        found = _copies([ids], training)
        run = known.decode(found.longest)
        figures["copied_share"] = found.share
        figures["longest_copy"] = len(found.longest)
        figures["copy"] = run if as_json else shortened(run)
    _print_figures(figures, as_json)
