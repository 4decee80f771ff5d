"""The command `charnn config`."""

import json
from typing import Annotated

import typer


def config_(
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a config, for editors.")
    ] = False,
) -> None:
    """Print a config with every default and its meaning.

    \b
    Examples:
      charnn config > mine.yaml
      charnn config --schema > schema.json
    """
    from charnn.config.writing import commented_yaml, json_schema

    if schema:
        print(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    else:
        print(commented_yaml(), end="")
