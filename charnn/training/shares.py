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
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charnn.network.bptt import BPTT
from charnn.network.dropout import Dropout
from charnn.network.network import RNN, parameter_shapes
from charnn.network.products import Activation
from charnn.network.textbook import TextbookBPTT


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
