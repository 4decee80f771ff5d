"""Draw docs/train.svg: a real training session as a terminal shows it.

    python docs/picture.py TEXT

Trains configs/quick.yaml on TEXT and stops in the middle, with the bar still there.
"""

import io
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from charnn.config import Override, load_config
from charnn.console import LiveReporter, headline
from charnn.corpus import Corpus, read_text
from charnn.sampling import preview
from charnn.training import Trainer

HERE = Path(__file__).parent


def main(text: str) -> None:
    """Train and draw."""
    console = Console(record=True, width=92, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "data.path": Override(text, "--data"),
            "output.checkpoint": Override(f"{folder}/quick.npz", "--out"),
        }
        config = load_config(HERE.parent / "configs" / "quick.yaml", overrides)
        corpus = Corpus.from_text(read_text(config.data.path), val_fraction=0.1)
        trainer = Trainer(config, corpus)
        console.print("[bold]$[/bold] charnn train --config configs/quick.yaml", highlight=False)
        for line in headline(trainer):
            console.print(line, highlight=False)
        # The display is not started: what it would redraw in place is printed once, at the end.
        reporter = LiveReporter(
            trainer, lambda: preview(trainer.model, corpus.vocabulary, seed=1), console
        )
        for event in trainer.run(stop_after=870):
            reporter.show(event)
        console.print(reporter.display())
    console.save_svg(str(HERE / "train.svg"), title="charnn")


if __name__ == "__main__":
    main(sys.argv[1])
