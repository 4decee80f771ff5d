"""The curves of runs as a picture, drawn by matplotlib."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from charnn.errors import CharnnError
from charnn.insight.curves import Axis, Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = {
    "loss, nats/char": ("train_loss", "val_loss"),
    "learning rate": ("learning_rate",),
    "gradient norm": ("grad_norm",),
    "characters/s": ("chars_per_second",),
}

_AXES = {"step": "step", "seconds": "time, s"}


def draw_curves(runs: Sequence[Curves], against: Axis, file_type: Literal["png", "svg"]) -> bytes:
    """Draw the losses, the learning rate, the gradient norm and the speed of some runs.

    Args:
        runs: the runs; each gets its own colour.
        against: the horizontal axis.
        file_type: the format of the picture.

    Returns:
        The picture's bytes. They depend on the curves alone.

    Raises:
        CharnnError: if matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise CharnnError(
            "plots need matplotlib, which is not installed: pip install 'charnn[plot]'"
        ) from None
    # An SVG keeps its text as text, and its identifiers depend on its content alone.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "charnn"}):
        figure = Figure(figsize=(10, 7), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True).flat
        for axes, (title, keys) in zip(panels, _PANELS.items(), strict=True):
            _draw(axes, runs, keys, against)
            axes.set_title(title, loc="left", fontsize="medium")
            axes.grid(alpha=0.3)
            axes.ticklabel_format(axis="y", style="plain", useOffset=False)
        for axes in panels[2:]:
            axes.set_xlabel(_AXES[against])
        panels[0].legend(fontsize="small")
        picture = io.BytesIO()
        metadata = {"Date": None} if file_type == "svg" else {}
        figure.savefig(picture, format=file_type, dpi=120, metadata=metadata)
    return picture.getvalue()


def _draw(axes: "Axes", runs: Sequence[Curves], keys: Sequence[str], against: Axis) -> None:
    """Draw one panel. The training loss is thin where the validation loss is drawn, too."""
    for number, run in enumerate(runs):
        colour, name = f"C{number % 10}", run.name.replace("$", r"\$")
        for key in keys:
            thin = key == "train_loss"
            x, y = run.points(key, against)
            axes.plot(
                x,
                y,
                color=colour,
                linewidth=1 if thin else 1.5,
                alpha=0.6 if thin else 1,
                marker="." if len(x) == 1 else "",
                label=f"{name} {key.removesuffix('_loss')}",
            )
        for place, at in enumerate(run.marks(against)):
            label = "" if place else f"{name} rollback"
            axes.axvline(at, color=colour, linewidth=0.8, linestyle=":", label=label)
