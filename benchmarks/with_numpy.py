"""The speed of the bare machine: products by NumPy's BLAS with all its threads."""

import numpy as np

from benchmarks.measuring import Run
from benchmarks.workload import SGEMM


def sgemm() -> Run:
    """Multiply two square float32 matrices."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, SGEMM, SGEMM), np.float32)
    C = np.empty_like(A)

    def run(n: int) -> None:
        for _ in range(n):
            np.matmul(A, B, out=C)

    return run


def matvec(H: int) -> Run:
    """Multiply a (H, H) float32 matrix and a vector."""
    rng = np.random.default_rng(0)
    W, h = rng.standard_normal((H, H), np.float32), rng.standard_normal(H, np.float32)
    a = np.empty_like(h)

    def run(n: int) -> None:
        for _ in range(n):
            np.dot(W, h, out=a)

    return run
