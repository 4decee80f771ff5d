"""The score of each document, by one model or several: `charnn eval --each`."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from charnn.commands.console import reading_bar, say, with_bar
from charnn.commands.texts import text_to_read
from charnn.errors import CorpusError, RequestError
from charnn.showing import BOUNDARY, BOUNDARY_NAME, escaped, json_line, printable

if TYPE_CHECKING:
    from charnn.checkpoint.checkpoint import Checkpoint
    from charnn.scoring import Scores

_EXCERPT = 60  # characters of a document in the table


class _Model(NamedTuple):
    path: Path
    checkpoint: "Checkpoint"

    @property
    def mark(self) -> str:
        """The symbol that the model reads before a document and predicts after it."""
        return BOUNDARY if self.checkpoint.config.data.documents else "\n"


def print_each(
    ckpts: Sequence[Path],
    data: list[str] | None,
    split: Literal["train", "val", "test", "all"] | None,
    unknown: Literal["error", "skip"],
    as_json: bool,
) -> None:
    """Print a JSON object, or a row of a table, for each document of a text.

    Raises:
        RequestError: if the models divide a text in different ways, or no text is named.
        CorpusError: if a model cannot read the text.
    """
    from charnn.checkpoint.checkpoint import load

    models = [_Model(path, load(path)) for path in ckpts]
    kinds = {model.checkpoint.config.data.documents or "lines" for model in models}
    if len(kinds) > 1:
        raise RequestError(
            f"these models divide a text in different ways: {', '.join(map(printable, kinds))}"
        )
    if len(models) > 1 and not data:
        raise RequestError("--each with several --ckpt reads one text for all: name it by --data")
    name, text = _divided(models[0].checkpoint, kinds.pop(), data, split)
    documents = text.split(BOUNDARY)[1:-1]
    if not documents:
        raise CorpusError(f"{name}: no document in it")
    if unknown == "skip":  # all models read the same characters
        vocabularies = [model.checkpoint.vocabulary for model in models]
        symbols = set(text) - {BOUNDARY}
        left_out = [ord(one) for one in symbols if not all(one in each for each in vocabularies)]
        text = text.translate(dict.fromkeys(left_out))
    scores = [_scores(model, name, text) for model in models]
    for line in _lines(models, documents, scores, as_json):
        print(line)


def _divided(
    checkpoint: "Checkpoint", kind: str, data: list[str] | None, split: Any
) -> tuple[str, str]:
    """Return the name of a text, and the text with a boundary before and after each document."""
    from charnn.text.documents import Divider
    from charnn.text.reading import read_blocks

    divider, known = Divider(kind), checkpoint.vocabulary
    if not data or split:
        name, ids, _ = text_to_read(checkpoint, data, split, "error")
        text = known.decode(ids)
        if known.boundary is None:
            text = BOUNDARY + "".join(divider.divide([text]))
    else:
        name = " ".join("standard input" if path == "-" else path for path in data)
        with reading_bar(name) as on_read:
            pieces = read_blocks(
                data,
                normalize_newlines=checkpoint.config.data.normalize_newlines,
                separator=BOUNDARY,
                on_read=on_read,
            )
            text = BOUNDARY + "".join(divider.divide(pieces))
    if divider.empty:
        say(f"note: {divider.empty:,} empty documents were left out")
    return name, text


def _scores(model: _Model, name: str, text: str) -> "Scores":
    from charnn.evaluation import evaluating
    from charnn.machine import blas_threads, cores
    from charnn.scoring import Scores
    from charnn.text.documents import Documents
    from charnn.text.encoding import UnknownCharactersError

    known, mark = model.checkpoint.vocabulary, model.mark
    if mark not in known:
        raise CorpusError(f"{model.path}: its vocabulary has no line end, so it cannot read lines")
    try:
        # The first mark is left out, so that errors count lines from 1.
        ids = known.encode(text.replace(BOUNDARY, mark)[1:])
    except UnknownCharactersError as error:
        raise UnknownCharactersError(
            f"{name}, read by {model.path}: {error}; leave them out by --unknown skip"
        ) from None
    first = known.encode(mark)
    ids = np.concatenate([first, ids])
    scores = Scores(Documents.found(ids, int(first[0])))
    with blas_threads(1):
        with_bar(
            evaluating(
                model.checkpoint.model,
                ids,
                boundary=int(first[0]),
                threads=cores(),
                score=scores.add,
            )
        )
    return scores


def _lines(
    models: Sequence[_Model], documents: list[str], scores: "list[Scores]", as_json: bool
) -> Iterator[str]:
    """Yield the lines to print."""
    columns = ["document", "characters", "bits", "bits_per_char", "mean_rank"]
    columns += ["place", "character", "bits_there", "text"]
    if len(models) > 1:
        columns = ["document", "likeliest", *(str(model.path) for model in models), "text"]
    if not as_json:
        yield "\t".join(map(printable, columns))
    figures = zip(*map(_figures, models, scores), strict=True)
    for number, (document, each) in enumerate(zip(documents, figures, strict=True)):
        found: dict[str, Any] = {"document": number + 1}
        if len(models) == 1:
            found |= each[0]
        else:
            named = {str(model.path): part for model, part in zip(models, each, strict=True)}
            found["likeliest"] = min(named, key=lambda path: float(named[path]["bits"]))
            found["models"] = named
        if as_json:
            yield json_line(found | {"text": escaped(document)})
            continue
        text = document if len(document) <= _EXCERPT else document[: _EXCERPT - 1] + "…"
        row = {**found.pop("surprise", {}), **found, "text": text}
        row |= {path: part["bits"] for path, part in found.get("models", {}).items()}
        yield "\t".join(_cell(row[column]) for column in columns)


def _figures(model: _Model, scores: "Scores") -> Iterator[dict[str, Any]]:
    """Yield the figures of each document under a model."""
    documents, known = scores.documents, model.checkpoint.vocabulary.characters
    columns = (
        documents.lengths,
        scores.nats / math.log(2),
        scores.ranks,
        scores.place,
        scores.most / math.log(2),
        documents.ids[documents.starts + 1 + scores.place],
    )
    for predictions, bits, ranks, place, most, came in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        at_end = place == predictions - 1
        yield {
            "characters": predictions - 1,
            "bits": round(bits, 4),
            "bits_per_char": round(bits / predictions, 4),
            "mean_rank": round(ranks / predictions, 3),
            "surprise": {
                "place": place + 1,
                "character": BOUNDARY_NAME if at_end else known[came],
                "bits_there": round(most, 4),
            },
        }


def _cell(value: Any) -> str:
    return printable(value.replace("\\", "\\\\")) if isinstance(value, str) else f"{value}"
