"""Draw docs/inspect.svg, report.png and page.png: a model on a terminal and in a browser.

    PYTHONPATH=. python docs/inside.py CHECKPOINT UNIT

CHECKPOINT is of a run whose text is still there, UNIT one of its units; takes a Chromium.
"""

import subprocess
import sys
import tempfile
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


def browser(ckpt: str, unit: str) -> None:
    """Draw the upper part of the page, coloured by the unit."""
    with tempfile.TemporaryDirectory() as folder, Page() as page:
        path = Path(folder) / "report.html"
        command = [sys.executable, "-m", "charnn", "report", "--ckpt", ckpt, "-o", str(path)]
        subprocess.run(command, check=True)
        page.resize(1200, 1000)
        page.open(path)
        page.run(f"""
            choice.value = data.units.findIndex(unit => unit.name === "{unit}");
            choice.dispatchEvent(new Event("change"));
            go(data.text.indexOf(":", 200));
        """)
        page.picture(HERE / "report.png")


def writing(ckpt: str) -> None:
    """Draw the page that runs the model, with continuations to choose from."""
    with tempfile.TemporaryDirectory() as folder, Page() as page:
        path = Path(folder) / "live.html"
        command = [sys.executable, "-m", "charnn", "export", "--ckpt", ckpt, "-o", str(path)]
        subprocess.run(command, check=True)
        page.resize(1200, 820)
        page.open(path)
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
