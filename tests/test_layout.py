"""The layout of the program: imports run downward and make no circles, and files are short.

The tests parse the files, so imports inside functions and below `if TYPE_CHECKING` count.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.places import ROOT

# These are the files and folders of charnn, lowest first. A file may import from its own level and
# from the levels below. `charnn` is charnn/__init__.py, which exports names of all other levels.
LEVELS = [
    {"errors", "showing", "draws", "machine", "files", "ranks"},
    {"network"},
    {"text"},
    {"config"},
    {"optimizers"},
    {"checkpoint"},
    {"sampling", "evaluation", "baselines", "novelty", "exchange", "modules"},
    {"writing", "scoring", "adaptation"},
    {"training"},
    {"insight"},
    {"commands", "charnn", "__main__"},
]
LINES = 400


class Import(NamedTuple):
    """One import of a module of the program."""

    file: str
    line: int
    module: str
    imported: str
    top: bool  # at module level, not inside a function

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.imported}"


def files(root: Path, package: str) -> dict[str, Path]:
    """Return the files of a package by the names of their modules."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path, package: str = "charnn") -> Iterator[Import]:
    """Yield every import of one module of a package by another."""
    modules = files(root, package)
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        inner = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                source = node.module or ""
                if node.level:
                    above = module.split(".")
                    if path.name != "__init__.py":
                        above.pop()
                    above = above[: len(above) - node.level + 1]
                    source = ".".join([*above, *filter(None, [source])])
                names = [
                    name if (name := f"{source}.{alias.name}") in modules else source
                    for alias in node.names
                ]
            else:
                continue
            for name in dict.fromkeys(names):
                if name.split(".")[0] == package:
                    file = str(path.relative_to(root))
                    yield Import(file, node.lineno, module, name, id(node) not in inner)


def room(module: str) -> str:
    """Return the folder of a module below charnn, or the module itself."""
    return ".".join(module.split(".")[:2]).removeprefix("charnn.")


def level(module: str) -> int:
    """Return the number of a module's level."""
    found = [number for number, rooms in enumerate(LEVELS) if room(module) in rooms]
    assert found, f"{module}: give the room {room(module)} a level in {__file__}"
    return found[0]


def upward(root: Path) -> list[str]:
    """Describe the imports of a module from a higher level."""
    return [
        f"{found}: {room(found.module)} is below {room(found.imported)}"
        for found in imports(root)
        if level(found.imported) > level(found.module)
    ]


def circle(root: Path) -> list[str]:
    """Describe a circle of imports at module level. Without one, the list is empty."""
    graph = dict.fromkeys(files(root, "charnn"), frozenset[str]())
    lines: dict[tuple[str, str], str] = {}
    for found in imports(root):
        if found.top:
            graph[found.module] |= {found.imported}
            lines.setdefault((found.module, found.imported), str(found))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        around = error.args[1][::-1]
        return [lines[pair] for pair in pairwise(around)]
    return []


def test_every_file_has_a_level_and_every_level_has_files() -> None:
    modules = files(ROOT, "charnn")
    assert {room(module) for module in modules} == set().union(*LEVELS)
    assert sum(map(len, LEVELS)) == len(set().union(*LEVELS))


def test_no_import_runs_upward() -> None:
    found = upward(ROOT)
    assert not found, "\n".join(["", *found])


def test_no_imports_make_a_circle() -> None:
    found = circle(ROOT)
    assert not found, "\n".join(["", *found])


def test_no_file_is_too_long() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(ROOT, "charnn").values()
    }
    found = [f"{path} has {size} lines" for path, size in sizes.items() if size > LINES]
    assert not found, "\n".join(["", *found])


def test_no_test_imports_another_test() -> None:
    """Code that several tests need is in tests/helpers."""
    found = [
        str(found)
        for found in imports(ROOT, "tests")
        if found.imported.rpartition(".")[2].startswith(("test_", "conftest"))
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("from charnn.training.trainer import Trainer", "errors is below training"),
        ("from charnn.training import trainer", "errors is below training"),
        ("import charnn.training.trainer", "errors is below training"),
        ("from .training.trainer import Trainer", "errors is below training"),
        ("from . import training", "errors is below training"),
        ("import charnn", "errors is below charnn"),
        ("if TYPE_CHECKING:\n    import charnn.training", "errors is below training"),
        ("def f():\n    from charnn.training import trainer", "errors is below training"),
    ],
)
def test_every_form_of_an_upward_import_is_found(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "charnn" / "training").mkdir(parents=True)
    for name, text in {"__init__": "", "training/__init__": "", "errors": line}.items():
        (tmp_path / "charnn" / f"{name}.py").write_text(text)
    (tmp_path / "charnn" / "training" / "trainer.py").write_text("from charnn import errors")
    (found,) = upward(tmp_path)
    assert found.startswith("charnn/errors.py:")
    assert found.endswith(message)


def test_circles_are_found_at_module_level(tmp_path: Path) -> None:
    folder = tmp_path / "charnn" / "text"
    folder.mkdir(parents=True)
    texts = {"a": "from charnn.text import b", "b": "from charnn.text.c import x", "__init__": ""}
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "c.py").write_text("def f():\n    from charnn.text import a")
    assert circle(tmp_path) == []
    (folder / "c.py").write_text("if True:\n    from . import a")
    assert sorted(circle(tmp_path)) == [
        "charnn/text/a.py:1 imports charnn.text.b",
        "charnn/text/b.py:1 imports charnn.text.c",
        "charnn/text/c.py:2 imports charnn.text.a",
    ]
