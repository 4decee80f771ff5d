"""How long the validations of a run take, measured before it begins."""

import time

from charnn.training.preparation import available_cores
from charnn.training.stopping import INTERRUPTED
from charnn.training.trainer import Trainer
from charnn.training.validation import validating


def validations_left(trainer: Trainer) -> int:
    """Return the number of validations that remain in a run."""
    every = trainer.config.training.eval_every
    assert every is not None
    if not len(trainer.corpus.split("val")) or trainer.progress.step >= trainer.total_steps:
        return 0
    return -(-trainer.total_steps // every) - trainer.progress.step // every


def seconds_per_validation(trainer: Trainer, *, exact: bool = False) -> float:
    """Estimate the time of a validation from a second of it, in seconds.

    The time is 0 without a validation text, or if this rank has no share of it. Every rank must
    call this.

    Args:
        trainer: of the run.
        exact: the run's last validation, which reads the text in one piece and so more slowly.
    """
    ids = trainer.corpus.split("val")
    if not len(ids):
        return 0.0
    began = time.perf_counter()
    seen: list[tuple[float, int]] = []  # times and predictions; the first has the warm-up in it
    for event in validating(
        trainer.averaged,
        ids,
        boundary=trainer.corpus.vocabulary.boundary,
        exact=exact,
        ranks=trainer.ranks,
        cores=available_cores(trainer.config.training, trainer.ranks),
        notice=lambda: INTERRUPTED if seen and time.perf_counter() - seen[0][0] > 1 else 0,
    ):
        seen.append((time.perf_counter(), event.done))
    if not seen:
        return 0.0
    (first, before), (last, done) = seen[0], seen[-1]
    if done in (event.total, before):  # all of it, or only one part, with its warm-up
        return (last - began) * event.total / done
    return (first - began) + (last - first) * (event.total - before) / (done - before)
