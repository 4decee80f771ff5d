"""The curves of runs as a picture, drawn by matplotlib."""

import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from charnn.errors import CharnnError
from charnn.insight.curves import Axis, Curves
from charnn.showing import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RUNS = 20  # ten colours, each with two kinds of lines, can be distinguished
_MOST_VALUES = 8  # runs whose last loss is written beside its line

_LOSS = "loss, nats/char"
_OTHERS = {
    "learning rate": "learning_rate",
    "gradient norm": "grad_norm",
    "characters/s": "chars_per_second",
}
_AXES = {"step": "step", "seconds": "time, s"}

# An SVG keeps its text as text, and its identifiers depend on its content alone.
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "charnn", "figure.dpi": 120}


def draw_curves(runs: Sequence[Curves], against: Axis, file_type: Literal["png", "svg"]) -> bytes:
    """Draw the losses, the learning rate, the gradient norm and the speed of some runs.

    Args:
        runs: the runs, at most `MOST_RUNS`; each gets its own colour and kind of line.
        against: the horizontal axis.
        file_type: the format of the picture.

    Returns:
        The picture's bytes. They depend only on the curves, not on the user's settings.

    Raises:
        CharnnError: if matplotlib is not installed.
    """
    with _matplotlib() as styled:
        figure = styled.figure.Figure(figsize=(11, 6.5), layout="constrained")
        panels = figure.subplot_mosaic(
            [[_LOSS, _LOSS, title] for title in _OTHERS], sharex=True, width_ratios=(1, 1, 0.9)
        )
        for title, axes in panels.items():
            axes.set_title(title, loc="left", fontsize="medium")
            axes.grid(alpha=0.3)
            axes.ticklabel_format(axis="y", style="plain", useOffset=False)
            axes.spines[["top", "right"]].set_visible(False)
        panels["characters/s"].yaxis.set_major_formatter("{x:,.0f}")
        for number, run in enumerate(runs):
            look = _look(number)
            _draw_losses(panels[_LOSS], run, against, look)
            for title, key in _OTHERS.items():
                _draw_line(panels[title], *run.points(key, against), **look, linewidth=1.2)
            for at in run.marks(against):
                panels[_LOSS].axvline(at, color=look["color"], linewidth=0.8, linestyle=":")
        _show_what_matters(panels[_LOSS], runs)
        _write_last_values(panels[_LOSS], runs, against)
        for title in (_LOSS, [*_OTHERS][-1]):
            panels[title].set_xlabel(_AXES[against])
        _explain(figure, runs, file_type)
        picture = io.BytesIO()
        metadata = {"Date": None} if file_type == "svg" else {}
        figure.savefig(picture, format=file_type, metadata=metadata)
    return picture.getvalue()


@contextmanager
def _matplotlib() -> Iterator[Any]:
    """Import matplotlib without the user's settings, and draw in our own style.

    A notebook sets MPLBACKEND for all programs that it starts; a matplotlibrc changes colours.
    """
    ours = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    theirs = {name: os.environ[name] for name in ours if name in os.environ}
    messages = logging.getLogger("matplotlib")
    level = messages.level
    messages.setLevel(logging.CRITICAL)  # errors in a matplotlibrc do not matter here
    os.environ |= ours
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError:
        raise CharnnError(
            "plots need matplotlib, which is not installed: pip install 'charnn[plot]'"
        ) from None
    finally:
        messages.setLevel(level)
        for name in ours:
            del os.environ[name]
        os.environ |= theirs
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")  # for instance of characters that the font lacks
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield matplotlib


def _look(number: int) -> dict[str, Any]:
    """Return the colour of a run, and its kind of line: the second ten are dashed."""
    return {"color": f"C{number % 10}", "linestyle": ("-", (0, (5, 1.5)))[number // 10 % 2]}


# --- lines ---------------------------------------------------------------------------------------


def _draw_line(axes: "Axes", x: list[float], y: list[float], **look: Any) -> None:
    axes.plot(x, y, marker="." if len(x) == 1 else "", **look)


def _draw_losses(axes: "Axes", run: Curves, against: Axis, look: dict[str, Any]) -> None:
    """Draw the training loss thin, the validation loss thick, and a dot at the best of it."""
    _draw_line(axes, *run.points("train_loss", against), **look, linewidth=0.7)
    x, y = run.points("val_loss", against)
    _draw_line(axes, x, y, **look, linewidth=2)
    if y:
        best = int(np.argmin(y))
        axes.plot(x[best], y[best], "o", color=look["color"], markersize=6)


def _show_what_matters(axes: "Axes", runs: Sequence[Curves]) -> None:
    """Let the vertical axis begin where the first tenth of a run has passed."""
    low, high = np.inf, -np.inf
    for run in runs:
        for key in ("train_loss", "val_loss"):
            y = run.points(key)[1]
            if y:
                low = min(low, min(y))
                high = max(high, float(np.percentile(y[len(y) // 10 :], 98)))
    if low < high:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))


def _write_last_values(axes: "Axes", runs: Sequence[Curves], against: Axis) -> None:
    """Write the last loss of each run beside its line, one above the other."""
    last = list[tuple[float, float, int]]()
    for number, run in enumerate(runs):
        x, y = run.points("val_loss", against)
        x, y = (x, y) if y else run.points("train_loss", against)
        if y and not _twin(run, runs[:number]):
            last.append((y[-1], x[-1], number))
    if len(last) > _MOST_VALUES:
        return
    low, high = axes.get_ylim()
    at = -np.inf
    for loss, end, number in sorted(last):
        at = max(at + 0.04 * (high - low), min(max(loss, low), high))
        axes.annotate(
            f"{loss:.3f}",
            (end, at),
            xytext=(5, 0),
            textcoords="offset points",
            color=_look(number)["color"],
            va="center",
            fontsize="small",
            annotation_clip=False,
        )


# --- words ---------------------------------------------------------------------------------------


def _explain(figure: "Figure", runs: Sequence[Curves], file_type: str) -> None:
    """Put a legend below: the meaning of each colour, then of each kind of line."""
    from matplotlib.lines import Line2D

    entries = [
        (
            Line2D([], [], lw=2, **_look(n)),
            _name(run, file_type) + _same_as(run, runs[:n], file_type),
        )
        for n, run in enumerate(runs)
    ]
    grey: dict[str, Any] = {"color": "0.4"}
    entries.append((Line2D([], [], lw=0.7, **grey), "training"))
    if any(run.points("val_loss")[1] for run in runs):
        entries.append((Line2D([], [], lw=2, **grey), "validation"))
        entries.append((Line2D([], [], lw=0, marker="o", markersize=6, **grey), "its best"))
    if any(run.marks() for run in runs):
        entries.append((Line2D([], [], lw=0.8, linestyle=":", **grey), "rollback"))
    handles, labels = zip(*entries, strict=True)
    columns = max(1, min(4, 110 // (8 + max(map(len, labels)))))
    legend = figure.legend(
        handles, labels, loc="outside lower left", ncols=columns, fontsize="small", frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # $ is a character of a name


def _name(run: Curves, file_type: str) -> str:
    """Return the name of a run as the picture can show it."""
    from matplotlib.font_manager import findfont, get_font

    # matplotlib omits entries that begin with an underscore, so a space precedes it.
    name = " " * run.name.startswith("_") + printable(run.name)
    if file_type == "svg":
        return name
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(c if ord(c) in known else f"U+{ord(c):04X} " for c in name).rstrip()


def _same_as(run: Curves, earlier: Sequence[Curves], file_type: str) -> str:
    """Return a note if a run has the losses of an earlier run, because its lines cover those."""
    twin = _twin(run, earlier)
    return f" (the same as {_name(twin, file_type).strip()})" if twin else ""


def _twin(run: Curves, earlier: Sequence[Curves]) -> Curves | None:
    """Return the earlier run with the same losses, if there is one."""
    keys = ("train_loss", "val_loss")
    same = (one for one in earlier if all(one.points(key) == run.points(key) for key in keys))
    return next(same, None)
