"""One batch shared out among processes: each works on its own streams, the gradients are summed.

Each rank of a job has its share of the streams, and its workers have shares of that.

The streams of a batch are independent up to the sum of their gradients. So a step costs one
message to each worker and one back, and the arrays that matter lie in memory that all of them
see: the parameters, and for each worker its characters, its hidden state and its gradient.
Processes, not threads: a step of a small model is a thousand calls of a few microseconds each,
for which threads would wait on each other's Python.
"""

import math
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from charnn.corpus import Streams
from charnn.errors import CharnnError
from charnn.model import BPTT, RNN, Activation, Dropout, parameter_shapes
from charnn.mpi import ALONE, Ranks
from charnn.textbook import TextbookBPTT

_FAILED = 255  # the highest notice
_SPIN = 0.001  # seconds to look for a message before sleeping: waking up takes longer than a look


@dataclass(frozen=True)
class Plan:
    """What a process needs to know of a run to do its share of a step."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    activation: Activation
    dtype: str
    seq_length: int
    batch_size: int
    dropout: float
    seed: int
    loop: Literal["fast", "textbook"]
    threads: int | None
    workers: int
    rank: int = 0
    ranks: int = 1

    @property
    def mine(self) -> slice:
        """Which of the B streams this rank owns."""
        B, n = self.batch_size, self.ranks
        return slice(B * self.rank // n, B * (self.rank + 1) // n)

    def streams(self, worker: int) -> slice:
        """Return which of the B streams a worker owns."""
        start, n = self.mine.start, self.workers
        B = self.mine.stop - start
        return slice(start + B * worker // n, start + B * (worker + 1) // n)


def worker_count(batch_size: int, hidden_size: int, threads: int) -> int:
    """Return into how many processes a step is divided: a function of sizes alone.

    A share needs four streams, and enough arithmetic for a time step to be worth its calls.
    """
    by_work = batch_size * hidden_size**2 // 2**16
    return max(1, min(threads, batch_size // 4, by_work)) if os.name == "posix" else 1


class Arrays:
    """The arrays of a run in one block of memory, in the same places for every process."""

    def __init__(self, plan: Plan, memory: mmap.mmap | None = None):
        """Lay the arrays out in a memory, or only find how long it must be."""
        self._memory = memory
        self.size = 0
        L, H, T = plan.num_layers, plan.hidden_size, plan.seq_length
        dtype, workers = np.dtype(plan.dtype), range(plan.workers)
        widths = [s.stop - s.start for s in map(plan.streams, workers)]
        parameters = sum(map(math.prod, parameter_shapes(plan.vocab_size, H, L).values()))
        self.parameters = self._array((parameters,), dtype)
        self.state = self._array((L, plan.batch_size, H), dtype)
        # Of the first: what ranks sum, its gradient and what each of them has to say of the step.
        self.summed = self._array((parameters + (3 * plan.ranks if plan.ranks > 1 else 0),), dtype)
        self.gradients = [self.summed[:parameters]]
        self.gradients += [self._array((parameters,), dtype) for _ in workers[1:]]
        self.inputs = [self._array((T, width), np.intp) for width in widths]
        self.targets = [self._array((T, width), np.intp) for width in widths]
        self.jobs = [self._array((4,), np.float64) for _ in workers]  # step, length, scale; loss

    def _array(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        start = self.size
        count = math.prod(shape)
        # Every array has cache lines of its own, so that processes never write to the same one.
        self.size += -(-count * np.dtype(dtype).itemsize // 64) * 64
        if self._memory is None:
            return np.empty(0, dtype)
        return np.frombuffer(self._memory, dtype, count, start).reshape(shape)


class Share:
    """The part of a batch that one process works on."""

    def __init__(self, plan: Plan, arrays: Arrays, worker: int):
        mine = plan.streams(worker)
        model = RNN(plan.vocab_size, plan.hidden_size, plan.num_layers, plan.activation, plan.dtype)
        model.parameters = model.parameters_in(arrays.parameters)
        self.inputs, self.targets = arrays.inputs[worker], arrays.targets[worker]
        self.state = arrays.state[:, mine]
        self.job = arrays.jobs[worker]
        T, B = self.inputs.shape
        gradient = arrays.gradients[worker]
        self.bptt = (
            TextbookBPTT(model, gradient)
            if plan.loop == "textbook"
            else BPTT(model, T, B, dropout=plan.dropout > 0, gradient=gradient)
        )
        self.dropout = None
        if plan.dropout:
            shape = (plan.num_layers, B, plan.hidden_size)
            self.dropout = Dropout(
                plan.dropout, shape, plan.dtype, seed=plan.seed, first_stream=mine.start
            )

    def work(self) -> None:
        """Do the job: read it, leave the gradient, the new state and the summed loss."""
        step, length, scale = int(self.job[0]), int(self.job[1]), float(self.job[2])
        self.job[3] = self.bptt(
            self.inputs[:length],
            self.targets[:length],
            self.state,
            masks=None if self.dropout is None else self.dropout(step),
            scale=scale,
        )


class Workers:
    """BPTT over a batch by as many processes as the plan says; this one is the first of them.

    Used as a context: the others live from its beginning to its end.

    Attributes:
        state: (L, B, H), h of every stream of this rank after the last step.
        gradient: (P,), dL/dθ of the last step, overwritten by the next.
    """

    def __init__(self, model: RNN, plan: Plan, ranks: Ranks = ALONE):
        """Allocate the memory, and move the model's parameters there.

        Raises:
            CharnnError: if the memory cannot be had.
        """
        self._plan, self._ranks = plan, ranks
        size = Arrays(plan).size
        try:
            self._file = _unnamed_file(size)
            weakref.finalize(self, os.close, self._file)
            self._arrays = Arrays(plan, mmap.mmap(self._file, size))
        except OSError as error:
            raise CharnnError(f"no memory to share with workers: {error.strerror}") from None
        self._arrays.parameters[...] = model.parameters.flat
        model.parameters = model.parameters_in(self._arrays.parameters)
        self.state = self._arrays.state
        self.gradient = self._arrays.gradients[0]
        self._share = Share(plan, self._arrays, 0)
        self._others: list[_Process] = []

    def __enter__(self) -> Self:
        try:
            for worker in range(1, self._plan.workers):
                self._others.append(_Process(self._plan, self._file, worker))
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
        """Run BPTT over a window; leave its gradient in `gradient` and h after it in `state`.

        Args:
            streams: the training text.
            step: the number of the window, over all epochs; a new epoch starts from zero states.
            mean: whether the gradient is of the mean loss, or of the sum over all characters.
            notice: a number below 255 that this rank has for the others, asked before the exchange.

        Returns:
            The summed loss in nats, the number of characters it is over, and the highest notice.

        Raises:
            CharnnError: if a worker of any rank has died.
        """
        arrays, plan = self._arrays, self._plan
        length = streams.length(step)
        if streams.starts_epoch(step):
            self.state[...] = 0
        count = length * plan.batch_size
        for worker in range(plan.workers):
            streams.read(step, arrays.inputs[worker], arrays.targets[worker], plan.streams(worker))
            arrays.jobs[worker][:3] = step, length, 1 / count if mean else 1.0
        if plan.ranks == 1:
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
        """Sum the gradients of the workers; return the sum of their losses."""
        for other in self._others:
            other.start()
        self._share.work()
        for worker, other in enumerate(self._others, 1):
            other.wait()
            self.gradient += self._arrays.gradients[worker]
        return float(sum(job[3] for job in self._arrays.jobs))

    def _sum(self, nats: float, notice: int) -> tuple[float, int]:
        """Sum the gradient over all ranks; return the sum of their losses, the highest notice.

        It is one exchange. Every rank has a place of its own for its loss, in two parts which
        together are exact enough, and its notice: what is added there is zero.
        """
        summed, plan = self._arrays.summed, self._plan
        notices = summed[len(self.gradient) :].reshape(plan.ranks, 3)
        notices[...] = 0
        high = summed.dtype.type(nats)
        notices[plan.rank] = high, nats - float(high), notice
        self._ranks.sum(summed)
        return float(notices[:, :2].sum(dtype=np.float64)), int(notices[:, 2].max())

    def gather(self) -> None:
        """Fill `state` with the streams of all ranks."""
        mine = self._plan.mine
        self.state[:, : mine.start] = self.state[:, mine.stop :] = 0
        self._ranks.sum(self.state)


class _Process:
    """A worker as the first process sees it: one byte to start a job, one back when it is done."""

    def __init__(self, plan: Plan, memory: int, worker: int):
        # Found where this one found it, whatever lies in the current folder.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from charnn.parallel import serve; serve({asdict(plan)!r}, {memory}, {worker})"
        )
        # Who ends a run means the first process, which saves: no worker ever hears of it.
        heard = signal.pthread_sigmask(
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
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)

    def start(self) -> None:
        """Tell the worker to do its job."""
        with suppress(ConnectionError):  # `wait` will tell
            self._socket.send(b"!")

    def wait(self) -> None:
        """Wait until the job is done.

        Raises:
            CharnnError: if the worker has died.
        """
        if not _receive(self._socket.fileno()):
            raise CharnnError(
                f"a worker process ended (status {self._process.wait()}), killed for want of "
                "memory perhaps; the last checkpoint is whole: go on by --resume, or with "
                "--threads 1"
            )

    def end(self) -> None:
        """End the worker, whatever it is doing."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def serve(plan: dict[str, Any], memory: int, worker: int) -> None:
    """Be a worker: do a job for every byte that comes, until no more can come."""
    its = Plan(**plan)
    arrays = Arrays(its, mmap.mmap(memory, Arrays(its).size))
    share = Share(its, arrays, worker)
    pipe = sys.stdin.fileno()
    # What is not finite is looked for once, in the sum.
    with blas_threads(its.threads), np.errstate(all="ignore"), suppress(ConnectionError):
        while _receive(pipe):
            share.work()
            os.write(pipe, b".")


def _receive(pipe: int) -> bytes:
    """Return the next byte of a pipe, or none at its end."""
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
    """Return the descriptor of a file in memory, where the system has such, or on disk."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("charnn")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def blas_threads(threads: int | None) -> Iterator[None]:
    """Hold BLAS to a number of threads; None leaves the choice to it."""
    if threads is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, user_api="blas"):
        yield
