"""The commands: parse, call, print. Heavy imports wait until a command needs them."""

import contextlib
import dataclasses
import io
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from charnn import __version__, mpi
from charnn.errors import CharnnError, ConfigError, CorpusError, RequestError, escaped, one_line

if TYPE_CHECKING:
    from charnn.checkpoint import Checkpoint
    from charnn.config import Config
    from charnn.corpus import Corpus, Ids, Vocabulary
    from charnn.mpi import Ranks
    from charnn.novelty import Copies
    from charnn.training import Reason, Trainer


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
    from charnn.config import section_models

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


# --- train ---------------------------------------------------------------------------------------

_ENDINGS: dict[str, str] = {
    "finished": "done:",
    "patience": "ended, as validation got no better for training.patience evaluations:",
    "stop-after": "stopped by --stop-after:",
    "time-limit": "stopped by the time limit:",
    "interrupted": "interrupted:",
}
# Whether a file can be read is found out by reading it.
_CKPT = typer.Option("--ckpt", help="A checkpoint.", metavar="FILE.npz", readable=False)
_JSON = typer.Option("--json", help="Print one JSON object.")
_NOVELTY = typer.Option("--novelty", help="Say how much is copied from the training text.")
_AGAINST = typer.Option(metavar="PATH", help="That text, if it has moved, or another.")


@app.command()
def train(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            readable=False,
            help="YAML config; see `charnn config`.",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Text: a file (also .gz), folder of *.txt, quoted glob, - for stdin; repeatable.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Checkpoint to write.", metavar="FILE.npz")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", readable=False, help="Start from this checkpoint's parameters."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the checkpoint, if there is one.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace checkpoint, best checkpoint and log.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set any config key, as in model.hidden_size=512; repeatable.",
        ),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(metavar="N", help="Steps of the whole plan; shapes the schedule.")
    ] = None,
    stop_after: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="End this invocation after N steps, to be resumed."),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="End this invocation after 90s, 10m or 1h30m, to be resumed."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all random draws.")] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Cores to use.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the config and its costs; train nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
) -> None:
    """Train a model on a text.

    Writes FILE.npz (everything, to resume), FILE.best.npz (the best validation) and FILE.jsonl
    (the metrics log). Without a config every key has its default.

    \b
    Examples:
      charnn train --data mine.txt --out mine.npz
      charnn train --config configs/shakespeare.yaml --time-limit 10m
      charnn train --config configs/shakespeare.yaml --resume
      cat *.md | charnn train --data - --out notes.npz --set model.hidden_size=512
      mpiexec -n 8 charnn train --config big.yaml
    """
    from charnn.config import Override, load_config, parse_override

    ranks = mpi.join()
    quiet = quiet or ranks.rank > 0
    if resume and overwrite:
        raise RequestError("--resume and --overwrite exclude each other")
    overrides = dict(parse_override(text) for text in set_ or [])
    options: dict[str, tuple[str, Any]] = {
        "--data": ("data.path", data or None),
        "--out": ("output.checkpoint", out),
        "--max-steps": ("training.max_steps", max_steps),
        "--time-limit": ("training.time_limit", time_limit),
        "--seed": ("training.seed", seed),
        "--threads": ("training.threads", threads),
    }
    for option, (key, value) in options.items():
        if value is not None:
            overrides[key] = Override(value, option)
    settings = load_config(config, overrides)

    from charnn.console import LiveReporter, PlainReporter, Reporter, headline, say, summary
    from charnn.sampling import preview
    from charnn.training import Ended

    notes = (lambda message: None) if quiet else say
    trainer = _prepare(
        settings,
        read=[config] if config else [],
        init=init,
        resume=resume,
        overwrite=overwrite or dry_run,
        quiet=quiet,
        ranks=ranks,
    )
    for warning in trainer.warnings:
        notes(f"warning: {warning}")
    if dry_run:
        _print_plan(trainer)
        if not overwrite and not resume:
            ranks.first(trainer.outputs.refuse_existing)
        return
    for line in headline(trainer):
        notes(line)
    if trainer.finished and resume and trainer.outputs.checkpoint.exists():
        more = "; a higher --max-steps goes on" if trainer.finished == "finished" else ""
        notes(f"this run is finished{more}:")
        for line in summary(trainer):
            notes(line)
        return
    reporter: Reporter
    if quiet:
        reporter = Reporter(trainer)
    elif sys.stderr.isatty():
        known, chosen = trainer.corpus.vocabulary, trainer.config.training.seed or 0
        reporter = LiveReporter(trainer, lambda: preview(trainer.averaged, known, seed=chosen))
    else:
        reporter = PlainReporter(trainer)
    ending: Reason = "finished"
    with _signals() as received, reporter:
        for event in trainer.run(
            stop_after=stop_after,
            overwrite=overwrite,
            interrupted=lambda: bool(received),
        ):
            reporter.show(event)
            if isinstance(event, Ended):
                ending = event.reason
    notes(_ENDINGS[ending])
    for line in summary(trainer):
        notes(line)
    if trainer.finished is None:
        again = f"charnn train --resume --out {shlex.quote(str(trainer.outputs.checkpoint))}"
        notes(f"go on with: {again}" + (" < TEXT" if "-" in trainer.config.data.path else ""))
    if ending == "interrupted":
        raise typer.Exit(128 + next(number for each in ranks.gather(received) for number in each))


def _prepare(
    config: "Config",
    *,
    read: list[Path],
    init: Path | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    ranks: "Ranks",
) -> "Trainer":
    """Read what the run starts from and the corpus; `read` are the other files that were read."""
    from charnn.checkpoint import load
    from charnn.console import say
    from charnn.corpus import files_named
    from charnn.training import Outputs, Trainer, initial_config, resumed_config

    outputs = Outputs(Path(config.output.checkpoint))

    def beginning() -> "tuple[Config, Checkpoint | None, Checkpoint | None]":
        begun = config
        resumed = start = None
        if not overwrite and not (resume and outputs.checkpoint.exists()):
            outputs.refuse_existing()
        if resume and outputs.checkpoint.exists():
            resumed = load(outputs.checkpoint)
            path = {"output.checkpoint": config.output.checkpoint}
            begun = resumed_config(config, resumed.config).with_values(path)
        elif resume and not quiet:
            say(f"{outputs.checkpoint} does not exist yet: starting anew")
        if init is not None and resumed is None:
            start = load(init)
            begun = initial_config(config, start)
        inputs: list[Path | str] = [*files_named(begun.data.path), *read]
        outputs.refuse_inputs([*inputs, init] if init and start else inputs)
        return begun, resumed, start

    config, resumed, start = ranks.first(beginning)
    again = resumed is not None
    corpus = _read_corpus(config, resumed or start, again=again, quiet=quiet, ranks=ranks)
    return Trainer(config, corpus, resume=resumed, init=start, ranks=ranks)


def _read_corpus(
    config: "Config",
    source: "Checkpoint | None",
    *,
    again: bool,
    quiet: bool = False,
    option: str = "--data",
    ranks: "Ranks" = mpi.ALONE,
) -> "Corpus":
    """Read the text with a checkpoint's vocabulary, or its own; `again` if that model read it."""
    if not config.data.path:
        raise RequestError("no text given: use --data PATH, or data.path in the config")
    if again and "-" in config.data.path and sys.stdin.isatty():
        raise RequestError("this model was trained on standard input: give the same text, < TEXT")
    from charnn.corpus import ReadError

    mend = "take them out of the text, or train anew, without --init"
    if again:
        mend = "it is not the text this model was trained on"
    try:
        return _encode(
            config.data.path,
            config.data.normalize_newlines,
            mend=mend,
            quiet=quiet,
            ranks=ranks,
            vocabulary=source.vocabulary if source else None,
            val_fraction=config.data.val_fraction,
            test_fraction=config.data.test_fraction,
        )
    except ReadError as error:
        hint = f"; the checkpoint names this path: say where the text is with {option}"
        raise ReadError(f"{error}{hint if again else ''}") from None


def _encode(
    paths: Sequence[str],
    normalize_newlines: bool,
    *,
    mend: str,
    quiet: bool = False,
    ranks: "Ranks" = mpi.ALONE,
    **options: Any,
) -> "Corpus":
    """Read texts into a corpus; `mend` says what helps against unknown characters."""
    from charnn.console import reading
    from charnn.corpus import Corpus, ReadError, UnknownCharactersError, read_blocks

    name = _shown_paths(paths)
    try:
        with reading(name, quiet=quiet) as on_read:
            text = read_blocks(
                paths, normalize_newlines=normalize_newlines, on_read=on_read, ranks=ranks
            )
            return Corpus.from_text(text, ranks=ranks, **options)
    except ReadError:
        raise  # it names the file
    except UnknownCharactersError as error:
        raise UnknownCharactersError(f"{name}: {error}; {mend}") from None
    except CorpusError as error:
        raise CorpusError(f"{name}: {error}") from None


def _shown_paths(paths: Sequence[str]) -> str:
    return " ".join("standard input" if path == "-" else path for path in paths)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Note the first Ctrl-C or termination signal; a second one ends at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            sys.exit(128 + number)
        received.append(number)

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    hangup = numbers[-1]
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN:
        numbers.pop()  # nohup
    before = {number: signal.signal(number, note) for number in numbers if number is not None}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_plan(trainer: "Trainer") -> None:
    from charnn.config import commented_yaml
    from charnn.console import duration

    streams, steps = trainer.streams, trainer.total_steps - trainer.progress.step
    seconds = trainer.seconds_per_step()
    if trainer.ranks.rank > 0:
        return
    limit = {"training.time_limit": trainer.time_limit}
    print(commented_yaml(trainer.config.with_values(limit)))
    print(f"# parameters        {trainer.model.parameters.flat.size:,}")
    print(f"# memory            {trainer.memory(streams) / 1e6:,.0f} MB for buffers and parameters")
    print(f"# steps             {steps:,} ({streams.steps_per_epoch:,} an epoch)")
    print(f"# characters a step {streams.batch_size} × {streams.seq_length}")
    print(f"# FLOP a step       {trainer.flop_per_step():.3g}")
    print(f"# time              about {duration(seconds * steps)}, validation left out")


# --- sample --------------------------------------------------------------------------------------


@app.command()
def sample(
    ckpt: Annotated[Path, _CKPT],
    n: Annotated[
        int, typer.Option("--n", "-n", min=0, metavar="N", help="Characters to generate.")
    ] = 500,
    prime: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Begin with this text, printed first.")
    ] = None,
    prime_file: Annotated[
        str | None, typer.Option(metavar="PATH", help="Read that text from a file, or - for stdin.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Below 1 plays safe, above 1 takes risks.")
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Keep the K likeliest.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", help="Keep the smallest set with this probability.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the likeliest.")] = False,
    stop: Annotated[str, typer.Option(metavar="TEXT", help="End early, after this text.")] = "",
    samples: Annotated[
        int, typer.Option(min=1, metavar="M", help="How many texts, separated by lines of ---.")
    ] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, metavar="N", help="One seed, one text.")
    ] = None,
    novelty: Annotated[bool, _NOVELTY] = False,
    against: Annotated[list[str] | None, _AGAINST] = None,
) -> None:
    """Print text drawn from a model.

    Exactly N characters are drawn after the text to begin with, and nothing is added. Without
    such a text the model begins as after the end of a line.

    --novelty tells on stderr how much of what was drawn is copied from the training text,
    character for character: the share inside runs of 20 or more, and the longest run.

    \b
    Examples:
      charnn sample --ckpt run1.npz --n 500
      charnn sample --ckpt run1.npz --temperature 0.7 --prime "ROMEO:" --seed 1
      charnn sample --ckpt run1.npz --n 40 --samples 10 --stop "."
      head -c 200 mine.txt | charnn sample --ckpt run1.npz --prime-file -
    """
    if n > 10**12:
        raise RequestError(f"--n must be at most {10**12:,}, got {n:,}")
    if not temperature > 0 or temperature == float("inf"):
        raise RequestError(
            f"--temperature must be a number > 0, got {temperature:g} (see --greedy)"
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise RequestError(f"--top-p must be > 0 and at most 1, got {top_p:g}")
    if prime is not None and prime_file is not None:
        raise RequestError("--prime and --prime-file exclude each other")
    if against and not novelty:
        raise RequestError("--against is for --novelty")

    import time

    import numpy as np

    from charnn.checkpoint import load
    from charnn.corpus import UnknownCharactersError, read_text
    from charnn.draws import fresh_seed
    from charnn.sampling import sample as sample_text

    checkpoint = load(ckpt)
    if prime_file is not None:
        newlines = checkpoint.config.data.normalize_newlines
        prime = read_text([prime_file], normalize_newlines=newlines)
    for option, text in (("the text to begin with", prime or ""), ("--stop", stop)):
        try:
            checkpoint.vocabulary.encode(text)
        except UnknownCharactersError as error:
            raise UnknownCharactersError(f"{option}: {error}") from None
    training = _training_text(checkpoint, against) if novelty else None
    if seed is None and not greedy:
        seed = fresh_seed()
        with contextlib.suppress(OSError):
            print(f"seed {seed}", file=sys.stderr, flush=True)
    pieces = sample_text(
        checkpoint.model,
        checkpoint.vocabulary,
        n,
        prime=prime or "",
        stop=stop,
        seed=seed or 0,
        samples=samples,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        greedy=greedy,
    )
    terminal = sys.stdout.isatty()
    written: list[str] = []
    # Flushed twenty times a second: alive on a terminal, cheap in a pipe.
    flushed = time.monotonic()
    with np.errstate(all="ignore"):
        for piece in pieces:
            if training is not None:
                written.append(piece)
            if terminal:
                piece = escaped(piece)
            sys.stdout.buffer.write(piece.encode("utf-8", "surrogatepass"))
            if time.monotonic() - flushed > 0.05:
                sys.stdout.buffer.flush()
                flushed = time.monotonic()
    sys.stdout.buffer.flush()
    if training is not None:
        if terminal:
            print(file=sys.stderr)
        # The first piece of each text was given.
        drawn = ["".join(written[1:])] if samples == 1 else written[1::2]
        _say_novelty(drawn, training, checkpoint.vocabulary)


def _say_novelty(drawn: list[str], training: "Ids", known: "Vocabulary") -> None:
    from charnn.console import say, shortened

    found = _copies([known.encode(text) for text in drawn], training)
    say(
        f"novelty: {found.share:.1%} of {found.characters:,} characters lie in copied runs of 20 "
        f"or more; the longest run has {len(found.longest):,}: "
        f"{shortened(known.decode(found.longest))}"
    )


def _training_text(checkpoint: "Checkpoint", against: list[str] | None) -> "Ids":
    """Return the ids of the training split, or of another text, whole."""
    from charnn.console import say

    config = checkpoint.config
    if not against:
        if "-" in config.data.path:
            raise RequestError(
                "this model was trained on standard input: name that text with --against"
            )
        return _own_corpus(checkpoint, "--against").split("train")
    corpus = _encode(
        against,
        config.data.normalize_newlines,
        mend="compare with a text of the same characters",
        vocabulary=checkpoint.vocabulary,
        val_fraction=config.data.val_fraction,
        test_fraction=config.data.test_fraction,
    )
    if corpus.has_fingerprint(checkpoint.progress.fingerprint):
        return corpus.split("train")
    say(f"{_shown_paths(against)}: not the text this model was trained on; compared with all of it")
    return corpus.ids


def _copies(texts: list["Ids"], training: "Ids") -> "Copies":
    from charnn.console import waiting
    from charnn.novelty import copies

    with waiting("looking for copies"):
        return copies(texts, training)


# --- eval ----------------------------------------------------------------------------------------


@app.command("eval")
def eval_(
    ckpt: Annotated[Path, _CKPT],
    data: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Read this text, whole; - for stdin.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        typer.Option(help="Part of the text the model was trained on; default val."),
    ] = None,
    unknown: Annotated[
        Literal["error", "skip"], typer.Option(help="Characters the model does not know.")
    ] = "error",
    context: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Start anew from the zero state every N characters."),
    ] = None,
    novelty: Annotated[bool, _NOVELTY] = False,
    against: Annotated[list[str] | None, _AGAINST] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print how well a model predicts a text.

    The loss is exact: the text is read from the zero state to the end, one character at a time.
    For scale, in bits per character of the same text: models that count characters (unigram) or
    pairs (bigram) as they go, and xz.

    --context N compares with models that see at most N characters: the text is cut into blocks of
    N predictions, each read from the zero state. --novelty tells how much of the text is copied
    from the training text, character for character, as `charnn sample` does.

    \b
    Examples:
      charnn eval --ckpt run1.npz
      charnn eval --ckpt run1.npz --data other.txt --unknown skip
      charnn eval --ckpt run1.npz --split train --json | jq .bits_per_char
      charnn eval --ckpt run1.npz --split val --data where/it/is/now.txt
      charnn eval --ckpt run1.npz --data mine.txt --novelty
    """
    if against and not novelty:
        raise RequestError("--against is for --novelty")
    if novelty and unknown == "skip":
        raise RequestError("--novelty looks for exact copies; leave out --unknown skip")
    from charnn.baselines import bigram_bits, unigram_bits, xz_bits
    from charnn.checkpoint import load
    from charnn.console import shortened, waiting, watch
    from charnn.evaluation import evaluating

    checkpoint = load(ckpt)
    known = checkpoint.vocabulary
    name, ids, skipped = _text_read_by(checkpoint, data, split, unknown)
    training = _training_text(checkpoint, against) if novelty else None
    result = watch(evaluating(checkpoint.model, ids, context=context))
    with waiting("counting and compressing"):
        scale = {
            "unigram_bits": unigram_bits(ids, len(known)),
            "bigram_bits": bigram_bits(ids, len(known)),
            "xz_bits": xz_bits(ids, known),
        }
    figures: dict[str, Any] = {
        "text": name if as_json else one_line(name),
        "characters": len(ids),
        "skipped": skipped,
        "nats_per_char": result.nats_per_char,
        "bits_per_char": result.bits_per_char,
        "perplexity": result.perplexity,
        "accuracy": result.accuracy,
        **scale,
    }
    if context is not None:
        figures["context"] = context
    if training is not None:
        found = _copies([ids], training)
        run = known.decode(found.longest)
        figures["copied_share"] = found.share
        figures["longest_copy"] = len(found.longest)
        figures["copy"] = run if as_json else shortened(run)
    _print_figures(figures, as_json)


def _text_read_by(
    checkpoint: "Checkpoint",
    data: list[str] | None,
    split: Literal["train", "val", "test", "all"] | None,
    unknown: Literal["error", "skip"],
    option: str = "--data",
) -> tuple[str, "Ids", int]:
    """Return the name and the ids of what a model is to read, and how many characters it skips.

    `option` is what names `data` on the command line.
    """
    from charnn.console import say

    known, settings = checkpoint.vocabulary, checkpoint.config.data
    if data:
        mend = "leave them out by --unknown skip"
        corpus = _encode(
            data, settings.normalize_newlines, mend=mend, vocabulary=known, unknown=unknown
        )
        path, fingerprint = _shown_paths(data), checkpoint.progress.fingerprint
        own = not corpus.skipped and corpus.has_fingerprint(fingerprint)
        kept = settings.val_fraction + settings.test_fraction
        if own and not split and kept:
            hint = "; see --split" if option == "--data" else ""
            say(f"note: this model was trained on {path}, but for its last {kept:.0%}{hint}")
        if not split:
            return path, corpus.ids, corpus.skipped
        if not own:
            raise RequestError(
                f"--split is for the text this model was trained on, and {path} is another"
            )
        shares = (settings.val_fraction, settings.test_fraction)
        corpus = dataclasses.replace(corpus, val_fraction=shares[0], test_fraction=shares[1])
    else:
        corpus = _own_corpus(checkpoint, option)
    name = split or "val"
    ids = corpus.split(name)
    if not len(ids):
        way = "use --split train, or" if option == "--data" else "use"
        raise RequestError(f"this run kept no {name} split; {way} {option}")
    return name, ids, 0


def _own_corpus(checkpoint: "Checkpoint", option: str) -> "Corpus":
    """Read the text that a model was trained on; `option` could name another."""
    corpus = _read_corpus(checkpoint.config, checkpoint, again=True, option=option)
    if not corpus.has_fingerprint(checkpoint.progress.fingerprint):
        raise CharnnError(
            f"{_shown_paths(checkpoint.config.data.path)}: not the text this model was trained on; "
            f"name any text with {option}"
        )
    return corpus


# --- inspect, plot and report --------------------------------------------------------------------

_TEXT = typer.Option(
    metavar="PATH", help="Read this text, or - for stdin; default the run's validation text."
)
_UNIT = typer.Option(
    metavar="LAYER:INDEX", help="A hidden unit, counted from 0, not those found; repeatable."
)
_UNKNOWN = typer.Option(help="Characters the model does not know.")
_VALIDATION = "the validation text"
_OVERWRITE = typer.Option("--overwrite", help="Replace the file if it exists.")


@app.command()
def inspect(
    ckpt: Annotated[Path, _CKPT],
    text: Annotated[list[str] | None, _TEXT] = None,
    view: Annotated[
        Literal["surprise", "expectation", "memory", "gradients"] | None,
        typer.Option(help="One view in full; default a summary of all."),
    ] = None,
    unit: Annotated[list[str] | None, _UNIT] = None,
    top: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Places, expected characters or units to list."),
    ] = 5,
    n: Annotated[
        int, typer.Option("--n", "-n", min=2, metavar="N", help="Characters to read, at most.")
    ] = 20_000,
    unknown: Annotated[Literal["error", "skip"], _UNKNOWN] = "error",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what a model expects, remembers and can learn.

    Surprise is the bits each character costs; expectation, what was likeliest in its place; memory,
    what hidden units follow (correlation of the activation with a feature of the text, chosen on
    the first half and measured on the second); gradients, how many characters back the loss still
    reaches each layer. A pipe gets tab-separated tables of all that was read, a terminal the
    beginning in colour.

    \b
    Examples:
      charnn inspect --ckpt run1.best.npz
      charnn inspect --ckpt run1.npz --view memory --unit 0:17 --text mine.txt
      charnn inspect --ckpt run1.npz --view surprise > surprise.tsv
      charnn inspect --ckpt run1.npz --view gradients --json | jq .layers
    """
    chosen = _units_named(unit)

    from charnn.checkpoint import load
    from charnn.inspection import Inspection
    from charnn.views import as_json as jsonified
    from charnn.views import show, tab_separated, tables

    checkpoint = load(ckpt)
    name, ids, _ = _text_read_by(checkpoint, text, None, unknown, "--text")
    model, known = checkpoint.model, checkpoint.vocabulary
    seen = Inspection(model, known, ids, n, top=top, find=top, chosen=chosen)
    part = f"the first {len(seen.ids):,} of" if len(seen.ids) < seen.total else "all"
    part = f"{name if text else _VALIDATION}: read {part} {seen.total:,} characters"
    if as_json:
        figures = {
            "text": escaped(name),
            "characters": len(seen.ids),
            "of": seen.total,
            "bits_per_char": seen.bits_per_char,
        }
        print(jsonified(figures, tables(seen, view, top)))
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        console.print(Text(escaped(part), style="dim"), end="\n\n")
        show(seen, view, top, console)
    else:
        print(escaped(part), file=sys.stderr)
        found = tables(seen, view, top)
        for line in tab_separated([found[view]] if view else found.values()):
            print(line)


def _units_named(names: list[str] | None) -> list[tuple[int, int]]:
    """Read LAYER:INDEX."""
    units = []
    for name in names or []:
        layer, colon, index = name.partition(":")
        if not (colon and layer.isdecimal() and index.isdecimal()):
            raise RequestError(f"--unit takes LAYER:INDEX, as in 0:17, got {name!r}")
        units.append((int(layer), int(index)))
    return units


@app.command()
def plot(
    logs: Annotated[
        list[Path],
        typer.Argument(help="Metrics logs, one for each run.", metavar="RUN.jsonl", readable=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Picture to write, .png or .svg.")
    ],
    against: Annotated[
        Literal["step", "seconds"], typer.Option(help="What runs to the right.")
    ] = "step",
    overwrite: Annotated[bool, _OVERWRITE] = False,
) -> None:
    """Draw the curves of one run, or of several to compare.

    Training and validation loss, learning rate, gradient norm and speed. Needs matplotlib: pip
    install 'charnn[plot]'.

    \b
    Examples:
      charnn plot run1.jsonl -o loss.png
      charnn plot runs/*.jsonl --against seconds -o compared.svg
    """
    _check_output(out, (".png", ".svg"), overwrite, read=logs)
    from charnn.curves import read_all
    from charnn.plots import plot as picture

    _write(out, picture(read_all(logs), against, "svg" if out.suffix == ".svg" else "png"))


@app.command()
def report(
    ckpt: Annotated[Path, _CKPT],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="Page to write.")],
    text: Annotated[list[str] | None, _TEXT] = None,
    unit: Annotated[list[str] | None, _UNIT] = None,
    n: Annotated[
        int, typer.Option("--n", "-n", min=2, max=50_000, metavar="N", help="Characters to show.")
    ] = 5000,
    unknown: Annotated[Literal["error", "skip"], _UNKNOWN] = "error",
    overwrite: Annotated[bool, _OVERWRITE] = False,
) -> None:
    """Write a page that shows a model, outside and inside.

    Its losses, curves (from the log beside the checkpoint), samples, gradients and config; and the
    text, where pointing at a character, or moving with the arrow keys, shows what the model
    expected, and any of some twenty units gives the colours. One file that needs no network.
    Making it needs Jinja2: pip install 'charnn[report]'.

    \b
    Examples:
      charnn report --ckpt run1.best.npz -o run1.html
      charnn report --ckpt run1.npz --text mine.txt --unit 0:17 --unit 1:3 -o mine.html
    """
    chosen = _units_named(unit)
    _check_output(out, (".html", ".htm"), overwrite, read=[ckpt, *map(Path, text or [])])
    from charnn.checkpoint import load
    from charnn.console import waiting
    from charnn.report import page

    checkpoint = load(ckpt)
    name, ids, _ = _text_read_by(checkpoint, text, None, unknown, "--text")
    with waiting("reading and drawing"):
        html = page(checkpoint, ckpt, name if text else _VALIDATION, ids, n, chosen)
    _write(out, html.encode("utf-8", "backslashreplace"))


def _check_output(path: Path, endings: tuple[str, ...], overwrite: bool, read: list[Path]) -> None:
    """Refuse what cannot or should not be written before any work is done."""
    if path.suffix not in endings:
        raise RequestError(f"--out takes a name ending in {' or '.join(endings)}, got {path}")
    if not path.parent.is_dir():
        raise RequestError(f"{path}: the folder {path.parent} does not exist")
    if os.path.realpath(path) in map(os.path.realpath, read):
        raise RequestError(f"{path} would be overwritten, but is read; choose another --out")
    if path.exists() and not overwrite:
        raise RequestError(f"{path} exists; replace it by --overwrite")


def _write(path: Path, content: bytes) -> None:
    from charnn.checkpoint import write_atomically

    def write(file: IO[bytes]) -> None:
        file.write(content)

    try:
        write_atomically(path, write)
    except OSError as error:
        raise CharnnError(f"{path}: cannot be written: {error.strerror or error}") from None


# --- info and config -----------------------------------------------------------------------------


@app.command()
def info(
    ckpt: Annotated[Path, typer.Argument(help="A checkpoint.", metavar="FILE.npz")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print what a checkpoint holds.

    Its model, vocabulary, training so far and config.

    \b
    Example:
      charnn info run1.npz --json
    """
    from charnn.checkpoint import load
    from charnn.config import commented_yaml
    from charnn.console import shortened

    checkpoint = load(ckpt)
    model, progress = checkpoint.model, checkpoint.progress
    figures: dict[str, Any] = {
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "activation": model.activation,
        "dtype": str(model.dtype),
        "parameters": model.parameters.flat.size,
        "vocab_size": model.vocab_size,
        "vocabulary": checkpoint.vocabulary.characters,
        "step": progress.step,
        "val_loss": progress.val_loss,
        "best_val_loss": progress.best_val_loss,
        "best_step": progress.best_step,
        "resumable": checkpoint.resumable,
        "corpus_sha256": progress.fingerprint,
    }
    if as_json:
        figures["config"] = checkpoint.config.model_dump()
        _print_figures(figures, as_json)
        return
    figures["vocabulary"] = shortened(checkpoint.vocabulary.characters)
    _print_figures(figures, as_json)
    print()
    print(commented_yaml(checkpoint.config), end="")


@app.command("config")
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
    from charnn.config import commented_yaml, json_schema

    if schema:
        print(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    else:
        print(commented_yaml(), end="")


def _print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures as one JSON object, or as aligned lines."""
    if as_json:
        # JSON itself leaves these as they are: delete, and the controls that begin with 0x80.
        escapes = {point: f"\\u{point:04x}" for point in range(0x7F, 0xA0)}
        print(json.dumps(figures, ensure_ascii=False).translate(escapes))
        return
    for name, value in figures.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        shown = f"{value:.4f}" if isinstance(value, float) else shown
        print(f"{name.replace('_', ' '):<16}{'-' if shown is None else shown}")
