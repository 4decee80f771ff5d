"""TODO."""

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charnn import ranks as mpi
from charnn.errors import RequestError

if TYPE_CHECKING:
    from charnn.checkpoint.checkpoint import Checkpoint
    from charnn.config.keys import Config
    from charnn.ranks import Ranks
    from charnn.training.events import Reason
    from charnn.training.trainer import Trainer
from charnn.commands.texts import _read_corpus

_ENDINGS: dict[str, str] = {
    "finished": "done:",
    "patience": "ended, as validation got no better for training.patience evaluations:",
    "stop-after": "stopped by --stop-after:",
    "time-limit": "stopped by the time limit:",
    "interrupted": "interrupted:",
}


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
    from charnn.config.loading import Override, load_config, parse_override

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

    from charnn.commands.console import say
    from charnn.commands.reporters import LiveReporter, PlainReporter, Reporter, headline, summary
    from charnn.sampling import preview
    from charnn.training.events import Ended

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
    from charnn.checkpoint.checkpoint import load
    from charnn.commands.console import say
    from charnn.text.reading import files_named
    from charnn.training.outputs import Outputs
    from charnn.training.preparation import initial_config, resumed_config
    from charnn.training.trainer import Trainer

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
    from charnn.commands.console import duration
    from charnn.config.writing import commented_yaml

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
