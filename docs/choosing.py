"""Draw choosing.svg from the runs that `python -m benchmarks.choosing --out FILE.json` wrote.

    python docs/choosing.py FILE.json …

This needs matplotlib.
"""

import json
import sys
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

HERE = Path(__file__).parent


def main(names: list[str]) -> None:
    """Draw a row for each text, with the eight configs made by hand and the choice."""
    runs = [run for name in names for run in json.loads(Path(name).read_text())]
    texts = list(dict.fromkeys(run["text"] for run in runs))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "charnn", "font.size": 9}):
        figure = Figure(figsize=(8, 0.4 * len(texts) + 1.2), layout="constrained")
        axes = figure.subplots()
        for row, text in enumerate(texts):
            own = {run["name"]: run["best"] for run in runs if run["text"] == text}
            chosen = own.pop("chosen")
            lowest = min(own.values())
            axes.plot([loss - lowest for loss in own.values()], [row] * len(own), "o", color="0.6")
            axes.plot(chosen - lowest, row, "D", color="C3")
        axes.set_yticks(range(len(texts)), texts)
        axes.invert_yaxis()
        axes.axvline(0.03, color="grey", lw=0.8, ls=":")
        axes.set_xlim(-0.05, 0.32)
        axes.set_xlabel("best validation loss above that of the best config made by hand, nats")
        axes.grid(axis="x", alpha=0.3)
        axes.plot([], [], "o", color="0.6", label="made by hand")
        axes.plot([], [], "D", color="C3", label="chosen")
        axes.legend(fontsize="small", loc="upper right")
        figure.savefig(HERE / "choosing.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
