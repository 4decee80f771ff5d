"""Worker processes: they compute their shares of a step, and the gradients are summed."""

import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import numpy as np

from charnn.errors import CharnnError
from charnn.machine import blas_threads
from charnn.network.network import Network
from charnn.network.spec import Spec
from charnn.ranks import ALONE, Ranks
from charnn.text.streams import Streams
from charnn.training.shares import Arrays, Share, StepSpec

_FAILED = 255  # the highest notice
_SPIN = 0.001  # seconds to poll for a message before sleeping, because waking up takes longer


class Workers:
    """BPTT over a batch by several processes, of which this one is the first.

    It is a context manager: the other processes live inside the `with` block.

    Attributes:
        state: (S, B, H), the state of every stream of this rank after the last step.
        gradient: (P,), dL/dθ of the last step, overwritten by the next.
    """

    def __init__(self, model: Network, spec: StepSpec, ranks: Ranks = ALONE):
        """Allocate the shared memory, and move the model's parameters into it.

        Raises:
            CharnnError: if there is not enough memory.
        """
        self._spec, self._ranks = spec, ranks
        size = Arrays(spec).size
        try:
            self._file = _unnamed_file(size)
            weakref.finalize(self, os.close, self._file)
            self._arrays = Arrays(spec, mmap.mmap(self._file, size))
        except OSError as error:
            raise CharnnError(f"no memory to share with workers: {error.strerror}") from None
        self._arrays.parameters[...] = model.parameters.flat
        model.parameters = model.parameters_in(self._arrays.parameters)
        self.state = self._arrays.state
        self.gradient = self._arrays.gradients[0]
        self._share = Share(spec, self._arrays, 0)
        self._others: list[_Process] = []

    def __enter__(self) -> Self:
        try:
            for worker in range(1, self._spec.workers):
                self._others.append(_Process(self._spec, self._file, worker))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        while self._others:
            self._others.pop().end()

    def step(
        self, streams: Streams, step: int, *, mean: bool, notice: Callable[[], int] = lambda: 0
    ) -> tuple[float, int, int]:
        """Run BPTT over a window; leave its gradient in `gradient`, the state after it in `state`.

        Args:
            streams: the training text.
            step: the number of the window, counted over all epochs.
            mean: whether to use the gradient of the mean loss, or of the sum over all characters.
            notice: called before the exchange; returns a number below 255 for the other ranks.

        Returns:
            The loss summed over all characters in nats, their number, and the highest notice.

        Raises:
            CharnnError: if a worker of any rank has died.
        """
        arrays, spec = self._arrays, self._spec
        length = streams.length(step)
        count = length * spec.batch_size
        scale = 1 / count if mean else 1.0
        for worker, job in enumerate(arrays.jobs):
            resets = streams.read(
                step,
                arrays.inputs[worker],
                arrays.targets[worker],
                arrays.resets[worker],
                spec.streams(worker),
            )
            job[:4] = step, length, scale, resets
        if spec.ranks == 1:
            return self._work(), count, notice()
        nats, noticed, failed = 0.0, 0, None
        try:
            nats, noticed = self._work(), notice()
        except CharnnError as error:
            noticed, failed = _FAILED, error
        nats, noticed = self._sum(nats, noticed)
        if noticed == _FAILED:
            with self._ranks.agreeing():
                if failed:
                    raise failed
        return nats, count, noticed

    def _work(self) -> float:
        """Let all workers compute, sum their gradients; return the sum of their losses."""
        for other in self._others:
            other.start()
        self._share.work()
        for worker, other in enumerate(self._others, 1):
            other.wait()
            self.gradient += self._arrays.gradients[worker]
        return float(sum(job[4] for job in self._arrays.jobs))

    def _sum(self, nats: float, notice: int) -> tuple[float, int]:
        """Sum the gradient over all ranks; return the sum of their losses and the highest notice.

        All this is one exchange. Every rank has its own place for its loss and its notice, and all
        other ranks have zeros there. The loss has two parts, because float32 is not exact
        enough.
        """
        summed, spec = self._arrays.summed, self._spec
        notices = summed[len(self.gradient) :].reshape(spec.ranks, 3)
        notices[...] = 0
        high = summed.dtype.type(nats)
        notices[spec.rank] = high, nats - float(high), notice
        self._ranks.sum(summed)
        return float(notices[:, :2].sum(dtype=np.float64)), int(notices[:, 2].max())

    def gather(self) -> None:
        """Fill `state` with the streams of all ranks."""
        mine = self._spec.mine
        self.state[:, : mine.start] = self.state[:, mine.stop :] = 0
        self._ranks.sum(self.state)


class _Process:
    """A worker, for use in the first process. One byte starts a job; one byte back ends it."""

    def __init__(self, spec: StepSpec, memory: int, worker: int):
        # The worker imports charnn from the same place, whatever the current folder contains.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from charnn.training.workers import serve; "
            f"serve({asdict(spec)!r}, {memory}, {worker})"
        )
        # Signals are meant for the first process, which saves the run. Workers block them.
        unblocked = signal.pthread_sigmask(
            signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        )
        try:
            with ExitStack() as failing:
                self._socket, its_socket = socket.socketpair()
                failing.enter_context(self._socket)
                with its_socket:
                    self._process = subprocess.Popen(
                        [sys.executable, "-c", code],
                        stdin=its_socket.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        pass_fds=(memory,),
                        start_new_session=True,
                    )
                failing.pop_all()
        except OSError as error:
            raise CharnnError(f"a worker cannot be started: {error.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

    def start(self) -> None:
        """Start the worker's job."""
        with suppress(ConnectionError):  # `wait` reports it
            self._socket.send(b"!")

    def wait(self) -> None:
        """Wait until the job is done.

        Raises:
            CharnnError: if the worker has died.
        """
        if not _receive(self._socket.fileno()):
            raise CharnnError(
                f"a worker process ended (status {self._process.wait()}), perhaps for lack "
                "of memory; the last checkpoint is intact: continue with --resume, or also with "
                "--threads 1"
            )

    def end(self) -> None:
        """Kill the worker."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def serve(fields: dict[str, Any], memory: int, worker: int) -> None:
    """Run a worker process: do a job for every byte received, until the pipe is closed.

    Args:
        fields: of the `StepSpec`, as plain values.
        memory: the descriptor of the shared memory.
        worker: the number of this worker, from 1.
    """
    its = StepSpec(**{**fields, "network": Spec(**fields["network"])})
    arrays = Arrays(its, mmap.mmap(memory, Arrays(its).size))
    share = Share(its, arrays, worker)
    pipe = sys.stdin.fileno()
    # Overflows need no warnings: the trainer checks the sum.
    with blas_threads(its.threads), np.errstate(all="ignore"), suppress(ConnectionError):
        while _receive(pipe):
            share.work()
            os.write(pipe, b".")


def _receive(pipe: int) -> bytes:
    """Return the next byte of a pipe, or no byte at its end."""
    look = select.poll()
    look.register(pipe, select.POLLIN)
    until = time.perf_counter() + _SPIN
    while not look.poll(0) and time.perf_counter() < until:
        pass
    try:
        return os.read(pipe, 1)
    except ConnectionError:
        return b""


def _unnamed_file(size: int) -> int:
    """Return the descriptor of a file in memory, or on disk if the system has no such files."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("charnn")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file
