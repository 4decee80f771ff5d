"""The commands: parse, call, print. Heavy imports wait until a command needs them."""

import contextlib
import io
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from charnn import __version__
from charnn.errors import CharnnError, ConfigError, CorpusError, RequestError, escaped, one_line

if TYPE_CHECKING:
    from charnn.checkpoint import Checkpoint
    from charnn.config import Config
    from charnn.corpus import Corpus
    from charnn.training import Reason, Trainer


class _Commands(TyperGroup):
    """All commands; whoever reads their output may stop reading at any time."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            _close_stdout()
            return 0
        except OSError as error:
            _close_stdout()
            where = error.filename or "standard output"
            raise CharnnError(f"{where}: {error.strerror or error}") from None
        return result


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="charnn", standalone_mode=False)
    except CharnnError as error:
        lines = str(error).split("\n") if isinstance(error, ConfigError) else [str(error)]
        for line in lines:
            print(f"charnn: error: {one_line(line)}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except MemoryError:
        print("charnn: error: out of memory; ask for smaller sizes or fewer texts", file=sys.stderr)
        code = 1
    except Exception as error:
        # The parser's own errors (unknown options and the like) know how to describe themselves.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "charnn"
        reason = describe().replace("Input should be", "must be").replace("Value error, ", "")
        if "extra argument" in reason:
            reason += "; quote a glob, or give --data for each file"
        print(f"charnn: error: {one_line(reason)} (see {command} --help)", file=sys.stderr)
        code = 2
    sys.exit(code or 0)


def _version(shown: bool) -> None:
    if shown:
        print(f"charnn {__version__}")
        raise typer.Exit


@app.callback()
def _charnn(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the checkpoint.")] = False,
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
    threads: Annotated[int | None, typer.Option(metavar="N", help="BLAS threads.")] = None,
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
    """
    from charnn.config import Override, load_config, parse_override

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
    )
    for warning in trainer.warnings:
        notes(f"warning: {warning}")
    if dry_run:
        _print_plan(trainer)
        if not overwrite and not resume:
            trainer.outputs.refuse_existing()
        return
    for line in headline(trainer):
        notes(line)
    if trainer.finished:
        notes("this run is finished:")
        for line in summary(trainer):
            notes(line)
        return
    reporter: Reporter
    if quiet:
        reporter = Reporter(trainer)
    elif sys.stderr.isatty():
        known, chosen = trainer.corpus.vocabulary, trainer.config.training.seed or 0
        reporter = LiveReporter(trainer, lambda: preview(trainer.model, known, seed=chosen))
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
        raise typer.Exit(128 + received[0])


def _prepare(
    config: "Config",
    *,
    read: list[Path],
    init: Path | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> "Trainer":
    """Read what the run starts from and the corpus; `read` are the other files that were read."""
    from charnn.checkpoint import load
    from charnn.console import say
    from charnn.corpus import files_named
    from charnn.training import Outputs, Trainer, initial_config, resumed_config

    outputs = Outputs(Path(config.output.checkpoint))
    resumed = start = None
    if not overwrite and not (resume and outputs.checkpoint.exists()):
        outputs.refuse_existing()
    if resume and outputs.checkpoint.exists():
        resumed = load(outputs.checkpoint)
        path = {"output.checkpoint": config.output.checkpoint}
        config = resumed_config(config, resumed.config).with_values(path)
    elif resume and not quiet:
        say(f"{outputs.checkpoint} does not exist yet: starting anew")
    if init is not None and resumed is None:
        start = load(init)
        config = initial_config(config, start)
    source = resumed or start
    inputs: list[Path | str] = [*files_named(config.data.path), *read]
    outputs.refuse_inputs([*inputs, init] if init and start else inputs)
    corpus = _read_corpus(config, source, again=resumed is not None, quiet=quiet)
    return Trainer(config, corpus, resume=resumed, init=start)


def _read_corpus(
    config: "Config", source: "Checkpoint | None", *, again: bool, quiet: bool = False
) -> "Corpus":
    """Read the text with a checkpoint's vocabulary, or its own; `again` if that model read it."""
    from charnn.console import waiting
    from charnn.corpus import Corpus, UnknownCharactersError, read_text

    if not config.data.path:
        raise RequestError("no text given: use --data PATH, or data.path in the config")
    if again and "-" in config.data.path and sys.stdin.isatty():
        raise RequestError("this model was trained on standard input: give the same text, < TEXT")
    name = " ".join("standard input" if path == "-" else path for path in config.data.path)
    try:
        with waiting(f"reading {one_line(name)}", quiet=quiet):
            text = read_text(config.data.path, normalize_newlines=config.data.normalize_newlines)
    except CorpusError as error:
        hint = "; the checkpoint names this path: say where the text is with --data"
        raise CorpusError(f"{error}{hint if again else ''}") from None
    try:
        return Corpus.from_text(
            text,
            vocabulary=source.vocabulary if source else None,
            val_fraction=config.data.val_fraction,
            test_fraction=config.data.test_fraction,
        )
    except UnknownCharactersError as error:
        mend = "take them out of the text, or train anew, without --init"
        if again:
            mend = "it is not the text this model was trained on"
        raise UnknownCharactersError(f"{name}: {error}; {mend}") from None
    except CorpusError as error:
        raise CorpusError(f"{name}: {error}") from None


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Note the first Ctrl-C or termination signal; a second one ends at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            sys.exit(128 + number)
        received.append(number)

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
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
) -> None:
    """Print text drawn from a model.

    Exactly N characters are drawn after the text to begin with, and nothing is added. Without
    such a text the model begins as after the end of a line.

    \b
    Examples:
      charnn sample --ckpt run1.npz --n 500
      charnn sample --ckpt run1.npz --temperature 0.7 --prime "ROMEO:" --seed 1
      charnn sample --ckpt run1.npz --n 40 --samples 10 --stop "."
      head -c 200 mine.txt | charnn sample --ckpt run1.npz --prime-file -
    """
    if not temperature > 0 or temperature == float("inf"):
        raise RequestError(
            f"--temperature must be a number > 0, got {temperature:g} (see --greedy)"
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise RequestError(f"--top-p must be > 0 and at most 1, got {top_p:g}")
    if prime is not None and prime_file is not None:
        raise RequestError("--prime and --prime-file exclude each other")

    import time

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
    if sys.stdout is None:
        raise CharnnError("standard output is closed")
    terminal = sys.stdout.isatty()
    # Flushed twenty times a second: alive on a terminal, cheap in a pipe.
    flushed = time.monotonic()
    for piece in pieces:
        if terminal:
            piece = escaped(piece)
        sys.stdout.buffer.write(piece.encode("utf-8", "surrogatepass"))
        if time.monotonic() - flushed > 0.05:
            sys.stdout.buffer.flush()
            flushed = time.monotonic()
    sys.stdout.buffer.flush()


# --- eval ----------------------------------------------------------------------------------------


@app.command("eval")
def eval_(
    ckpt: Annotated[Path, _CKPT],
    data: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Read this text, whole; - for stdin.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        typer.Option(help="Part of the checkpoint's own corpus; default val."),
    ] = None,
    unknown: Annotated[
        Literal["error", "skip"], typer.Option(help="Characters the model does not know.")
    ] = "error",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print how well a model predicts a text.

    The loss is exact: the text is read from the zero state to the end, one character at a time.
    For scale, in bits per character of the same text: models that count characters (unigram) or
    pairs (bigram) as they go, and xz.

    \b
    Examples:
      charnn eval --ckpt run1.npz
      charnn eval --ckpt run1.npz --data other.txt --unknown skip
      charnn eval --ckpt run1.npz --split train --json | jq .bits_per_char
    """
    if data and split:
        raise RequestError("--split is for the checkpoint's own corpus; leave it out with --data")
    from charnn.baselines import bigram_bits, unigram_bits, xz_bits
    from charnn.checkpoint import load
    from charnn.console import waiting, watch
    from charnn.corpus import UnknownCharactersError, read_text
    from charnn.evaluation import evaluating

    checkpoint = load(ckpt)
    known = checkpoint.vocabulary
    if data:
        text = read_text(data, normalize_newlines=checkpoint.config.data.normalize_newlines)
        name = " ".join("standard input" if path == "-" else path for path in data)
        try:
            ids = known.encode(text, unknown=unknown)
        except UnknownCharactersError as error:
            raise UnknownCharactersError(
                f"{name}: {error}; leave them out by --unknown skip"
            ) from None
    else:
        name = split or "val"
        corpus = _read_corpus(checkpoint.config, checkpoint, again=True)
        if corpus.fingerprint != checkpoint.progress.fingerprint:
            raise CharnnError(
                f"{' '.join(checkpoint.config.data.path)}: not the text this model was trained on; "
                "evaluate on any text with --data"
            )
        ids = corpus.split(name)
        if not len(ids):
            raise RequestError(f"this run kept no {name} split; use --split train, or --data")
        text = known.decode(ids)
    if len(ids) < 2:
        raise CharnnError(f"{name}: fewer than 2 known characters; there is nothing to predict")
    result = watch(evaluating(checkpoint.model, ids))
    with waiting("counting and compressing"):
        scale = {
            "unigram_bits": unigram_bits(ids, len(known)),
            "bigram_bits": bigram_bits(ids, len(known)),
            "xz_bits": xz_bits(known.decode(ids)),
        }
    figures: dict[str, Any] = {
        "text": name if as_json else one_line(name),
        "characters": len(ids),
        "skipped": len(text) - len(ids),
        "nats_per_char": result.nats_per_char,
        "bits_per_char": result.bits_per_char,
        "perplexity": result.perplexity,
        "accuracy": result.accuracy,
        **scale,
    }
    _print_figures(figures, as_json)


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
    from charnn.console import shown_vocabulary

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
    figures["vocabulary"] = shown_vocabulary(checkpoint.vocabulary.characters)
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
