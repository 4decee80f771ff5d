"""Draw docs/train.svg: a training session as a terminal shows it.

    python docs/picture.py TEXT

This trains configs/quick.yaml on TEXT and stops before the end, so the picture has a progress bar.
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
    """Return a console that records its output."""
    return Console(record=True, width=92, file=io.StringIO(), force_terminal=True, highlight=False)


def draw(console: Console, name: str) -> None:
    """Write the recorded output as SVG, in the reader's own monospaced font."""
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
        # A started display would redraw itself in place, so this prints it once, at the end.
        reporter = LiveReporter(
            trainer, lambda: preview(trainer.averaged, corpus.vocabulary, seed=3), console
        )
        for event in trainer.run(stop_after=870):
            reporter.show(event)
        console.print(reporter.display())
    draw(console, "train")


if __name__ == "__main__":
    train(sys.argv[1])
