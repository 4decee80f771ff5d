"""The options that several commands share."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from charnn.errors import RequestError

if TYPE_CHECKING:
    from charnn.config.keys import Config


def file_path(name: str) -> Path:
    """Return the path of a name on the command line. An empty name would mean this folder."""
    if not name:
        raise typer.BadParameter("the name of a file is empty")
    return Path(name)


CKPT = typer.Option(
    "--ckpt", help="Checkpoint to read, such as run.best.npz.", metavar="FILE.npz", parser=file_path
)

JSON = typer.Option("--json", help="Print one JSON object.")

NOVELTY = typer.Option("--novelty", help="Report how much is copied from the training text.")

AGAINST = typer.Option(
    metavar="PATH",
    help="Text to compare with. Default: the text the model was trained on.",
)

ADAPT_RATE = typer.Option(metavar="RATE", help="Learning rate of --adapt.", show_default="0.0003")

READ = typer.Option(
    metavar="PATH", help="Text to read, - for stdin. Default: the run's validation text."
)

UNIT = typer.Option(
    metavar="LAYER:INDEX",
    help="Show this hidden unit, counted from 0, instead of those charnn picks; repeatable.",
)

DATA = typer.Option(
    metavar="PATH",
    help="Text: a file (also .gz), folder of *.txt, quoted glob, - for stdin; repeatable.",
)

SET = typer.Option(
    "--set",
    metavar="KEY=VALUE",
    help="Set any config key, as in model.hidden_size=512; repeatable.",
    autocompletion=lambda incomplete: keys_beginning(incomplete),
)

UNKNOWN = typer.Option(help="What to do with characters that are not in the vocabulary.")

OVERWRITE = typer.Option("--overwrite", help="Replace the file if it exists.")


def adapt_rate_of(adapt: bool, rate: float | None) -> float | None:
    """Return the learning rate that --adapt and --adapt-rate ask for, None for no learning.

    Raises:
        RequestError: if the rate is out of range, or is given without --adapt.
    """
    if rate is not None and not adapt:
        raise RequestError("--adapt-rate is for --adapt")
    if rate is not None and not 0 < rate < math.inf:
        raise RequestError(f"--adapt-rate must be a number > 0, got {rate:g}")
    if not adapt:
        return None
    from charnn.adaptation import RATE

    return RATE if rate is None else rate


def config_of(
    config: Path | None, assignments: list[str], options: dict[str, tuple[str, Any]]
) -> "Config":
    """Return the config with the keys of --set and of other options, which override it.

    Raises:
        ConfigError: if it is not valid.
    """
    from charnn.config.loading import Override, load_config, parse_override

    overrides = dict(parse_override(text) for text in assignments)
    for option, (key, value) in options.items():
        if value is not None:
            overrides[key] = Override(value, option)
    return load_config(config, overrides)


def keys_beginning(incomplete: str) -> list[str]:
    """Return `KEY=` for each config key with this beginning, for shell completion."""
    from charnn.config.keys import all_keys

    return [f"{key}=" for key in all_keys() if key.startswith(incomplete)]


def units_named(names: list[str] | None) -> list[tuple[int, int]]:
    """Return the layer and the index of each LAYER:INDEX.

    Raises:
        RequestError: if a name is not of this form.
    """
    units = []
    for name in names or []:
        layer, colon, index = name.partition(":")
        if not (colon and layer.isdecimal() and index.isdecimal()):
            raise RequestError(f"--unit takes LAYER:INDEX, as in 0:17, got {name!r}")
        units.append((int(layer), int(index)))
    return units
