"""Draw docs/train.svg: a training session as a terminal shows it.

    python docs/picture.py TEXT

Trains configs/quick.yaml on TEXT and stops before the end, with the bar still there.
"""

import io
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from charnn.commands.reporters import LiveReporter
from charnn.commands.summaries import headline
from charnn.config.loading import Override, load_config
from charnn.text.corpus import Corpus
from charnn.text.reading import read_text
from charnn.training.trainer import Trainer
from charnn.writing import preview

HERE = Path(__file__).parent


def screen() -> Console:
    """Return a console that records."""
    return Console(record=True, width=92, file=io.StringIO(), force_terminal=True, highlight=False)


def draw(console: Console, name: str) -> None:
    """Write what a console has recorded, in the reader's own monospaced font."""
    drawing = console.export_svg(title="charnn", unique_id=name)
    drawing = re.sub(r"@font-face \{.*?\}\n", "", drawing, flags=re.DOTALL)
    (HERE / f"{name}.svg").write_text(drawing.replace("Fira Code", "ui-monospace"))


def train(text: str) -> None:
    """Train and draw."""
    console = screen()
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "data.path": Override(text, "--data"),
            "output.checkpoint": Override(f"{folder}/quick.npz", "--out"),
        }
        config = load_config(HERE.parent / "configs" / "quick.yaml", overrides)
        corpus = Corpus.from_text(read_text(config.data.path), val_fraction=0.1)
        trainer = Trainer(config, corpus)
        console.print("[bold]$ charnn train --config configs/quick.yaml[/bold]")
        for line in headline(trainer):
            console.print(line)
        # The display is not started: what it would redraw in place is printed once, at the end.
        reporter = LiveReporter(
            trainer, lambda: preview(trainer.averaged, corpus.vocabulary, seed=3), console
        )
        for event in trainer.run(stop_after=870):
            reporter.show(event)
        console.print(reporter.display())
    draw(console, "train")


if __name__ == "__main__":
    train(sys.argv[1])
