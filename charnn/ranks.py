"""The ranks of a run: the processes that an MPI launcher started, or this one alone.

All communication between ranks is in this file. A single process uses `ALONE`, whose methods
exchange nothing. Under a launcher, `join` returns the ranks of the job.

If one rank fails, the others may wait for it forever in an exchange. So ranks exchange the errors
that may occur on one rank only (`agreeing`, `first`). Any other failure of a rank ends the whole
job (`all_end`, `abort`).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from charnn.errors import CharnnError

if TYPE_CHECKING:
    from mpi4py.MPI import Comm
    from numpy.typing import NDArray


T = TypeVar("T")


# Open MPI sets the first; MPICH, Intel MPI and `srun --mpi=pmi2` the second; `srun --mpi=pmix` the
# third. The variables of a Slurm allocation do not count: without `srun`, a command runs alone.
_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
)


_SPIN = 0.001  # seconds to poll for the others before sleeping between polls
_PASSING = 0.2  # seconds that a launcher needs to forward what a rank has printed
_GRACE = 1.0  # seconds in which all ranks with the same failure end


class Place(NamedTuple):
    """The number of this process, and the number of processes."""

    rank: int
    size: int


def launched() -> Place:
    """Return this process's place, (0, 1) if no MPI launcher has started it."""
    for rank, size in _VARIABLES:
        try:
            return Place(int(os.environ[rank]), int(os.environ[size]))
        except (KeyError, ValueError):
            pass
    return Place(0, 1)


class Ranks:
    """The ranks of a run. This class is a single process and the interface for several.

    Attributes:
        rank: its number, from 0.
        size: the number of ranks.
        on_node: the number of ranks on its machine.
        sharing: the number of those that use the same cores.
        leads_node: whether it is the first rank on its machine.
    """

    rank = 0
    size = 1
    on_node = 1
    sharing = 1
    leads_node = True

    def first(self, call: Callable[[], T]) -> T:
        """Call a function in rank 0; return its result, or raise its CharnnError, in every rank."""
        return call()

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """Raise a CharnnError of one rank in all ranks; of several errors, the lowest rank's."""
        yield

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks."""
        return [value]

    def from_leader(self, value: T) -> T:
        """Return the value of the rank that leads this machine."""
        return value

    def sum(self, array: "NDArray[Any]") -> None:
        """Replace an array by the sum over all ranks, the same bits on each."""

    def broadcast(self, array: "NDArray[Any]", root: int = 0) -> None:
        """Replace an array by that of one rank."""


ALONE = Ranks()


class _Job(Ranks):
    """The ranks of an MPI job. While they wait, they sleep and can receive signals."""

    def __init__(self, world: "Comm", node: "Comm", ending: "Comm"):
        self._world, self._node, self._ending = world, node, ending
        self.rank, self.size, self.on_node = world.rank, world.size, node.size
        self.leads_node = node.rank == 0
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        self.sharing = node.allgather(cores).count(cores)

    def first(self, call: Callable[[], T]) -> T:
        result: Any = None
        error = None
        if self.rank == 0:
            try:
                result = call()
            except CharnnError as failed:
                error = failed
        _meet(self._world)
        result, error = self._world.bcast((result, error))
        if error is not None:
            raise error
        return cast(T, result)

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        mine = None
        try:
            yield
        except CharnnError as error:
            mine = error
        for failed in self.gather(mine):
            if failed is not None:
                raise failed from None

    def gather(self, value: T) -> list[T]:
        _meet(self._world)
        values: list[T] = self._world.allgather(value)
        return values

    def from_leader(self, value: T) -> T:
        _meet(self._node)
        leaders: T = self._node.bcast(value)
        return leaders

    def sum(self, array: "NDArray[Any]") -> None:
        from mpi4py import MPI

        self._world.Allreduce(MPI.IN_PLACE, array)

    def broadcast(self, array: "NDArray[Any]", root: int = 0) -> None:
        self._world.Bcast(array, root)

    def all_end(self) -> bool:
        """Return whether all ranks call this within about a second of the first."""
        # Ranks time out in order of their number, so exactly one of them reports the error.
        return _meet(self._ending, _GRACE * (1 + min(self.rank, 20) / 10))

    def abort(self, code: int) -> None:
        time.sleep(_PASSING)
        self._world.Abort(code)
        os._exit(code)  # Abort may return before the launcher ends this rank.


_job: _Job | None = None


def join() -> Ranks:
    """Return the ranks of the job that a launcher has started, or `ALONE`.

    Raises:
        CharnnError: if there is a launcher, but no mpi4py that works with it.
    """
    global _job
    size = launched().size
    if size == 1:
        return ALONE
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise CharnnError(
            f"an MPI launcher has started {size} processes, which need mpi4py ({error}): "
            "pip install 'charnn[mpi]'"
        ) from None
    world = MPI.COMM_WORLD
    if world.size != size:
        raise CharnnError(
            f"an MPI launcher has started {size} processes, but mpi4py finds {world.size}: it is "
            "built for another MPI than the launcher's"
        )
    node = world.Split_type(MPI.COMM_TYPE_SHARED)
    _job = _Job(world, node, world.Dup())
    return _job


def all_end() -> bool:
    """Return whether all ranks have failed. For a single process this is true at once."""
    if _job is None and launched().rank:
        time.sleep(_GRACE)  # A launcher ends rank 0 with this one, and rank 0 should report.
    return _job is None or _job.all_end()


def abort(code: int) -> None:
    """End all ranks with an exit code."""
    if _job is not None:
        _job.abort(code)


def _meet(comm: "Comm", limit: float = float("inf")) -> bool:
    """Wait until all ranks call this; return whether they did within a number of seconds."""
    request = comm.Ibarrier()
    began = time.perf_counter()
    while not request.Test():
        waited = time.perf_counter() - began
        if waited > limit:
            return False
        if waited > _SPIN:
            time.sleep(_SPIN)
    return True
