"""Workers compute the same numbers as one process, and leave nothing behind."""

import gc
import os
import resource
import subprocess
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charnn import machine
from charnn.errors import CharnnError
from charnn.network.network import Network
from charnn.text.corpus import Corpus
from charnn.text.streams import Streams
from charnn.training import workers
from charnn.training.shares import StepSpec
from charnn.training.trainer import Trainer
from charnn.training.workers import Workers
from tests.helpers.processes import children, resident
from tests.helpers.ranks import OneRank
from tests.helpers.runs import STEP, make_config, make_corpus
from tests.helpers.texts import english

# --- the same numbers ----------------------------------------------------------------------------

# A stream has 16 characters: windows of 6, 6 and 4, then a new epoch.
STREAMS = Streams(np.random.default_rng(1).integers(0, 11, 17 * 16 + 1).astype(np.uint8), 17, 6)


def steps(spec: StepSpec, count: int = 7) -> tuple[list[float], NDArray[Any], NDArray[Any]]:
    """Train a few steps; return the losses, states and gradients of all steps."""
    model = Network.from_config(spec.network, spec.network.vocab_size, spec.network.dtype)
    model.initialize("uniform", seed=2)
    losses, states, gradients = [], [], []
    with Workers(model, spec) as workers:
        for step in range(count):
            losses.append(workers.step(STREAMS, step, mean=True)[0])
            states.append(workers.state.copy())
            gradients.append(workers.gradient.copy())
            model.parameters.flat[...] -= 0.5 * workers.gradient
    return losses, np.stack(states), np.stack(gradients)


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_finds_the_same_and_again_the_same_bits(workers: int) -> None:
    alone, shared = steps(STEP), steps(replace(STEP, workers=workers))
    for one, other in zip(alone, shared, strict=True):
        one, other = np.array(one), np.array(other)
        assert np.abs(one - other).max() <= 1e-12 * np.abs(one).max()
    for first, second in zip(shared, steps(replace(STEP, workers=workers)), strict=True):
        np.testing.assert_array_equal(first, second)


# --- beginnings and ends of workers --------------------------------------------------------------


@contextmanager
def nothing_left_open() -> Iterator[None]:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir())), children(os.getpid())
    yield
    gc.collect()
    assert (len(list(Path("/proc/self/fd").iterdir())), children(os.getpid())) == before


def test_what_workers_open_is_closed_again() -> None:
    with nothing_left_open():
        steps(replace(STEP, workers=3), 1)


def test_a_worker_that_cannot_be_started_takes_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, started = subprocess.Popen, 0

    def second_fails(*arguments: Any, **options: Any) -> Any:
        nonlocal started
        started += 1
        if started == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", second_fails)
    with (
        nothing_left_open(),
        pytest.raises(CharnnError, match="a worker cannot be started: Resource temporarily"),
    ):
        steps(replace(STEP, workers=3))


def test_what_goes_wrong_in_a_worker_is_told_by_the_first_process_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Path("/dev/null").open() as no_memory, nothing_left_open():
        worker = workers._Process(STEP, no_memory.fileno(), 0)
        worker.start()
        with pytest.raises(CharnnError, match=r"a worker process ended \(status 1\)"):
            worker.wait()
        worker.end()
        del worker
    assert capfd.readouterr() == ("", "")


def test_more_than_a_thousand_open_files_are_no_hindrance() -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    many = [os.dup(0) for _ in range(1030)]
    try:
        steps(replace(STEP, workers=2), 1)
    finally:
        for file in many:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_allocates_nothing_of_the_size_of_a_window(tmp_path: Path, threads: int) -> None:
    B, T, H = 32, 64, 128
    config = make_config(
        tmp_path,
        model__hidden_size=H,
        training__batch_size=B,
        training__seq_length=T,
        training__threads=threads,
    )
    trainer = Trainer(config, make_corpus(config, english(20_000)))
    with trainer._workers, machine.blas_threads(1):
        trainer._step()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(12):
                trainer._step()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak - before < B * T * H * 4 / 4
    assert after - before < 20_000


@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_run_takes_no_more_memory_than_a_short_one(tmp_path: Path, threads: int) -> None:
    config = make_config(
        tmp_path,
        model__hidden_size=128,
        model__num_layers=1,
        training__batch_size=16,
        training__seq_length=8,
        training__threads=threads,
    )
    trainer = Trainer(config, make_corpus(config, english(20_000)))
    earlier = children(os.getpid())  # children of other tests
    with trainer._workers, machine.blas_threads(1):
        for _ in range(50):
            trainer._step()
        processes = [os.getpid(), *(set(children(os.getpid())) - set(earlier))]
        assert len(processes) == threads
        before = [resident(process) for process in processes]
        for _ in range(300):
            trainer._step()
        grown = [resident(process) - size for process, size in zip(processes, before, strict=True)]
    assert max(grown) < 4_000_000  # a window for each step would be 20 MB


# --- the exchange between ranks ------------------------------------------------------------------


def test_a_loss_in_float64_survives_the_exchange_in_float32(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__dtype="float32")
    trainer = Trainer(config, Corpus.from_text(english(3000)), ranks=OneRank(1, 2))
    nats, notice = trainer._workers._sum(34_567 / 3, 7)
    assert nats == pytest.approx(34_567 / 3, rel=1e-13)
    assert notice == 7
