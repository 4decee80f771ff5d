"""The commands: parse, call, print. Heavy imports wait until a command needs them."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from charnn import __version__
from charnn import ranks as mpi
from charnn.commands.config import config_
from charnn.commands.evaluate import eval_
from charnn.commands.info import info
from charnn.commands.inspect import inspect
from charnn.commands.plot import plot
from charnn.commands.report import report
from charnn.commands.sample import sample
from charnn.commands.train import train
from charnn.errors import CharnnError, ConfigError, RequestError
from charnn.showing import one_line

if TYPE_CHECKING:
    pass


class _Commands(TyperGroup):
    """All commands; whoever reads their output may stop reading at any time."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _printing():  # --help and --version
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _printing():
            return super().invoke(ctx)


@contextlib.contextmanager
def _printing() -> Iterator[None]:
    """Flush what was printed; say why it cannot be written, unless its reader has had enough."""
    ending = None
    try:
        try:
            yield
        except typer.Exit as error:
            ending = error
        if sys.stdout is not None:
            sys.stdout.flush()
        if ending:
            raise ending
    except BrokenPipeError:
        _close_stdout()
        raise typer.Exit from None
    except OSError as error:
        _close_stdout()
        where = error.filename or "standard output"
        raise CharnnError(f"{where}: {error.strerror or error}") from None


def _close_stdout() -> None:
    """Let what is still to be flushed go nowhere: Python's last flush must not fail, either."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    name="charnn",
    cls=_Commands,
    help="Train, sample and evaluate character-level language models, in pure NumPy.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run a command; every error is one line on stderr and an exit code, never a traceback."""
    _occupy_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code, lines = _outcome()
    except BaseException as error:
        if not mpi.all_end():
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            if not interrupted:
                traceback.print_exception(error)
            mpi.abort(130 if interrupted else 1)
        raise
    if lines:
        together = mpi.all_end()
        if not together or mpi.launched().rank == 0:
            for line in lines:
                print(f"charnn: error: {line}", file=sys.stderr, flush=True)
        if not together:
            mpi.abort(code)
    sys.exit(code)


def _occupy_closed_streams() -> None:
    """Where the shell closed 0, 1 or 2, no other file or pipe must get that number."""
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, mode)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _outcome() -> tuple[int, list[str]]:
    """Run a command; return its exit code, and the lines that say what was wrong."""
    try:
        return app(sys.argv[1:] or ["--help"], prog_name="charnn", standalone_mode=False) or 0, []
    except CharnnError as error:
        lines = str(error).split("\n") if isinstance(error, ConfigError) else [str(error)]
        return error.exit_code, [one_line(line) for line in lines]
    except MemoryError:
        return 1, ["out of memory; ask for smaller sizes or fewer texts"]
    except Exception as error:
        # The parser's own errors (unknown options and the like) know how to describe themselves.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "charnn"
        reason = describe().replace("Input should be", "must be").replace("Value error, ", "")
        name = context.command.name if context else None
        if "extra argument" in reason and name in ("train", "eval"):
            reason += "; quote a glob, or give --data for each file"
        if name == "train":
            reason += _key_meant(getattr(error, "option_name", ""))
        return 2, [f"{one_line(reason)} (see {command} --help)"]


def _key_meant(option: str) -> str:
    """Say how to set the config key that an unknown option has the name of, if it has."""
    from charnn.config.keys import section_models

    name = option.lstrip("-").replace("-", "_")
    for section, model in section_models().items():
        if name in model.model_fields:
            return f"; it is a key of the config: --set {section}.{name}=VALUE"
    return ""


def _version(shown: bool) -> None:
    if shown:
        print(f"charnn {__version__}")
        raise typer.Exit


@app.callback()
def _charnn(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand != "train" and mpi.launched().size > 1:
        raise RequestError("of all commands only train runs under MPI; start others without it")
    if ctx.invoked_subcommand not in ("train", "plot", "report") and sys.stdout is None:
        raise CharnnError("standard output is closed")


app.command()(train)
app.command()(sample)
app.command("eval")(eval_)
app.command()(inspect)
app.command()(plot)
app.command()(report)
app.command()(info)
app.command("config")(config_)
