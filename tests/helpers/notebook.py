"""Pages made of cells: blocks of Python, each followed by the output in a notebook."""

import ast
import contextlib
import io
import re
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A block of code on a page, and the block of text below it, if any."""

    code: str
    shown: str


def cells(page: str) -> list[Cell]:
    """Return the cells of a page in Markdown."""
    blocks = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", page, re.DOTALL)
    return [Cell(code, shown) for code, shown in blocks]


def run(code: str, names: dict[str, Any]) -> str:
    """Run a cell; return its output with the repr of its last line, or its error."""
    tree, out = ast.parse(code), io.StringIO()
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body.pop()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(tree, "cell", "exec"), names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
                if value is not None:
                    print(repr(value))
        except Exception as error:  # a notebook shows any error of a cell
            print(f"{type(error).__name__}: {error}")
    return "\n".join(map(_overwritten, out.getvalue().split("\n")))


def _overwritten(line: str) -> str:
    """Return what a terminal shows of a line that \\r restarts."""
    seen = ""
    for part in line.split("\r"):
        seen = part + seen[len(part) :]
    return seen
