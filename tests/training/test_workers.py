"""A batch shared out among processes: the same numbers, and nothing left behind by any ending."""

import gc
import os
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from charnn import machine
from charnn.checkpoint.checkpoint import load
from charnn.errors import CharnnError
from charnn.network.bptt import BPTT
from charnn.network.dropout import Dropout
from charnn.network.network import RNN
from charnn.network.products import times
from charnn.text.streams import Streams
from charnn.training import workers
from charnn.training.shares import Plan, worker_count
from charnn.training.trainer import Trainer
from charnn.training.workers import Workers
from tests.helpers.commands import CHARNN
from tests.helpers.processes import alive, children, resident
from tests.helpers.reference import loop
from tests.helpers.texts import english
from tests.training.test_trainer import log_lines, make_config, make_corpus

# --- the blocked product -------------------------------------------------------------------------


@pytest.mark.parametrize("B", [1, 2, 16, 25, 32, 64])
@pytest.mark.parametrize("H", [5, 96, 100, 128, 200, 256, 384])
def test_times_is_the_product(H: int, B: int) -> None:
    rng = np.random.default_rng(H)
    A = rng.normal(size=(H, H))
    first, second = rng.normal(size=(2, H) if B == 1 else (2, B, H))
    for matrix in (A, A.T):
        product = times(matrix, B)
        for x in (first, second):
            out = np.empty_like(x)
            product(x, out)
            np.testing.assert_allclose(out, x @ matrix, rtol=0, atol=1e-12 * H)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize(("H", "B"), [(96, 3), (256, 17), (640, 3)])
def test_a_model_large_enough_for_blocks_equals_the_textbook_loop(
    H: int, B: int, dropout: bool
) -> None:
    L, T, K = 2, 4, 9
    rng = np.random.default_rng(H)
    model = RNN(K, H, L, "tanh", np.float64)
    model.parameters.flat[...] = rng.normal(0, H**-0.5, model.num_parameters)
    inputs, targets = rng.integers(0, K, (2, T, B))
    state = rng.normal(0, 0.3, (L, B, H))
    masks = Dropout(0.3, (L, B, H), np.float64, seed=1)(2) if dropout else None
    expected = loop(model.parameters, "tanh", inputs, targets, state, masks)
    bptt = BPTT(model, T, B, dropout=dropout)
    assert bptt(inputs, targets, state, masks=masks) == pytest.approx(expected.loss, abs=1e-10)
    np.testing.assert_allclose(state, expected.state, atol=1e-10, rtol=0)
    for name, gradient in expected.gradients.items():
        np.testing.assert_allclose(bptt.gradients[name], gradient, atol=1e-10, rtol=0, err_msg=name)


# --- how a step is shared out --------------------------------------------------------------------

SIZES = st.integers(1, 5000)


@given(SIZES, SIZES, st.integers(1, 300))
def test_more_threads_never_mean_fewer_workers_nor_small_shares(B: int, H: int, n: int) -> None:
    workers = worker_count(B, H, n)
    assert 1 <= workers <= n
    assert workers <= worker_count(B, H, n + 1)
    plan = replace(PLAN, batch_size=B, workers=workers)
    shares = [plan.streams(worker) for worker in range(workers)]
    assert [number for share in shares for number in range(B)[share]] == list(range(B))
    assert workers == 1 or min(share.stop - share.start for share in shares) >= 4


@pytest.mark.parametrize(("B", "H", "workers"), [(8, 128, 2), (7, 512, 1), (8, 127, 1)])
def test_small_batches_and_small_models_stay_in_one_process(B: int, H: int, workers: int) -> None:
    assert worker_count(B, H, 64) == workers


# --- the same numbers ----------------------------------------------------------------------------

PLAN = Plan(
    vocab_size=11,
    hidden_size=24,
    num_layers=2,
    activation="tanh",
    dtype="float64",
    seq_length=6,
    batch_size=17,
    dropout=0.25,
    seed=5,
    loop="fast",
    threads=1,
    workers=1,
)
# 16 characters a stream: windows of 6, 6 and 4, then a new epoch.
STREAMS = Streams(np.random.default_rng(1).integers(0, 11, 17 * 16 + 1).astype(np.uint8), 17, 6)


def steps(plan: Plan, count: int = 7) -> tuple[list[float], NDArray[Any], NDArray[Any]]:
    """Descend a few steps; return the losses, and the states and gradients after each."""
    model = RNN(plan.vocab_size, plan.hidden_size, plan.num_layers, dtype=plan.dtype)
    model.initialize("uniform", seed=2)
    losses, states, gradients = [], [], []
    with Workers(model, plan) as workers:
        for step in range(count):
            losses.append(workers.step(STREAMS, step, mean=True)[0])
            states.append(workers.state.copy())
            gradients.append(workers.gradient.copy())
            model.parameters.flat[...] -= 0.5 * workers.gradient
    return losses, np.stack(states), np.stack(gradients)


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_finds_the_same_and_again_the_same_bits(workers: int) -> None:
    alone, shared = steps(PLAN), steps(replace(PLAN, workers=workers))
    for one, other in zip(alone, shared, strict=True):
        one, other = np.array(one), np.array(other)
        assert np.abs(one - other).max() <= 1e-12 * np.abs(one).max()
    for first, second in zip(shared, steps(replace(PLAN, workers=workers)), strict=True):
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
        steps(replace(PLAN, workers=3), 1)


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
        steps(replace(PLAN, workers=3))


@pytest.mark.parametrize(
    ("program", "reason"),
    [("/no/python", "a worker cannot be started: No such file"), ("/bin/false", "(status 1)")],
)
def test_without_a_python_to_start_there_is_one_clear_line(
    folder: Path, program: str, reason: str
) -> None:
    code = f"import sys; sys.executable = {program!r}; from charnn.commands.app import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, *TRAIN, "--quiet"], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("charnn: error: a worker ")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_goes_wrong_in_a_worker_is_told_by_the_first_process_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Path("/dev/null").open() as no_memory, nothing_left_open():
        worker = workers._Process(PLAN, no_memory.fileno(), 0)
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
        steps(replace(PLAN, workers=2), 1)
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
    earlier = children(os.getpid())  # of other tests
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


# --- real commands -------------------------------------------------------------------------------

TRAIN = ["train", "--data", "text.txt", "--out", "run.npz", "--max-steps", "30", "--seed", "1"]
for setting in (
    "model.hidden_size=128",
    "model.dropout=0.1",
    "training.batch_size=32",
    "training.seq_length=16",
    "training.threads=3",
    "training.eval_every=10",
    "training.save_every=5",
):
    TRAIN += ["--set", setting]
ENDLESS = [*TRAIN, "--max-steps", "1000000"]
RESUME = [*CHARNN, "train", "--resume", "--out", "run.npz", "--quiet"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(english(20_000))
    return tmp_path


@contextmanager
def running(folder: Path, until: str = "step 20/") -> Iterator[tuple[Any, list[int]]]:
    """Run without end in a group of its own; yield the process and its workers."""
    with subprocess.Popen(
        [*CHARNN, *ENDLESS], cwd=folder, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stderr
        assert any(until in line for line in process.stderr)
        while len(workers := children(process.pid)) < 2:
            time.sleep(0.001)
        yield process, workers
    wait_until_gone(workers)
    assert load(folder / "run.npz").progress.step >= 0
    subprocess.run([*RESUME, "--stop-after", "1"], cwd=folder, check=True)


def wait_until_gone(processes: list[int]) -> None:
    until = time.monotonic() + 2
    while any(map(alive, processes)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_stopped_and_resumed_ends_with_the_same_bytes(folder: Path) -> None:
    def outputs() -> tuple[Any, ...]:
        files = [(folder / name).read_bytes() for name in ("run.npz", "run.best.npz")]
        return *files, log_lines(folder / "run.jsonl")

    subprocess.run([*CHARNN, *TRAIN, "--quiet"], cwd=folder, check=True)
    expected = outputs()
    again = [*CHARNN, *TRAIN, "--quiet", "--overwrite", "--stop-after", "13"]
    subprocess.run(again, cwd=folder, check=True)
    assert outputs() != expected
    subprocess.run(RESUME, cwd=folder, check=True)
    assert outputs() == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_the_whole_group_ends_it_with_a_save(folder: Path, number: int) -> None:
    with running(folder) as (process, workers):
        for worker in workers:  # as a service manager does
            os.kill(worker, number)
        os.killpg(process.pid, number)
        said = process.stderr.read()
        assert process.wait() == 128 + number
        assert "interrupted:" in said
        assert "error" not in said
        assert load(folder / "run.npz").progress.step >= 20


def test_workers_that_only_begin_hear_no_signal_either(folder: Path) -> None:
    with running(folder, until="plan: ") as (process, workers):
        for worker in workers:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(worker, number)
        assert any("step 10/" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM


def test_two_interrupts_end_it_at_once_and_the_workers_too(folder: Path) -> None:
    with running(folder) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 128 + signal.SIGINT


def test_workers_end_with_the_first_process(folder: Path) -> None:
    with running(folder) as (process, _):
        process.kill()


def test_a_killed_worker_is_one_clear_line_and_the_checkpoint_is_whole(folder: Path) -> None:
    with running(folder) as (process, workers):
        os.kill(workers[-1], signal.SIGKILL)
        said = process.stderr.read()
        assert process.wait() == 1
        assert said.splitlines()[-1].startswith(
            "charnn: error: a worker process ended (status -9), killed for want of memory perhaps; "
        )
        assert said.count("charnn: error") == 1
        assert "Traceback" not in said
    assert not list(folder.glob(".*.tmp"))
