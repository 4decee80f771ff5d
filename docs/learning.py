"""Draw docs/learning.svg: the first steps of a run on C code, with a small and a large U.

    cat /usr/include/*.h | head -c 60000 > headers.txt
    PYTHONPATH=. python docs/learning.py headers.txt

This trains three vanilla layers on the text for the first 600 of 1,000 steps. After every tenth
step it measures the network on a fixed window. It needs matplotlib.
"""

import math
import sys
import tempfile
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from picture import HERE

from charnn.baselines import unigram_entropy
from charnn.config.loading import Override, load_config
from charnn.network.bptt import BPTT
from charnn.network.network import Network, Reader
from charnn.optimizers import learning_rate_at
from charnn.text.corpus import Corpus
from charnn.text.reading import read_text
from charnn.training.events import Stepped
from charnn.training.trainer import Trainer

STEPS, EVERY = 600, 10
SATURATED = 0.98  # |h| above this: f'(a) = 1 − h² is below 0.04

TITLES = {
    "loss": "training loss, nats/char",
    "norm": "gradient norm ÷ its running mean",
    "saturated": f"share of units with |h| > {SATURATED}",
    "W h": "size of W h ÷ size of U x + b",
    "moved": "change of a parameter in a step ÷ η",
    "differ": "how far h of the top layer differs among streams",
}


def profile(corpus: Corpus, *, small: bool) -> dict[str, list[list[float]]]:
    """Train; return each quantity at every tenth step, one value per layer or a single one."""
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, Any] = {
            "model.cell": "rnn",
            "model.num_layers": 3,
            "training.learning_rate": 4e-3,
            "training.warmup_steps": 200,
            "training.max_steps": 1000,
            "training.threads": 1,
            "output.checkpoint": f"{folder}/run.npz",
        }
        overrides = {key: Override(value, "docs/learning.py") for key, value in values.items()}
        config = load_config(HERE.parent / "configs" / "tinyshakespeare-fast.yaml", overrides)
        trainer = Trainer(config, corpus)
        if small:  # as in version 0.1.0: ±1/√n in every layer, n = K in the first
            for name, U in trainer.model.parameters.items():
                if name[0] == "U":
                    U /= math.sqrt(3 * (trainer.model.vocab_size if name == "U0" else 1))
        seen: dict[str, list[list[float]]] = {title: [] for title in TITLES}
        losses: list[float] = []
        smoothed: list[float] | None = None
        before = trainer.model.parameters.flat.copy()
        for event in trainer.run(stop_after=STEPS):
            if not isinstance(event, Stepped):
                continue
            losses.append(event.loss)
            if event.step % EVERY == 0:
                found, norms = look(trainer.model, trainer.streams.ids)
                smoothed = smoothed or norms
                found["norm"] = [norm / mean for norm, mean in zip(norms, smoothed, strict=True)]
                smoothed = [0.8 * m + 0.2 * n for m, n in zip(smoothed, norms, strict=True)]
                found["loss"] = [float(np.mean(losses[-EVERY:]))]
                step = rms(trainer.model.parameters.flat - before)
                eta = learning_rate_at(config.training, event.step - 1, trainer.total_steps)
                found["moved"] = [step / eta]
                for name, of_layers in found.items():
                    seen[name].append(of_layers)
            before[...] = trainer.model.parameters.flat
        return seen


def look(network: Network, ids: np.ndarray) -> tuple[dict[str, list[float]], list[float]]:
    """Read a window of the text; return figures of the layers, and their gradients' norms."""
    T, B = 64, 32
    window = ids[: (T + 1) * B].reshape(B, T + 1).T.astype(np.intp)
    bptt = BPTT(network, T, B)
    bptt(window[:-1], window[1:], network.zero_state(B))
    reader = Reader(network, T, B)
    reader.read(window[:-1], network.zero_state(B))
    found: dict[str, list[float]] = {"saturated": [], "W h": []}
    norms = []
    for layer, h in enumerate(reader.states):
        by_letter = network.parameters.of_layer(layer)
        from_before = h[:-1] @ by_letter["W"].T
        # Where tanh is nearly flat, h does not determine a, so U x + b is computed again.
        below = by_letter["U"].T[window[:-1]] if layer == 0 else reader.states[layer - 1, 1:]
        from_below = (below if layer == 0 else below @ by_letter["U"].T) + by_letter["b"]
        found["saturated"].append(float((np.abs(h[1:]) > SATURATED).mean()))
        found["W h"].append(rms(from_before) / rms(from_below))
        gradients = bptt.gradients.of_layer(layer).values()
        norms.append(float(np.sqrt(sum((g.astype(float) ** 2).sum() for g in gradients))))
    found["differ"] = [float(reader.states[-1, -1].std(axis=0).mean())]
    return found, norms


def rms(values: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=float))))


def draw(profiles: dict[str, dict[str, list[list[float]]]], unigram: float) -> None:
    """Draw a panel for each quantity."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "charnn", "font.size": 9}):
        figure = Figure(figsize=(10, 9), layout="constrained")
        for axes, (key, title) in zip(figure.subplots(3, 2).flat, TITLES.items(), strict=True):
            for colour, (name, seen) in zip(("C3", "C0"), profiles.items(), strict=True):
                values = np.array(seen[key])
                steps = EVERY * np.arange(1, len(values) + 1)
                for number, column in enumerate(values.T):
                    layer = f", layer {number}" if values.shape[1] > 1 else ""
                    style = ("-", "--", ":")[number]
                    axes.plot(steps, column, style, color=colour, lw=1.2, label=name + layer)
            if key == "loss":
                axes.axhline(unigram, color="grey", lw=0.8)
                axes.annotate("unigram entropy", (STEPS, unigram), ha="right", va="top")
            if key in ("norm", "W h"):
                axes.set_yscale("log")
            axes.set_title(title, loc="left", fontsize="medium")
            axes.grid(alpha=0.3)
            if key in ("loss", "saturated"):
                axes.legend(fontsize="small", loc="upper right" if key == "loss" else (0.6, 0.4))
        for axes in figure.axes[-2:]:
            axes.set_xlabel("step")
        figure.savefig(HERE / "learning.svg", metadata={"Date": None})


def main(text: str) -> None:
    """Train twice and draw."""
    corpus = Corpus.from_text(read_text([text]), val_fraction=0.1)
    ids = np.asarray(corpus.split("train"))
    profiles = {
        "small U": profile(corpus, small=True),
        "U x ≈ 1": profile(corpus, small=False),
    }
    draw(profiles, unigram_entropy(ids, len(corpus.vocabulary)))


if __name__ == "__main__":
    main(*sys.argv[1:])
