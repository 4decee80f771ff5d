"""The program prints the lines that the README and its pages show, except numbers and samples."""

import re
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
import typer

from charnn.commands.app import app
from tests.helpers.places import ROOT
from tests.helpers.texts import english

README = (ROOT / "README.md").read_text(encoding="utf-8")
# The README and these pages have the longer examples. Other pages have their own tests.
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "docs/tour.md",
        "docs/own-text.md",
        "docs/shell.md",
        "docs/equations.md",
        "docs/python.md",
        "docs/comparison.md",
        "docs/log.md",
    )
}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# These are pairs, page after page: the arguments after "$ charnn", and the printed text.
SHOWN = [
    (shlex.split(match[1]), match[2])
    for page in PAGES.values()
    for match in re.finditer(r"```console\n\$ charnn (.*)\n((?s:.*?))```", page)
]


def shown(command: str) -> tuple[list[str], str]:
    """Return the first example of a command: its arguments and what it printed."""
    return next(example for example in SHOWN if example[0][0] == command)


def shape(text: str) -> list[str]:
    """Return lines without their numbers and times."""
    text = re.sub(r"left \S+", "left #", text)
    return [re.sub(r"\s+", " ", re.sub(r"\d[\d,.]*", "#", line)) for line in text.splitlines()]


def charnn(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "charnn", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tour's training, on a small text with a small model."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "data").mkdir()
    (folder / "data" / "shakespeare.txt").write_text(english(150_000))
    (folder / "configs").symlink_to(ROOT / "configs")
    evaluations = shown("train")[1].count("  val ")
    small = ["--set", "model.hidden_size=8", "--max-steps", str(4 * evaluations)]
    small += ["--set", "training.eval_every=4", "--set", "training.warmup_steps=2"]
    result = charnn(*shown("train")[0], *small, cwd=folder)
    (folder / "stderr").write_text(result.stderr)
    return folder


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1300


def test_the_readme_names_every_command() -> None:
    assert re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE) == list(COMMANDS)


def test_the_pages_show_train_sample_eval_and_gradcheck() -> None:
    shown = [arguments[0] for arguments, _ in SHOWN]
    assert sorted(shown) == ["eval", "gradcheck", *["sample"] * 4, "train"]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_has_these_options(page: str) -> None:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", PAGES[page], re.DOTALL)
    lines = re.sub(r"(?m)(^|\s)# .*", "", "\n".join(blocks)).replace("\\\n", " ")
    for command, rest in re.findall(r"(?<![\w/.])charnn (\w+)(.*)", lines):
        known = {option for parameter in COMMANDS[command].params for option in parameter.opts}
        used = re.findall(r"(?<!\S)--?[a-z][\w-]*", re.split(r"[|>&]", rest)[0])
        assert set(used) <= known, (command, rest)


def test_training_prints_what_the_tour_shows(folder: Path) -> None:
    assert shape((folder / "stderr").read_text()) == shape(shown("train")[1])


def test_the_samples_on_the_pages_have_the_length_they_say(folder: Path) -> None:
    samples = [example for example in SHOWN if example[0][0] == "sample"]
    assert samples
    for arguments, text in samples:
        n = int(arguments[arguments.index("--n") + 1])
        assert len(text.removesuffix("\n")) == n
        assert len(charnn(*arguments, cwd=folder).stdout) == n


def test_eval_prints_the_lines_of_the_tour(folder: Path) -> None:
    arguments, text = shown("eval")
    assert shape(charnn(*arguments, cwd=folder).stdout) == shape(text)


@pytest.mark.parametrize("page", ["docs/equations.md", "docs/bptt.md"])
def test_the_table_of_equations_names_what_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    table = text[text.index("| equation |") :].split("\n\n")[0]
    names = re.findall(r"`([a-z_.A-Z]+)`", "".join(table.splitlines()[2:]))
    assert len(names) > 15
    for name in names:
        parts, thing = name.split("."), None
        for length in range(len(parts), 0, -1):
            with suppress(ModuleNotFoundError):
                thing = import_module(".".join(["charnn", *parts[:length]]))
                for attribute in parts[length:]:
                    thing = getattr(thing, attribute)
                break
        assert thing is not None, name


def test_the_tables_of_the_cells_quote_the_code() -> None:
    page = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    for cell in ("rnn", "lstm", "gru"):
        code = (ROOT / "charnn" / "network" / "cells" / f"{cell}.py").read_text(encoding="utf-8")
        table = page.split(f"`{cell.upper()}Cell.textbook_step`")[1].split("\n\n")[0]
        lines = re.findall(r"`(.+?)` \|$", table, re.MULTILINE)
        assert len(lines) > 6
        for line in lines:
            assert line in code, line
