"""The lines that `train` prints before and after a run, and for a dry run."""

import shlex
from typing import TYPE_CHECKING

from charnn.commands.figures import duration
from charnn.showing import show_loss

if TYPE_CHECKING:
    from charnn.text.corpus import Corpus
    from charnn.training.events import Reason
    from charnn.training.trainer import Trainer

# Characters times parameters. Above this, a validation takes ten seconds or more.
_LONG_VALIDATION = 2e11

_LITTLE = 50_000  # characters

_ENDINGS: "dict[Reason, str]" = {
    "finished": "done:",
    "patience": "stopped: no better validation loss for training.patience validations:",
    "stop-after": "stopped by --stop-after:",
    "time-limit": "stopped by the time limit:",
    "interrupted": "interrupted:",
}


def headline(trainer: "Trainer") -> list[str]:
    """Return a few short lines about the run that is about to start."""
    config, streams = trainer.config, trainer.streams
    steps = f"{trainer.total_steps:,} {'step' if trainer.total_steps == 1 else 'steps'}"
    corpus = trainer.corpus
    D = len(corpus.documents) if corpus.documents else 0
    boundaries = D + 1 if D else 0
    lines = [
        f"text: {len(corpus.ids) - boundaries:,} characters, "
        f"{len(corpus.vocabulary) - bool(D):,} different",
        *_documents(corpus),
        f"model: {trainer.model.spec.stack}, {trainer.model.parameters.flat.size:,} parameters",
        f"plan: {steps} of {streams.batch_size} × {streams.seq_length} "
        f"characters, {trainer.total_steps / streams.steps_per_epoch:.2f} epochs; "
        f"seed {config.training.seed}",
        *_choices(trainer),
    ]
    characters = len(trainer.corpus.split("val"))
    if characters * trainer.model.parameters.flat.size > _LONG_VALIDATION:
        from charnn.training.costs import seconds_per_validation

        lines.append(
            f"validation: {characters:,} characters every {config.training.eval_every:,} steps, "
            f"about {duration(seconds_per_validation(trainer))} each"
        )
    if trainer.ranks.size > 1:
        lines.append(f"ranks: {trainer.ranks.size}, {trainer.ranks.on_node} on this machine")
    return lines


def _choices(trainer: "Trainer") -> list[str]:
    """Return the values that the run chose for other keys, a line for each reason."""
    from charnn.training.preparation import training_characters

    if not trainer.choices:
        return []
    groups: dict[str, list[str]] = {}
    for key, value, reason in trainer.choices:
        groups.setdefault(reason, []).append(f"{key.partition('.')[2]} {value:,}")
    lines = ["chosen for this text:"]
    lines += [f"  {', '.join(values)}: {reason}" for reason, values in groups.items()]
    characters = training_characters(trainer.corpus)
    if characters < _LITTLE and trainer.choices[0].key == "model.hidden_size":
        lines.append(
            f"note: {characters:,} characters are a short text, so expect copied phrases "
            "and odd words; more text helps most, or start from a model of a larger text of the "
            "kind: --init MODEL.npz --extend"
        )
    return lines


def _documents(corpus: "Corpus") -> list[str]:
    """Return a line about the documents of a text, or nothing if it is not divided."""
    if corpus.documents is None:
        return []
    D, different = len(corpus.documents), corpus.documents.different
    splits = {"validation": int((corpus.sides == 1).sum()), "test": int((corpus.sides == 2).sum())}
    parts = [f"{count:,} for {name}" for name, count in splits.items() if count]
    parts += [f"{D - different:,} repeated"] if different < D else []
    parts += [f"{corpus.empty:,} empty ones left out"] if corpus.empty else []
    return ["; ".join([f"documents: {D:,}", *parts])]


def results(trainer: "Trainer") -> list[str]:
    """Return the results of the run, and its files."""
    progress, outputs = trainer.progress, trainer.outputs
    lines = [f"{outputs.checkpoint}: step {progress.step:,} of {trainer.total_steps:,}"]
    if progress.best_val_loss is not None and outputs.best.exists():
        loss = show_loss(progress.best_val_loss)
        lines.append(f"{outputs.best}: validation {loss}, step {progress.best_step:,}")
    return lines


def already_finished(trainer: "Trainer") -> list[str]:
    """Return the lines for a resumed run that is already finished."""
    more = "; a higher --max-steps continues it" if trainer.finished == "finished" else ""
    return [f"this run is finished{more}:", *results(trainer)]


def closing(trainer: "Trainer", ending: "Reason") -> list[str]:
    """Return why the run ended, its results, and the commands that resume it and sample."""
    lines = [_ENDINGS[ending], *results(trainer)]
    if trainer.finished is None:
        again = f"charnn train --resume --out {shlex.quote(str(trainer.outputs.checkpoint))}"
        again += "".join(
            " --data - < TEXT" if key == "data.path" else f" --set {key}=TEXT"
            for key, paths in trainer.config.data.texts.items()
            if "-" in paths
        )
        lines.append(f"continue with: {again}")
    best, last = trainer.outputs.best, trainer.outputs.checkpoint
    ckpt = best if best.exists() else last
    if ckpt.exists():
        lines.append(f"sample with: charnn sample --ckpt {shlex.quote(str(ckpt))}")
    return lines


def dry_run_costs(trainer: "Trainer") -> list[str]:
    """Return the config of a run as YAML, with its costs in comments.

    Every rank must call this, because it measures a few steps. The trainer cannot be used
    afterwards.
    """
    from charnn.config.writing import commented_yaml
    from charnn.training.costs import seconds_per_validation, validations_left
    from charnn.training.preparation import needed_memory, step_spec

    streams, steps = trainer.streams, trainer.total_steps - trainer.progress.step
    validations, each = validations_left(trainer), seconds_per_validation(trainer)
    last = seconds_per_validation(trainer, exact=True) if validations else 0.0
    validating = each * max(0, validations - 1) + last
    spec = step_spec(trainer.config, len(trainer.corpus.vocabulary), streams, trainer.ranks)
    flop = spec.network.step_flop(streams.seq_length, streams.batch_size)
    seconds = trainer.seconds_per_step()
    limit = {"training.time_limit": trainer.time_limit}
    return [
        commented_yaml(trainer.config.with_values(limit)),
        *(f"# {line}" for line in _choices(trainer)),
        *(f"# {line.replace(':', '         ', 1)}" for line in _documents(trainer.corpus)),
        f"# parameters        {trainer.model.parameters.flat.size:,}",
        f"# memory            {needed_memory(spec) / 1e6:,.0f} MB for buffers and parameters",
        f"# steps             {steps:,} ({streams.steps_per_epoch:,} an epoch)",
        f"# characters a step {streams.batch_size} × {streams.seq_length}",
        f"# FLOP a step       {flop:.3g}",
        f"# validations       {validations:,}, about {duration(each)} each, "
        f"about {duration(validating)} in all",
        f"# time              about {duration(seconds * steps + validating)}",
    ]
