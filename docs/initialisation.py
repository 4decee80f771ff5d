"""Draw initialisation.svg: how far gradients reach in networks without training.

    python docs/initialisation.py data/shakespeare.txt

This also prints the table of docs/initialisation.md. It needs matplotlib and half a minute.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

HERE = Path(__file__).parent
CHARNN = [sys.executable, "-m", "charnn"]
NETWORKS = {
    "tanh, W uniform": ("rnn", "tanh", "uniform"),
    "tanh, W orthogonal": ("rnn", "tanh", "orthogonal"),
    "tanh, W the identity": ("rnn", "tanh", "identity"),
    "relu, W uniform": ("rnn", "relu", "uniform"),
    "relu, W orthogonal": ("rnn", "relu", "orthogonal"),
    "relu, W the identity": ("rnn", "relu", "identity"),
    "LSTM, uniform": ("lstm", "tanh", "uniform"),
    "GRU, uniform": ("gru", "tanh", "uniform"),
}


def looked_at(text: str, cell: str, activation: str, init: str) -> dict[str, Any]:
    """Return the output of `charnn inspect --view gradients` for a network after no steps."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/start.npz"
        keys: dict[str, Any] = {"model.cell": cell, "model.init": init}
        keys |= {"model.hidden_size": 256, "model.num_layers": 1}
        if cell == "rnn":
            keys["model.activation"] = activation
        sets = [f"--set={key}={value}" for key, value in keys.items()]
        start = [
            "train",
            "--data",
            text,
            "--max-steps",
            "0",
            "--seed",
            "1",
            "--out",
            out,
            "--quiet",
        ]
        subprocess.run([*CHARNN, *start, *sets], check=True)
        look = ["inspect", "--ckpt", out, "--view", "gradients", "--n", "5000", "--json"]
        found: dict[str, Any] = json.loads(subprocess.check_output([*CHARNN, *look]))
        return found


def main(text: str) -> None:
    """Inspect every network; print the table and draw the curves."""
    print("| network | spectral radius of W | 1 % is left after | left after 200 characters |")
    print("|---|---|---|---|")
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "charnn", "font.size": 9}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots()
        for name, network in NETWORKS.items():
            seen = looked_at(text, *network)
            layer, column = seen["layers"][-1], [*seen["gradients"][0]][-1]
            norms = [row[column] for row in seen["gradients"]]
            shares = [norm / norms[0] for norm in norms]
            colour = {"rnn": "C3", "lstm": "C0", "gru": "C2"}[network[0]]
            style = {"uniform": ":", "orthogonal": "--", "identity": "-"}[network[2]]
            light = 0.45 if network[1] == "relu" else 1
            label = f"{name} (s)" if column.endswith("s") else name
            axes.plot(shares, style, color=colour, alpha=light, label=label)
            reach = "" if layer["reach"] is None else f"{layer['reach']} characters"
            last = shares[-1] if len(shares) > 200 else 0.0
            left = f"{last:.0%}" if last > 0.005 else "less than 0.5 %"
            print(f"| {label} | {layer['spectral_radius']:.2f} | {reach or 'never'} | {left} |")
        axes.set_yscale("log")
        axes.set_ylim(1e-4, 2)
        axes.set_xlim(0, 60)
        axes.axhline(0.01, color="grey", lw=0.8)
        axes.set_xlabel("characters back")
        axes.set_title("share of the gradient that is left", loc="left", fontsize="medium")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", ncols=2, loc="center right")
        figure.savefig(HERE / "initialisation.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
