"""Reading YAML as plain data, with the line of each key."""

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import yaml

from charnn.config.problems import Keys, Places
from charnn.errors import ConfigError

_MAX_BYTES = 100_000
_MAX_DEPTH = 20


class _Loader(yaml.SafeLoader):
    """Reads plain data: no aliases, no tags, and keys as they are written."""

    depth = 0

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Keep every key as text, so that 5, null and << are unknown keys like any other."""
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                mark = key.start_mark
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=mark)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        event = cast(Any, self).peek_event()
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases are not allowed here; quote a value that begins with *"
        elif getattr(event, "tag", None) is not None:
            problem = "tags are not allowed here; quote a value that begins with !"
        elif self.depth > _MAX_DEPTH:
            problem = "nested too deeply"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# Numbers follow YAML 1.2: 2e-3 is a number, 010 is ten, and 1:30 and dates are text.
_NUMBERS = {
    "int": r"[-+]?[0-9][0-9_]*\Z",
    "float": r"[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z"
    r"|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z",
}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":bool", ":null"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


for _kind, _pattern in _NUMBERS.items():
    _tag = f"tag:yaml.org,2002:{_kind}"
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list("-+.0123456789"))


_Loader.add_constructor(
    "tag:yaml.org,2002:int", lambda loader, node: int(node.value.replace("_", ""))
)


def read_yaml(path: Path) -> tuple[dict[str, Any], Places]:
    """Read a config file, or standard input for `-`.

    Returns:
        The sections by name, unchecked, and the place of each section and key.

    Raises:
        ConfigError: if the file cannot be read, is not valid YAML, has more than 100,000 bytes,
            is not a mapping, or repeats a key.
    """
    piped = str(path) == "-" and sys.stdin is not None
    try:
        with nullcontext(sys.stdin.buffer) if piped else path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        path = Path("standard input") if piped else path
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_BYTES:,} bytes; is this a config?")
    try:
        loader: Any = _Loader(text)
        node = loader.get_single_node()
        tree = {} if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: {_yaml_problem(error)}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}:1: expected sections data, model, training, output")
    places: Places = {}
    _note_lines(node, (), path, places)
    # A section in which every key is commented out is an empty section.
    return {name: {} if part is None else part for name, part in tree.items()}, places


def yaml_value(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        ConfigError: if it is not valid YAML.
    """
    if text.strip() == "-":  # standard input; YAML would read a list of nothing
        return "-"
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(_yaml_problem(error)) from None


def _note_lines(node: yaml.Node | None, keys: Keys, path: Path, places: Places) -> None:
    """Add the file and line of every key to `places`."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        here = (*keys, str(key_node.value))
        place = f"{path}:{key_node.start_mark.line + 1}"
        if here in places:
            raise ConfigError(f"{place}: {'.'.join(here)} is given twice")
        places[here] = place
        _note_lines(value_node, here, path, places)


def _yaml_problem(error: Exception) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if "scanning an alias" in str(getattr(error, "context", "")):
        problem = "quote a value that begins with *"
    if problem == "special characters are not allowed":
        problem = "it has a control character, or is not UTF-8"
    return f"not valid YAML: {problem}"
