"""The work in charnn, by its public functions. charnn chooses its number of threads itself."""

import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import charnn
from benchmarks.measuring import Run
from benchmarks.workload import CLIP_NORM, LEARNING_RATE, WINDOWS, Case, character_ids, text
from charnn.ranks import ALONE, Ranks
from charnn.sampling import Sampling, Writer
from charnn.training.events import Evaluating, Event, Measured, Stepped

NEVER = 10**9


def _trainer(
    checkpoint: str,
    case: Case,
    characters: int,
    data: dict[str, Any],
    training: dict[str, Any],
    ranks: Ranks = ALONE,
) -> charnn.Trainer:
    """Return a trainer for a generated text. It writes its files at `checkpoint`."""
    config = charnn.Config.model_validate(
        {
            "data": data,
            "model": {
                "hidden_size": case.H,
                "num_layers": case.layers,
                "cell": case.cell,
                "dropout": 0,
            },
            "training": {
                "batch_size": case.B,
                "seq_length": case.T,
                "optimizer": "adam",
                "learning_rate": LEARNING_RATE,
                "schedule": "constant",
                "clip_norm": CLIP_NORM,
                "warmup_steps": 0,
                "weight_decay": 0,
                "ema_decay": 0,
                "max_steps": NEVER,
                "seed": 1,
                **training,
            },
            "output": {"checkpoint": checkpoint},
        }
    )
    val_fraction = config.data.val_fraction
    corpus = charnn.Corpus.from_text(text(characters), val_fraction=val_fraction)
    return charnn.Trainer(config, corpus, ranks=ranks)


def _steps(events: Iterator[Event]) -> Iterator[Stepped]:
    return (event for event in events if isinstance(event, Stepped))


def training(
    checkpoint: str,
    case: Case,
    loop: str = "fast",
    threads: int | None = None,
    ranks: Ranks = ALONE,
) -> Run:
    """Train as `charnn train` does, after saving the initial parameters at `checkpoint`."""
    rarely = {"eval_every": NEVER, "save_every": NEVER, "log_every": NEVER}
    trainer = _trainer(
        checkpoint,
        case,
        WINDOWS * case.B * case.T + 1,
        {"val_fraction": 0},
        {"loop": loop, "threads": threads, **rarely},
        ranks,
    )
    steps = _steps(trainer.run())

    def run(n: int) -> float:
        *_, last = islice(steps, n)
        return last.loss

    return run


def validation(checkpoint: str, case: Case, characters: int) -> Run:
    """Train, and validate after every tenth step; each unit is one validation.

    A unit returns the median seconds of its steps, the seconds of the whole validation, and its
    number of predictions.
    """
    every = {"eval_every": 10, "log_every": 10, "save_every": NEVER}
    events = _trainer(checkpoint, case, characters, {"val_fraction": 0.1}, every).run()

    def run(n: int) -> tuple[float, float, int]:
        assert n == 1
        steps: list[float] = []
        predictions, began = 0, time.perf_counter()
        while True:
            event = next(events)
            now = time.perf_counter()
            if isinstance(event, Stepped):
                steps.append(now - began)
                began = now
            elif isinstance(event, Evaluating):
                predictions = event.done
            elif isinstance(event, Measured):
                return statistics.median(steps), now - began, predictions

    return run


def resident(checkpoint: str, case: Case, characters: int) -> Run:
    """Train with logs, validations and checkpoints as usual; return the resident bytes."""
    steps = _steps(_trainer(checkpoint, case, characters, {}, {}).run())

    def run(n: int) -> int:
        for _ in islice(steps, n):
            pass
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    return run


def sampling(checkpoint: str, streams: int) -> Run:
    """Sample with the loop of `charnn sample`; each unit draws a character for each text."""
    writer = Writer(charnn.load(checkpoint).model)
    writer.read(np.zeros(1, np.intp))
    turns = writer.fork(streams).draw(Sampling(), seed=1)

    def run(n: int) -> None:
        for _ in islice(turns, n):
            pass

    return run


def evaluation(checkpoint: str) -> Run:
    """Evaluate a text of n + 1 characters exactly, as `charnn eval` does."""
    model, ids = charnn.load(checkpoint).model, character_ids(2_000_000).astype(np.uint8)

    def run(n: int) -> float:
        return charnn.evaluate(model, ids[: n + 1]).nats_per_char

    return run
