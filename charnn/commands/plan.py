"""The command `charnn plan`."""

import re
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from charnn.commands.console import waiting
from charnn.commands.figures import duration
from charnn.commands.options import DATA, SET, config_of, file_path
from charnn.commands.texts import read_corpus
from charnn.errors import RequestError
from charnn.machine import cores

if TYPE_CHECKING:
    from charnn.training.planning import Plan

_OTHERS = {"1m": 60.0, "20m": 1200.0, "1h": 3600.0}  # seconds of the alternatives


def plan(
    data: Annotated[list[str] | None, DATA] = None,
    time: Annotated[
        str, typer.Option("--time", metavar="TIME", help="Time limit of the run: 90s, 10m, 1h.")
    ] = "5m",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            parser=file_path,
            help="YAML config. The plan keeps its keys.",
        ),
    ] = None,
    assignments: Annotated[list[str] | None, SET] = None,
) -> None:
    """Write a config that uses a given time well.

    The command reads the text, measures this machine for a few seconds, and prints a config for
    `charnn train --config`. It has the cell, sizes, steps, learning rate and dropout. Comments give
    the reasons, the expected loss, and the network for a minute or an hour. Keys given by --set or
    --config stay as they are.

    \b
    Examples:
      charnn plan --data mine.txt > mine.yaml && charnn train --config mine.yaml
      charnn plan --data mine.txt --time 20m --set model.cell=rnn > mine.yaml
      charnn plan --data names.txt --time 1m --set data.documents=lines
    """
    from charnn.config.writing import reasoned_yaml
    from charnn.training.planning import plan as planned

    if str(config) == "-" and "-" in (data or []):
        raise RequestError("--config - and --data - cannot both read standard input")
    given = config_of(config, assignments or [], {"--data": ("data.path", data or None)})
    if "output.checkpoint" not in dict(given.given()) and len(given.data.path) == 1:
        given = given.with_values({"output.checkpoint": f"{_name(given.data.path[0])}.npz"})
    seconds = config_of(None, [], {"--time": ("training.time_limit", time)}).training.time_limit
    assert seconds is not None
    began = perf_counter()
    corpus = read_corpus(
        given.with_values({"data.val_fraction": 0.0, "data.test_fraction": 0.0}),
        None,
        again=False,
        named=given.data.texts,
    )
    reading = perf_counter() - began  # `train` needs it again
    with waiting("measuring this machine"):
        made = planned(given, corpus, max(1.0, seconds - reading))
    reasons = {choice.key: choice.reason for choice in made.choices}
    if made.config.data.val_fraction != given.data.val_fraction:
        reasons["data.val_fraction"] = "validating more would take too much of the time"
    print(*_about(made, seconds, reading), reasoned_yaml(made.config, reasons), sep="\n", end="")


def _about(made: "Plan", seconds: float, reading: float) -> list[str]:
    """Return the comments above a planned config."""
    from charnn.training.choosing import share_read

    on = "1 core" if cores() == 1 else f"{cores()} cores"
    lines = [
        f"about {duration(made.seconds + reading)} on {on} of this machine, "
        f"{made.memory / 1e6:,.0f} MB of memory",
        share_read(made.epochs),
    ]
    if made.exhausted:
        lines.append(f"this text cannot use {duration(seconds)}: more steps would gain little")
    if made.expected:
        low, high = made.expected
        lines.append(f"expect a validation loss of {low:.2f} to {high:.2f} nats per character")
    lines += [
        f"charnn plan --time {name}: {_alternative(made, other)}"
        for name, other in _OTHERS.items()
        if other != seconds
    ]
    return [f"# {line}" for line in lines]


def _name(text: str) -> str:
    """Return the name of the run for a text: that of its file or folder, or run."""
    path = Path(text)
    if path.is_dir():
        name = path.resolve().name
    else:
        name = Path(re.sub(r"\.(gz|xz|bz2)$", "", path.name)).stem
    name = name.removesuffix(".best")
    return "run" if text == "-" or not name or re.search(r"[*?\[]", name) else name


def _alternative(made: "Plan", seconds: float) -> str:
    """Return a description of the network for another time."""
    from charnn.network.spec import Spec
    from charnn.training.choosing import most_work, network_for

    work = seconds * made.speed
    chosen = "model.cell" in {choice.key for choice in made.choices}
    cell, H, L = network_for(None if chosen else made.config.model.cell, made.characters, work)
    most = most_work(cell, made.characters)
    if work > most:
        return f"this text cannot use more than {duration(most / made.speed)}"
    return Spec(1, H, L, cell, made.config.model.activation).stack
