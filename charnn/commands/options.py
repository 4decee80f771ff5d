"""TODO."""

import typer

from charnn.errors import RequestError

# Whether a file can be read is found out by reading it.
_CKPT = typer.Option("--ckpt", help="A checkpoint.", metavar="FILE.npz", readable=False)


_JSON = typer.Option("--json", help="Print one JSON object.")


_NOVELTY = typer.Option("--novelty", help="Say how much is copied from the training text.")


_AGAINST = typer.Option(metavar="PATH", help="That text, if it has moved, or another.")


_TEXT = typer.Option(
    metavar="PATH", help="Read this text, or - for stdin; default the run's validation text."
)


_UNIT = typer.Option(
    metavar="LAYER:INDEX", help="A hidden unit, counted from 0, not those found; repeatable."
)


_UNKNOWN = typer.Option(help="Characters the model does not know.")


_VALIDATION = "the validation text"


_OVERWRITE = typer.Option("--overwrite", help="Replace the file if it exists.")


def _units_named(names: list[str] | None) -> list[tuple[int, int]]:
    """Read LAYER:INDEX."""
    units = []
    for name in names or []:
        layer, colon, index = name.partition(":")
        if not (colon and layer.isdecimal() and index.isdecimal()):
            raise RequestError(f"--unit takes LAYER:INDEX, as in 0:17, got {name!r}")
        units.append((int(layer), int(index)))
    return units
