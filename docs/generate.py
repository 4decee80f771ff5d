"""Write the generated files: docs/config.md, docs/commands.md and configs/schema.json."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from charnn.config.keys import RESUMABLE
from charnn.config.writing import json_schema

ROOT = Path(__file__).resolve().parents[1]

INTRODUCTION = """\
# The config

<!-- Written by `make docs` from charnn/config/keys.py. -->

`charnn train --config FILE` reads a YAML file with the sections `data`, `model`, `training` and
`output`. Every key has a default, so you may omit keys, sections and the whole file.
`charnn train --set section.key=value` sets a key from the shell and overrides the file.

- `auto` is the default of keys that depend on the text. The run chooses their values when it begins
  ([choosing.md](choosing.md)).
- An unknown key or a value out of bounds is an error. charnn reports all errors at once, each with
  its line.
- `2e-3` is a number and `1e4` a whole number. YAML's tags and aliases are not allowed.
- Relative paths are relative to the current directory, not to the file.
- A resumed run (`--resume`) uses the config in its checkpoint. You may then change the keys with a
  *yes* in the column *resume*. Another value for any other key is an error.

`charnn config` prints a config with every default as a starting point. Editors with the YAML
language server complete and check the keys of a file that begins with this line, as the files in
`configs/` do:

```yaml
# yaml-language-server: $schema=schema.json
```

`charnn config --schema > schema.json` writes this schema; put it in the same folder. Editors cannot
check one rule: `val_fraction + test_fraction` must be < 1.

f, H, U, W and V are the symbols of [the equations](equations.md); η is the learning rate.
"""

NAMES = (
    "train",
    "plan",
    "sample",
    "eval",
    "inspect",
    "plot",
    "report",
    "export",
    "import",
    "gradcheck",
    "info",
    "config",
)
COMMANDS = """\
# The commands

<!-- Written by `make docs` from the commands' own help. -->

Results go to stdout, everything else to stderr. `charnn --install-completion` installs completion
for the shell.

| exit code | meaning |
|---|---|
| 0 | The command succeeded. |
| 1 | The work failed: a file, the data or divergence. |
| 2 | The request was wrong: an option or the config. |
| 130, 143 | Ctrl-C or a termination signal interrupted the command. |

After such a signal, `train` finishes the step, saves and prints how to continue. A second signal
ends it at once. Colours appear only if stderr is a terminal; `NO_COLOR=1` turns them off.
"""

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
    "null": "`null`",
}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def generated() -> dict[Path, str]:
    """Return the text of each generated file."""
    schema = json_schema()
    tables = [
        _table(section, schema["$defs"][reference["$ref"].removeprefix("#/$defs/")])
        for section, reference in schema["properties"].items()
    ]
    return {
        ROOT / "docs" / "config.md": "\n".join([INTRODUCTION, *tables]),
        ROOT / "docs" / "commands.md": COMMANDS + "".join(map(_help, ("", *NAMES))),
        ROOT / "configs" / "schema.json": json.dumps(schema, ensure_ascii=False, indent=2) + "\n",
    }


def _help(command: str) -> str:
    """Return the section on a command: its help, as an 80-column terminal shows it."""
    words = ["charnn", *command.split(), "--help"]
    shown = subprocess.run(
        [sys.executable, "-m", *words],
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    ).stdout
    title = f"charnn {command}".strip()
    return f"\n## {title}\n\n```console\n$ {' '.join(words)}\n{shown}```\n"


def _table(section: str, schema: dict[str, Any]) -> str:
    lines = [
        f"## {section}\n\n{schema['description']}\n",
        "| key | values | default | resume | meaning |",
        "|---|---|---|---|---|",
    ]
    for name, key in schema["properties"].items():
        default = key["default"] if isinstance(key["default"], str) else json.dumps(key["default"])
        resume = "yes" if f"{section}.{name}" in RESUMABLE else ""
        cells = [f"`{name}`", _values(key), f"`{default}`", resume, key["description"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _values(schema: dict[str, Any]) -> str:
    """Describe in words what a schema accepts."""
    if "anyOf" in schema:
        return " or ".join(map(_values, schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "examples" in schema:
        return "text like " + ", ".join(f"`{value}`" for value in schema["examples"])
    if "items" in schema:
        return f"list of {_values(schema['items'])}"
    bounds = [f"{sign} {schema[bound]}" for bound, sign in BOUNDS.items() if bound in schema]
    return f"{TYPES[schema['type']]} {', '.join(bounds)}".strip().replace(str(2**63), "2⁶³")


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
