"""One batch divided among processes: each works on its own streams, and the gradients are summed.

Every rank of a job has its share of the streams, and its worker processes have shares of that.

The streams of a batch are independent up to the sum of their gradients. So a step costs one
message to each worker and one back. The important arrays are in shared memory:
the parameters, and for each worker its characters, its states and its gradient. Processes are used
instead of threads, because a step of a small model is a thousand calls of a few microseconds each,
and threads would wait for each other at Python's global lock.
"""

import math
import mmap
import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charnn.network.bptt import BPTT
from charnn.network.dropout import Dropout
from charnn.network.network import Network
from charnn.network.spec import Spec
from charnn.network.textbook import TextbookBPTT


@dataclass(frozen=True)
class StepSpec:
    """Everything a worker process needs to compute its part of a step.

    Attributes:
        network: the network's specification.
        seq_length: T.
        batch_size: B, streams in the whole batch.
        dropout: share of each layer's outputs that is dropped.
        seed: of the run.
        loop: how to compute, see `training.loop` in the config.
        threads: BLAS threads of each process; None leaves the choice to BLAS.
        workers: the number of processes that share this rank's streams.
        rank: the number of this rank, from 0.
        ranks: the number of ranks.
    """

    network: Spec
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
        """The streams of this rank, of all B."""
        B, n = self.batch_size, self.ranks
        return slice(B * self.rank // n, B * (self.rank + 1) // n)

    def streams(self, worker: int) -> slice:
        """Return the streams of a worker, of all B."""
        start, n = self.mine.start, self.workers
        B = self.mine.stop - start
        return slice(start + B * worker // n, start + B * (worker + 1) // n)


def worker_count(batch_size: int, hidden_size: int, threads: int) -> int:
    """Return the number of processes that share a step, from the sizes alone.

    Each needs at least four streams, and enough arithmetic in a time step to outweigh its calls.
    """
    by_work = batch_size * hidden_size**2 // 2**16
    return max(1, min(threads, batch_size // 4, by_work)) if os.name == "posix" else 1


class Arrays:
    """The arrays of a run in one block of memory, at the same places in every process.

    Attributes:
        size: bytes of the whole block.
        parameters: (P,).
        state: (S, B, H) of every stream.
        summed: the sum over the ranks: the first gradient, then the reports of each rank.
        gradients: (P,) of each worker.
        inputs: (T, b) character ids of each worker.
        targets: (T, b), the character after each input.
        resets: (T, b), where a stream's state is zero before its character.
        jobs: (5,) numbers of each worker: step, length, scale, whether there are resets; the loss.
    """

    def __init__(self, spec: StepSpec, memory: mmap.mmap | None = None):
        """Place the arrays in a block of memory; without one, only compute its size."""
        self._memory = memory
        self.size = 0
        T, dtype, workers = spec.seq_length, np.dtype(spec.network.dtype), range(spec.workers)
        widths = [s.stop - s.start for s in map(spec.streams, workers)]
        P = spec.network.num_parameters
        self.parameters = self._array((P,), dtype)
        self.state = self._array(spec.network.state_shape(spec.batch_size), dtype)
        self.summed = self._array((P + (3 * spec.ranks if spec.ranks > 1 else 0),), dtype)
        self.gradients = [self.summed[:P], *(self._array((P,), dtype) for _ in workers[1:])]
        self.inputs = [self._array((T, width), np.intp) for width in widths]
        self.targets = [self._array((T, width), np.intp) for width in widths]
        self.resets = [self._array((T, width), np.bool_) for width in widths]
        self.jobs = [self._array((5,), np.float64) for _ in workers]

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

    def __init__(self, spec: StepSpec, arrays: Arrays, worker: int):
        mine, K, dtype = spec.streams(worker), spec.network.vocab_size, spec.network.dtype
        network = Network.from_config(spec.network, K, dtype)
        network.parameters = network.parameters_in(arrays.parameters)
        self.inputs, self.targets = arrays.inputs[worker], arrays.targets[worker]
        self.resets, self.job = arrays.resets[worker], arrays.jobs[worker]
        self.state = arrays.state[:, mine]
        T, B = self.inputs.shape
        gradient = arrays.gradients[worker]
        self.bptt = (
            TextbookBPTT(network, gradient)
            if spec.loop == "textbook"
            else BPTT(network, T, B, dropout=spec.dropout > 0, gradient=gradient)
        )
        self.dropout = None
        if spec.dropout:
            shape = (spec.network.num_layers, B, spec.network.hidden_size)
            self.dropout = Dropout(
                spec.dropout, shape, dtype, seed=spec.seed, first_stream=mine.start
            )

    def work(self) -> None:
        """Do the job: leave the gradient, the new state and the summed loss."""
        step, length, scale, resets, _ = self.job.tolist()
        length = int(length)
        self.job[4] = self.bptt(
            self.inputs[:length],
            self.targets[:length],
            self.state,
            resets=self.resets[:length] if resets else None,
            masks=None if self.dropout is None else self.dropout(int(step)),
            scale=scale,
        )
