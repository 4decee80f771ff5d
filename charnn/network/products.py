"""Matrix products and sums in the forms that OpenBLAS computes fastest."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from charnn.machine import blas_kernel
from charnn.network.arrays import Array, CharacterIds, State

Product = Callable[[Array, Array], object]
"""Called with an array to read and one to write, which are not the same memory."""


def times(A: Array, batch_size: int) -> Product:
    """Return a function that writes x A over its second argument, for many products with one A.

    In every call, a BLAS copies A into the order of its inner loop. For a small batch, this takes
    about as long as the arithmetic. OpenBLAS makes no copy in products of up to 10⁶
    multiplications. So this function cuts a larger A into blocks, once, that also fit into the
    first-level cache. On processors without AVX-512, the copy costs less than smaller blocks.

    Args:
        A: (H, H), or a transposed view.
        batch_size: B. x and the output are contiguous and (B, H), or (H,) if B is 1. They do not
            share memory.
    """
    A = np.ascontiguousarray(A)
    if batch_size == 1:
        # The call with the least overhead of all that multiply a vector.
        return A.T.dot
    sizes = _blocks(batch_size, len(A))
    if sizes is None:
        return lambda x, out: x.dot(A, out)
    return _in_blocks(A[None, None], batch_size, *sizes)


def times_each(W: Sequence[Array], batch_size: int) -> Product:
    """Return a function that writes W_g x for each gate g.

    It reads x, (B, H), and writes (G, B, H), or (B, H) for one gate.

    Args:
        W: (H, H) of each gate.
        batch_size: B, see `times`.
    """
    if len(W) == 1:
        return times(W[0].T, batch_size)
    if batch_size == 1:
        all_of_W = np.concatenate(W)
        return lambda x, out: all_of_W.dot(x, out.reshape(-1))
    A = np.ascontiguousarray(np.stack([W_g.T for W_g in W]))
    sizes = _blocks(batch_size, A.shape[1])
    if sizes is None:
        return lambda x, out: np.matmul(x, A, out)
    return _in_blocks(A[None], batch_size, *sizes)


def times_all(W: Sequence[Array], blocks: Sequence[int], batch_size: int) -> Product:
    """Return a function that writes Σ W_gᵀ delta_g over the gates g.

    It reads (deltas, B, H), or (B, H) for one block, and writes (B, H).

    Args:
        W: (H, H) of each gate.
        blocks: for each gate, the block of delta that it multiplies: 0 to G − 1 in some order.
        batch_size: B, see `times`.
    """
    G = len(W)
    if G == 1:
        return times(W[0], batch_size)
    A = np.stack([W[blocks.index(block)] for block in range(G)])
    H = A.shape[1]
    if batch_size == 1:
        flat = A.reshape(G * H, H).T.copy()
        return lambda delta, out: flat.dot(delta[:G].reshape(-1), out)
    sizes = _blocks(batch_size, H)
    if sizes is None:
        parts = np.empty((G, batch_size, H), A.dtype)

        def product(delta: Array, out: Array) -> None:
            np.matmul(delta[:G], A, parts)
            np.add.reduce(parts, axis=0, out=out)

        return product
    return _in_blocks(A[:, None], batch_size, *sizes)


def _blocks(batch_size: int, H: int) -> tuple[int, int] | None:
    """Return the rows and columns of blocks to cut an (H, H) matrix into, or None."""
    m, n, small = largest_divisor(H, 128), largest_divisor(H, 64), 10**6
    fit = n >= 16 and batch_size * m * n <= small < batch_size * H * H
    return (m, n) if fit and blas_kernel() not in ("Haswell", "Zen") else None


def _in_blocks(A: Array, batch_size: int, m: int, n: int) -> Product:
    """Return a function that writes Σ_r x_r A_rg for each g, with A cut into blocks of m × n.

    Args:
        A: (R, G, H, H).
        batch_size: B; the function reads (R, B, H) and writes (G, B, H). An axis of length 1 may
            be left out.
        m: rows of a block.
        n: columns of a block.
    """
    (R, G, H, _), B = A.shape, batch_size
    cut = A.reshape(R, G, H // m, m, H // n, n).transpose(0, 2, 1, 4, 3, 5)
    blocks = np.ascontiguousarray(cut)  # (R, H/m, G, H/n, m, n)
    parts = np.empty((R, H // m, G, B, H), A.dtype)
    part_blocks = parts.reshape(R, H // m, G, B, H // n, n).swapaxes(3, 4)
    summed = parts.reshape(-1, *([G] if G > 1 else []), B, H)

    def product(x: Array, out: Array) -> None:
        rows = (x[:R] if R > 1 else x).reshape(R, B, H // m, m)
        np.matmul(rows.swapaxes(1, 2)[:, :, None, None], blocks, part_blocks)
        np.add.reduce(summed, axis=0, out=out)

    return product


def in_time(series: Array) -> list[Array]:
    """Return the parts of a window, one for each time.

    A (T, B, H) array has (B, H) parts, and an (n, T, B, H) array has (n, B, H) parts. B or n is
    left out if it is 1, because NumPy's calls are fastest then.
    """
    if series.ndim == 4:
        series = series[0] if len(series) == 1 else series.swapaxes(0, 1)
    return list(series[..., 0, :] if series.shape[-2] == 1 else series)


def states_in_time(states: Array) -> list[State]:
    """Return the states in (S, T, B, H) at each time: h, or the pair (h, s)."""
    if len(states) == 1:
        return [*in_time(states[0])]
    return list(zip(*map(in_time, states), strict=True))


def largest_divisor(n: int, limit: int) -> int:
    """Return the largest divisor of n that is at most `limit`."""
    return next(d for d in range(min(n, limit), 0, -1) if n % d == 0)


class Sums:
    """The sums over all T·B characters in the gradient of a window, with their own buffers."""

    def __init__(self, rows: int, vocab_size: int, hidden_size: int, dtype: DTypeLike):
        """Allocate for up to so many characters."""
        N, K, H = rows, vocab_size, hidden_size
        self._ones = np.ones(N, dtype)
        self._numbers = np.arange(N)
        # One call for each character of the vocabulary takes longer than so small a product.
        self._as_product = N * K * H <= 2 * 10**6
        self._one_hot = np.empty((N if self._as_product else 0, K), dtype)
        self._sorted = np.empty((2, N), np.intp)
        self._columns = np.empty((min(N, K), H), dtype)

    def rows(self, x: Array, out: Array) -> None:
        """Write Σ x(t) over `out`, (M,), for x (N, M): 1ᵀ x, which is faster than a sum."""
        np.dot(self._ones[: len(x)], x, out)

    def sort(self, ids: CharacterIds) -> None:
        """Prepare for `columns`, which sums by these (T, B) characters until the next call."""
        N = ids.size
        ids, numbers = ids.reshape(N), self._numbers[:N]
        if self._as_product:
            one_hot = self._one_hot[:N]
            one_hot.fill(0)
            one_hot[numbers, ids] = 1
            return
        # Sorted by id N + n, the rows n of one character follow each other.
        keys, order = self._sorted[:, :N]
        np.multiply(ids, N, keys, dtype=np.intp)
        np.add(keys, numbers, keys)
        keys.sort()
        np.remainder(keys, N, order)
        counts = np.bincount(ids, minlength=self._one_hot.shape[1])
        self._read = np.flatnonzero(counts)
        self._counts = counts[self._read].tolist()

    def columns(self, da: Array, out: Array, *, spare: Array) -> None:
        """Write Σ da(t) x(t)ᵀ over `out`, (H, K), for the one-hot x(t) given to `sort`.

        Its column k is the sum of the da(t) of all places with character k. A product with one-hot
        vectors would add K - 1 zeros to each. So this sorts the rows by character and sums each
        run.

        Args:
            da: (N, H).
            out: overwritten.
            spare: (N, H) scratch.
        """
        N, end = len(da), 0
        if self._as_product:
            np.matmul(da.T, self._one_hot[:N], out)
            return
        da.take(self._sorted[1, :N], 0, spare, "clip")
        for count, column in zip(self._counts, self._columns, strict=False):
            start, end = end, end + count
            self.rows(spare[start:end], column)
        out.fill(0)
        out[:, self._read] = self._columns[: len(self._read)].T
