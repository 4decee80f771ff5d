"""The command `charnn eval`."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from charnn.commands.console import say, waiting, with_bar
from charnn.commands.figures import print_figures
from charnn.commands.options import (
    ADAPT_RATE,
    AGAINST,
    JSON,
    NOVELTY,
    UNKNOWN,
    adapt_rate_of,
    file_path,
)
from charnn.commands.texts import text_to_read, training_text
from charnn.errors import RequestError
from charnn.showing import excerpt, one_line


def eval_(
    ckpt: Annotated[
        list[Path],
        typer.Option(
            "--ckpt",
            help="Checkpoint to read; repeatable with --each.",
            metavar="FILE.npz",
            parser=file_path,
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Text to evaluate as a whole; - for stdin."),
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        typer.Option(help="Part of the text the model was trained on. Default: val."),
    ] = None,
    unknown: Annotated[Literal["error", "skip"], UNKNOWN] = "error",
    context: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Reset the state to zero every N characters."),
    ] = None,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Also evaluate a model that learns while it reads.")
    ] = False,
    adapt_rate: Annotated[float | None, ADAPT_RATE] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Score each document separately, or each line.")
    ] = False,
    novelty: Annotated[bool, NOVELTY] = False,
    against: Annotated[list[str] | None, AGAINST] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Print how well a model predicts a text.

    The loss is exact: the model reads the text from the zero state to the end, one character at a
    time. Bits per byte count the text's bytes in UTF-8. For comparison, the output has the bits per
    character of simpler methods on the same text: adaptive counts of characters (unigram) and of
    pairs (bigram), and xz.

    --context N resets the state every N characters, for a fair comparison with models that see at
    most N characters. --novelty reports the share of the text that is copied verbatim from the
    training text, as in `charnn sample`.

    For a model of documents (data.documents), the text is divided in the same way, and the model
    reads each document from the zero state. The loss is the mean over all characters and the ends
    of the documents. --novelty also counts the documents that are in the training text.

    --adapt reads the text a second time with a model that continues to learn (dynamic evaluation).
    The model predicts and scores 64 characters and then takes one training step on them. Its loss
    is printed beside the other.

    --each prints a row of a table for each document, or for each line if the model has no
    documents; with --json, an object. A row has the bits, their mean, the mean rank of the actual
    characters (1 is the most probable), and the most surprising place. With several --ckpt, it has
    the bits under each model and the model with the fewest.

    \b
    Examples:
      charnn eval --ckpt run1.npz
      charnn eval --ckpt run1.npz --data other.txt --unknown skip
      charnn eval --ckpt run1.npz --split train --json | jq .bits_per_char
      charnn eval --ckpt run1.npz --split val --data where/it/is/now.txt
      charnn eval --ckpt run1.npz --data mine.txt --novelty
      charnn eval --ckpt run1.npz --data mine.txt --adapt
      charnn eval --each --ckpt names.npz --data mine.txt | sort -t$'\t' -k4n
      charnn eval --each --ckpt en.npz --ckpt fr.npz --data lines.txt --json | jq -r .likeliest
    """
    if each:
        if novelty or adapt or context is not None:
            raise RequestError("--each excludes --novelty, --adapt and --context")
        from charnn.commands.each import print_each

        print_each(ckpt, data, split, unknown, as_json)
        return
    if len(ckpt) > 1:
        raise RequestError("several --ckpt are for --each")
    if against and not novelty:
        raise RequestError("--against is for --novelty")
    if adapt and context is not None:
        raise RequestError("--adapt carries the state on, so it excludes --context")
    if novelty and unknown == "skip":
        raise RequestError("--novelty looks for exact copies; leave out --unknown skip")
    rate = adapt_rate_of(adapt, adapt_rate)
    from charnn.baselines import counting_bits, xz_bits
    from charnn.checkpoint.checkpoint import load
    from charnn.commands.advice import better_checkpoint
    from charnn.evaluation import evaluating
    from charnn.machine import blas_threads, cores
    from charnn.novelty import copies
    from charnn.text.documents import Documents

    checkpoint = load(ckpt[0])
    for note in better_checkpoint(ckpt[0], checkpoint):
        say(note)
    known = checkpoint.vocabulary
    name, ids, skipped = text_to_read(checkpoint, data, split, unknown)
    training = training_text(checkpoint, against) if novelty else None
    threads = cores() if context is not None or known.boundary is not None else 1
    with blas_threads(1 if threads > 1 else None):
        score = with_bar(
            evaluating(
                checkpoint.model, ids, context=context, boundary=known.boundary, threads=threads
            )
        )
    with waiting("counting and compressing"):
        unigram, bigram = counting_bits(ids, len(known))
        scale = {
            "unigram_bits": unigram,
            "bigram_bits": bigram,
            "xz_bits": xz_bits(ids, known),
        }
    figures: dict[str, Any] = {
        "text": name if as_json else one_line(name),
        "characters": len(ids),
        "skipped": skipped,
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "bits_per_byte": score.total_nats / math.log(2) / known.utf8_bytes(ids[1:]),
        "perplexity": score.perplexity if math.isfinite(score.perplexity) else None,
        "accuracy": score.accuracy,
        **scale,
    }
    if known.boundary is not None:
        documents = int((ids == known.boundary).sum()) - 1
        figures |= {
            "characters": score.predictions - documents,
            "documents": documents,
            "bits_per_document": score.bits_per_char * score.predictions / documents,
        }
    if context is not None:
        figures["context"] = context
    if rate is not None:
        from charnn.adaptation import adapting

        adapted = with_bar(adapting(checkpoint.model, ids, rate=rate, boundary=known.boundary))
        figures |= {
            "adapted_nats_per_char": adapted.nats_per_char,
            "adapted_bits_per_char": adapted.bits_per_char,
            "adapted_accuracy": adapted.accuracy,
            "adapt_rate": rate,
        }
    if training is not None:
        with waiting("looking for copies"):
            found = copies([ids], training)
        longest = known.decode(found.longest)
        if known.boundary is not None:
            own, trained = (Documents.found(text, known.boundary) for text in (ids, training))
            figures["copied_documents"] = int(own.also_in(trained).sum())
        figures["copied_share"] = found.share
        figures["longest_copy"] = len(found.longest)
        figures["copy"] = longest if as_json else excerpt(longest)
    print_figures(figures, as_json)
