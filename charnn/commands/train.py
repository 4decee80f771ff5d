"""The command `charnn train`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from charnn import ranks
from charnn.commands.console import say
from charnn.commands.options import DATA, SET, config_of, file_path
from charnn.commands.summaries import already_finished, closing, dry_run_costs, headline
from charnn.commands.texts import read_corpus
from charnn.errors import CharnnError, RequestError
from charnn.training.signals import noted_signals

if TYPE_CHECKING:
    from charnn.checkpoint.checkpoint import Checkpoint
    from charnn.commands.reporters import Reporter
    from charnn.config.keys import Config, DataConfig
    from charnn.training.events import Reason
    from charnn.training.trainer import Trainer


def train(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            parser=file_path,
            help="YAML config, - for stdin; see `charnn config`.",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        DATA,
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Checkpoint to write.", metavar="FILE.npz"),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", parser=file_path, help="Start from this checkpoint's parameters."
        ),
    ] = None,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="With --init: allow characters that are new to the model."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint, if there is one.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace checkpoint, best checkpoint and log.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        SET,
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(metavar="N", help="Steps of the whole run; shapes the schedule.")
    ] = None,
    stop_after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Stop this invocation after N steps; --resume continues."
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop this invocation after 90s, 10m, 1h30m or 2d; --resume continues.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all random draws.")] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Cores to use. Default: all.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the config and its costs; train nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
) -> None:
    """Train a model on a text.

    Writes FILE.npz (everything that --resume needs), FILE.best.npz (the model with the lowest
    validation loss) and FILE.jsonl (the metrics log). charnn chooses sizes, steps, learning rate
    and dropout for the text, unless you set them.

    \b
    Examples:
      charnn train --data mine.txt --out mine.npz
      charnn train --config configs/shakespeare.yaml --time-limit 10m
      charnn train --config configs/shakespeare.yaml --resume
      cat *.md | charnn train --data - --out notes.npz --set model.hidden_size=512
      charnn train --init plays.best.npz --extend --data mine.txt --out mine.npz
      mpiexec -n 8 charnn train --config big.yaml
    """
    job = ranks.join()
    if str(config) == "-" and "-" in (data or []):
        raise RequestError("--config - and --data - cannot both read standard input")
    quiet = quiet or job.rank > 0
    if resume and overwrite:
        raise RequestError("--resume and --overwrite exclude each other")
    if extend and init is None:
        raise RequestError("--extend needs --init, the model to start from")
    settings = config_of(
        config,
        set_ or [],
        {
            "--data": ("data.path", data or None),
            "--out": ("output.checkpoint", out),
            "--max-steps": ("training.max_steps", max_steps),
            "--time-limit": ("training.time_limit", time_limit),
            "--seed": ("training.seed", seed),
            "--threads": ("training.threads", threads),
        },
    )

    from charnn.training.events import Ended
    from charnn.training.trainer import Trainer

    def note(*lines: str) -> None:
        if not quiet:
            for line in lines:
                say(line)

    start = job.first(
        lambda: _start(
            settings,
            init=init,
            resume=resume,
            may_replace=overwrite or dry_run,
            inputs=[config] if config and str(config) != "-" else [],
        )
    )
    if resume and start.resumed is None:
        missing = f"{Path(settings.output.checkpoint)} does not exist yet"
        if not settings.data.path:
            raise RequestError(f"{missing}: name the run to resume with --out")
        note(f"{missing}: starting a new run")
    corpus = read_corpus(
        start.config,
        start.resumed or (None if extend else start.init),
        again=start.resumed is not None,
        named=[key for key, _ in settings.given()] if start.resumed else start.config.data.texts,
        quiet=quiet,
        ranks=job,
    )
    kept = start.config.with_values(job.first(lambda: _lasting_paths(start.config.data)))
    trainer = Trainer(kept, corpus, resume=start.resumed, init=start.init, ranks=job)
    note(*(f"warning: {warning}" for warning in trainer.warnings))
    if dry_run:
        costs = dry_run_costs(trainer)
        if job.rank == 0:
            print(*costs, sep="\n")
        if not overwrite and not resume:
            try:
                trainer.outputs.refuse_existing()
            except RequestError as refused:
                note(f"note: {refused}")
        return
    note(*headline(trainer))
    if trainer.finished and start.resumed:
        note(*already_finished(trainer))
        return
    reporter = _reporter(trainer, quiet)
    ending: Reason = "finished"
    with noted_signals() as received, reporter:
        for event in trainer.run(
            stop_after=stop_after, overwrite=overwrite, interrupted=lambda: bool(received)
        ):
            reporter.show(event)
            if isinstance(event, Ended):
                ending = event.reason
    note(*closing(trainer, ending))
    if ending == "interrupted":
        raise typer.Exit(128 + next(number for each in job.gather(received) for number in each))


class _Start(NamedTuple):
    """What a run starts from: a checkpoint to resume, one with initial parameters, or none."""

    config: "Config"
    resumed: "Checkpoint | None"
    init: "Checkpoint | None"


def _start(
    config: "Config",
    *,
    init: Path | None,
    resume: bool,
    may_replace: bool,
    inputs: list[Path],
) -> _Start:
    """Load what the run starts from, and check its outputs against `inputs` and the text."""
    from charnn.checkpoint.checkpoint import load
    from charnn.text.finding import files_named
    from charnn.training.outputs import Outputs
    from charnn.training.preparation import initial_config, resumed_config

    outputs = Outputs(Path(config.output.checkpoint))
    outputs.refuse_unwritable()
    read: list[Path | str] = [*inputs]
    resumed = first = None
    if resume and outputs.checkpoint.exists():
        resumed = load(outputs.checkpoint)
        if not resumed.resumable:
            raise CharnnError(f"{outputs.checkpoint} cannot be resumed; start from it with --init")
        path = {"output.checkpoint": config.output.checkpoint}
        config = resumed_config(config, resumed.config).with_values(path)
    elif not may_replace:
        outputs.refuse_existing()
    if init is not None and resumed is None:
        first = load(init)
        config = initial_config(config, first)
        read.append(init)
    texts = files_named(config.data.all_paths, config.data.order or "natural")
    outputs.refuse_inputs([*texts, *read])
    return _Start(config, resumed, first)


def _lasting_paths(data: "DataConfig") -> dict[str, tuple[str, ...]]:
    """Return the paths to keep in checkpoints, by key."""
    from charnn.text.finding import lasting

    return {key: lasting(paths) for key, paths in data.texts.items()}


def _reporter(trainer: "Trainer", quiet: bool) -> "Reporter":
    """Return the display for stderr: live on a terminal, plain lines elsewhere."""
    from charnn.commands.reporters import LiveReporter, PlainReporter, Reporter
    from charnn.writing import preview

    if quiet:
        return Reporter(trainer)
    if not sys.stderr.isatty():
        return PlainReporter(trainer)
    vocabulary, seed = trainer.corpus.vocabulary, trainer.config.training.seed or 0
    return LiveReporter(trainer, lambda: preview(trainer.averaged, vocabulary, seed=seed))
