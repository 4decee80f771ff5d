"""The machine: its cores, its free memory, and the threads of BLAS."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def blas_threads(threads: int | None) -> Iterator[None]:
    """Limit BLAS to a number of threads inside the block; None leaves the choice to BLAS."""
    if threads is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, user_api="blas"):
        yield


@cache
def blas_kernel() -> str:
    """Return OpenBLAS's name of the processor type it uses, or "" for another BLAS."""
    from threadpoolctl import threadpool_info

    pools = (pool for pool in threadpool_info() if pool["user_api"] == "blas")
    return next((str(pool.get("architecture", "")) for pool in pools), "")


def available_memory() -> int:
    """Return the bytes of memory that are free without swapping, or a huge number if unknown."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**63
