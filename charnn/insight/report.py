"""A page that shows a model: one HTML file with its data inside. It makes no network requests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.baselines import counting_bits, xz_bits
from charnn.checkpoint.checkpoint import Checkpoint
from charnn.config.writing import commented_yaml
from charnn.evaluation import evaluating
from charnn.insight.curves import Curves, read_curves
from charnn.insight.inspection import Inspection
from charnn.insight.origins import origins
from charnn.insight.rendering import packed, rendered
from charnn.showing import escaped, printable
from charnn.text.encoding import Ids
from charnn.training.outputs import Outputs
from charnn.writing import sample

_TEMPERATURES = (0.5, 0.8, 1.0, 1.2)  # one sample each
_EXPECTED = 5  # characters listed at each place
_UNITS = 20
_BACK = 40  # characters before each whose effect on its loss is shown
_TOGETHER = 2000  # places whose gradients are computed together
_READ = 20_000  # the fewest characters that the units are chosen and measured on
_EVALUATED = 1_000_000  # the most characters that the loss is measured on
_POINTS = 400  # the most points of a curve

_CHARTS = {
    "Loss, nats per character": {"train_loss": "train", "val_loss": "validation"},
    "Learning rate": {"learning_rate": "learning rate"},
    "Gradient norm": {"grad_norm": "before clipping"},
    "Clipped steps": {"clipped": "share of the steps"},
    "Characters per second": {"chars_per_second": "speed"},
}


def page(
    checkpoint: Checkpoint,
    path: Path,
    name: str,
    ids: Ids,
    n: int,
    chosen: Sequence[tuple[int, int]] = (),
    on_stage: Callable[[str], None] = lambda stage: None,
) -> str:
    """Return the HTML of a page about a checkpoint.

    Args:
        checkpoint: the model.
        path: the file of the checkpoint. If its metrics log is beside it, the page has curves.
        name: the name of the text.
        ids: (N,) the text, N at least 2.
        n: how many characters of the text to show.
        chosen: (layer, index) of the units to show. Default: the units that follow a feature best.
        on_stage: called with the name of the next stage.

    Raises:
        CharnnError: if the log cannot be read.
        RequestError: if the model has no such unit.
    """
    model, vocabulary = checkpoint.model, checkpoint.vocabulary
    documents = checkpoint.config.data.documents
    on_stage("looking for units that follow something")
    seen = Inspection(
        model, vocabulary, ids, max(n, _READ), top=_EXPECTED, find=_UNITS, chosen=chosen
    )
    evaluated = ids[:_EVALUATED]
    log = Outputs.of(path).log
    losses = _losses(checkpoint, evaluated, on_stage)
    shown = min(n, len(seen.ids))
    traced = _origins(seen, shown, on_stage)
    on_stage("following gradients, drawing samples")
    return rendered(
        "report",
        checkpoint,
        path.name,
        text_name=printable(name),
        evaluated=len(evaluated),
        losses=losses,
        samples=[
            (temperature, escaped("".join(
                sample(
                    model, vocabulary, 300, seed=1, temperature=temperature,
                    samples=1 if documents is None else 10, documents=documents,
                )
            )))
            for temperature in _TEMPERATURES
        ],
        seen=seen,
        shown=shown,
        log=printable(log.name),
        config=commented_yaml(checkpoint.config),
        data={
            **_text_data(seen, n),
            "back": _BACK,
            "origins": packed(traced, "u1"),
            "curves": _charts(read_curves(log)) if log.exists() else [],
            "gradients": [
                {"name": flow.name, "shares": flow.shares.tolist()} for flow in seen.gradients
            ],
        },
    )  # fmt: skip


def _losses(
    checkpoint: Checkpoint, ids: Ids, on_stage: Callable[[str], None]
) -> list[tuple[str, float]]:
    """Return the bits per character of the model and of the baselines, lowest first."""
    boundary = checkpoint.vocabulary.boundary
    for score in evaluating(checkpoint.model, ids, segments=256, boundary=boundary):
        on_stage(f"evaluating: {score.predictions / score.total:.0%}")
    on_stage("counting and compressing")
    unigram, bigram = counting_bits(ids, len(checkpoint.vocabulary))
    rows = [
        ("this model", score.bits_per_char),
        ("unigram counts", unigram),
        ("bigram counts", bigram),
        ("xz", xz_bits(ids, checkpoint.vocabulary)),
    ]
    return sorted(((who, bits) for who, bits in rows if bits is not None), key=lambda row: row[1])


def _text_data(seen: Inspection, n: int) -> dict[str, Any]:
    """Return the data of the page for each of the first n characters.

    Numbers are packed arrays. Activations only choose a colour, so one byte each is enough: the
    scaled value times 127.
    """
    reading = seen.reading
    return {
        "text": seen.text[:n],
        "expected": seen.vocabulary.decode(reading.likeliest[:n]),
        "width": reading.likeliest.shape[1],
        "probabilities": packed(reading.probabilities[:n], "<f4"),
        "bits": packed(reading.bits[:n], "<f4"),
        "ranks": packed(reading.char_ranks[:n], "<u4"),
        "units": [
            {
                "name": unit.name,
                "feature": unit.feature,
                "correlation": unit.correlation,
                "activations": packed(np.rint(127 * seen.scaled(unit)[:n]), "<i1"),
            }
            for unit in seen.units
        ],
    }


def _origins(seen: Inspection, n: int, on_stage: Callable[[str], None]) -> NDArray[Any]:
    """Return how much the characters before each of the first n mattered to it, (n, _BACK).

    A row starts with the nearest, in units of 1/255 of the row's largest; 0 if there is none.
    """
    found = np.zeros((n, _BACK))
    for start in range(1, n, _TOGETHER):
        on_stage(f"looking for the origins of expectations: {start / n:.0%}")
        places = np.arange(start, min(start + _TOGETHER, n))
        found[places] = origins(
            seen.model, seen.reading, places, seen.vocabulary.boundary, back=_BACK
        )
    np.nan_to_num(found, copy=False)
    largest = np.maximum(found.max(axis=1, keepdims=True), 1e-300)
    shares: NDArray[Any] = np.rint(255 * found / largest)
    return shares


def _charts(run: Curves) -> list[dict[str, Any]]:
    """Return the curves of a log with at most `_POINTS` points each, and its rollbacks."""
    charts = []
    for title, keys in _CHARTS.items():
        series = []
        for key, label in keys.items():
            x, y = run.points(key)
            every = -(-len(x) // _POINTS) or 1
            # The points are thinned from the end, so that the last point is kept.
            series.append({"name": label, "x": x[::-every][::-1], "y": y[::-every][::-1]})
        series = [curve for curve in series if curve["x"]]
        if series:
            charts.append({"title": title, "series": series, "rollbacks": run.marks()})
    return charts
