"""Draw docs/inspect.svg, report.png and page.png: a model on a terminal and in a browser.

    PYTHONPATH=. python docs/inside.py CHECKPOINT UNIT

CHECKPOINT belongs to a run whose text still exists. UNIT is one of its units, as LAYER:INDEX. This
needs Chromium.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from picture import HERE, draw, screen

from charnn.checkpoint.checkpoint import load
from charnn.insight.inspection import Inspection
from charnn.insight.tables import View
from charnn.insight.terminal import show
from charnn.text.corpus import Corpus
from charnn.text.reading import read_text
from tests.helpers.chromium import Page


def terminal(ckpt: str, unit: str) -> None:
    """Draw the summary and the other views below it."""
    checkpoint = load(ckpt)
    data, known = checkpoint.config.data, checkpoint.vocabulary
    corpus = Corpus.from_text(read_text(data.path), val_fraction=data.val_fraction)
    layer, index = map(int, unit.split(":"))
    console = screen()
    views: tuple[View | None, ...] = (None, "memory", "gradients", "expectation")
    for view in views:
        chosen = [(layer, index)] if view == "memory" else []
        options = f" --view {view}" * bool(view) + f" --unit {unit}" * bool(chosen)
        console.print(f"[bold]$ charnn inspect --ckpt {Path(ckpt).name}{options}[/bold]\n")
        seen = Inspection(checkpoint.model, known, corpus.split("val"), 20_000, chosen=chosen)
        show(seen, view, 5, console)
    draw(console, "inspect")


@contextmanager
def opened(command: str, ckpt: str, height: int) -> Iterator[Page]:
    """Open the page that a command writes for a checkpoint; the height is in pixels."""
    with tempfile.TemporaryDirectory() as folder, Page() as page:
        path = Path(folder) / "page.html"
        words = [sys.executable, "-m", "charnn", command, "--ckpt", ckpt, "-o", str(path)]
        subprocess.run(words, check=True)
        page.resize(1200, height)
        page.open(path)
        yield page


def browser(ckpt: str, unit: str) -> None:
    """Draw the upper part of the page, coloured by the unit."""
    with opened("report", ckpt, 1000) as page:
        page.run(f"""
            choice.value = data.units.findIndex(unit => unit.name === "{unit}");
            choice.dispatchEvent(new Event("change"));
            go(data.text.indexOf(":", 200));
        """)
        page.picture(HERE / "report.png")


def writing(ckpt: str) -> None:
    """Draw the page that runs the model, with three continuations to choose from."""
    with opened("export", ckpt, 820) as page:
        page.type("ROMEO:\nWhat light")
        page.run("at('pace').value = 0; at('length').value = 380; write()")
        page.wait("!writing")
        page.run("at('length').value = 90; at('count').value = 3; write({several: 3})")
        page.wait("!writing && ways.length === 3")
        page.picture(HERE / "page.png")


if __name__ == "__main__":
    terminal(*sys.argv[1:])
    browser(*sys.argv[1:])
    writing(sys.argv[1])
