"""The program `charnn`: its commands, and the exit codes of its errors.

Heavy modules are imported by the command that needs them, so that `charnn --help` is instant.
"""

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from charnn import __version__, ranks
from charnn.commands.config import config_
from charnn.commands.evaluate import eval_
from charnn.commands.export import export
from charnn.commands.gradcheck import gradcheck
from charnn.commands.import_ import import_
from charnn.commands.info import info
from charnn.commands.inspect import inspect
from charnn.commands.plan import plan
from charnn.commands.plot import plot
from charnn.commands.renamed import as_now
from charnn.commands.report import report
from charnn.commands.sample import sample
from charnn.commands.stdio import flushing_stdout, prepare_stdio
from charnn.commands.train import train
from charnn.errors import CharnnError, ConfigError, RequestError
from charnn.showing import one_line


class _Commands(TyperGroup):
    """The commands, each of which ends with a flush of stdout."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with flushing_stdout():  # --help and --version print here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with flushing_stdout():
            return super().invoke(ctx)


_SILENT = ("train", "plot", "report", "export", "import")  # nothing goes to stdout

app = typer.Typer(
    name="charnn",
    cls=_Commands,
    help="Train, sample and evaluate character-level language models, in pure NumPy.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"charnn {__version__}")
        raise typer.Exit


@app.callback()
def _charnn(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand != "train" and ranks.launched().size > 1:
        raise RequestError("only train runs under MPI; start other commands without it")
    if ctx.invoked_subcommand not in _SILENT and sys.stdout is None:
        raise CharnnError("standard output is closed")


app.command()(train)
app.command()(plan)
app.command()(sample)
app.command("eval")(eval_)
app.command()(inspect)
app.command()(plot)
app.command()(report)
app.command()(export)
app.command("import")(import_)
app.command()(gradcheck)
app.command()(info)
app.command("config")(config_)


def main() -> None:
    """Run the command that the arguments name, and exit.

    An error becomes one line on stderr and an exit code. If several ranks fail in the same way,
    only the first one prints. A rank that fails alone ends all others.
    """
    prepare_stdio()
    try:
        code, lines = _outcome()
    except BaseException as error:
        if not ranks.all_end():
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            if not interrupted:
                traceback.print_exception(error)
            ranks.abort(130 if interrupted else 1)
        raise
    if lines:
        together = ranks.all_end()
        if not together or ranks.launched().rank == 0:
            for line in lines:
                print(f"charnn: error: {line}", file=sys.stderr, flush=True)
        if not together:
            ranks.abort(code)
    sys.exit(code)


def _outcome() -> tuple[int, list[str]]:
    """Run the command; return its exit code and the lines of its error, if there is one."""
    try:
        Path.cwd()  # fails in a folder that was deleted
    except OSError:
        return 1, ["the current folder does not exist any more; cd to another one"]
    words = sys.argv[1:] or ["--help"]
    if words[0] == "help":
        words = [*words[1:], "--help"]
    words = as_now(words)
    try:
        return app(words, prog_name="charnn", standalone_mode=False) or 0, []
    except CharnnError as error:
        lines = str(error).split("\n") if isinstance(error, ConfigError) else [str(error)]
        return error.exit_code, [one_line(line) for line in lines]
    except MemoryError:
        return 1, ["out of memory; ask for smaller sizes or fewer texts"]
    except Exception as error:  # a fault of charnn's own is raised again
        # Only the parser's own errors, such as an unknown option, have this method.
        if not hasattr(error, "format_message"):
            raise
        from charnn.commands.hints import advised

        return 2, [advised(error.format_message(), words, _names())]


def _names() -> list[str]:
    """Return the names of the commands."""
    commands = app.registered_commands
    return [str(command.name or getattr(command.callback, "__name__", "")) for command in commands]
