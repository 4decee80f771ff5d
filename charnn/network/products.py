"""Matrix products and sums in the forms that OpenBLAS computes fastest."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from charnn.network.arrays import Array, CharacterIds, State

Product = Callable[[Array, Array], object]
"""Called with an array to read and one to write, which are not the same memory."""


def times(A: Array, batch_size: int) -> Product:
    """Return a function that writes x A over its second argument, for many products with one A.

    At every call a BLAS copies A into the order its inner loop reads, which for a small batch
    takes about as long as the arithmetic. OpenBLAS does without in products of up to 10⁶
    multiplications; so a larger A is cut into blocks here, once, that also fit in the first-level
    cache.

    Args:
        A: (H, H), or a transposed view.
        batch_size: B; x and what is written, not in the same memory, are contiguous and (B, H), or
            (H,) if B is 1.
    """
    B, H, small = batch_size, len(A), 10**6
    A = np.ascontiguousarray(A)
    if B == 1:
        # Of all ways to multiply a vector, the call of least overhead.
        return A.T.dot
    m, n = largest_divisor(H, 128), largest_divisor(H, 64)
    if n < 16 or not B * m * n <= small < B * H * H:
        return lambda x, out: x.dot(A, out)
    blocks = np.ascontiguousarray(A.reshape(H // m, m, H // n, n).transpose(0, 2, 1, 3))
    parts = np.empty((H // m, B, H), A.dtype)
    part_blocks = parts.reshape(H // m, B, H // n, n).transpose(0, 2, 1, 3)

    def product(x: Array, out: Array) -> None:
        np.matmul(x.reshape(B, H // m, 1, m).transpose(1, 2, 0, 3), blocks, part_blocks)
        np.add.reduce(parts, axis=0, out=out)

    return product


def times_each(W: Sequence[Array], batch_size: int) -> Product:
    """Return a function that writes W_g x for each gate g.

    It reads x, (B, H), and writes (G, B, H), or (B, H) for one gate.

    Args:
        W: (H, H) of each gate.
        batch_size: B, see `times`.
    """
    if len(W) == 1:
        return times(W[0].T, batch_size)
    products = [times(W_g.T, batch_size) for W_g in W]

    def each(x: Array, out: Array) -> None:
        for product, part in zip(products, out, strict=True):
            product(x, part)

    return each


def times_all(W: Sequence[Array], blocks: Sequence[int], deltas: int, batch_size: int) -> Product:
    """Return a function that writes Σ W_gᵀ delta_g over the gates g.

    It reads (deltas, B, H), or (B, H) where that is one, and writes (B, H).

    Args:
        W: (H, H) of each gate.
        blocks: for each gate, which block of delta it multiplies.
        deltas: how many blocks there are.
        batch_size: B, see `times`.
    """
    if deltas == 1:
        return times(W[0], batch_size)
    products = [times(W_g, batch_size) for W_g in W]
    part = np.empty(0, W[0].dtype)

    def all_of(delta: Array, out: Array) -> None:
        nonlocal part
        if part.shape != out.shape:
            part = np.empty_like(out)
        products[0](delta[blocks[0]], out)
        for product, block in zip(products[1:], blocks[1:], strict=True):
            product(delta[block], part)
            np.add(out, part, out)

    return all_of


def in_time(series: Array) -> list[Array]:
    """Return the parts of a window, one for each time.

    A (T, B, H) array has (B, H) parts, a (n, T, B, H) array (n, B, H) parts; B or n is left out
    where it is 1, as NumPy's calls are fastest then.
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
    """The sums over all T·B characters that a window's gradient has, with buffers of their own."""

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

    def columns(self, da: Array, ids: CharacterIds, out: Array, *, spare: Array) -> None:
        """Write Σ da(t) x(t)ᵀ over `out`, (H, K), for one-hot x(t).

        Its column k is the sum of the da(t) where k was read. A product with one-hot vectors adds
        K - 1 zeros to each of them; instead the rows are sorted by character, and each run summed.

        Args:
            da: (N, H).
            ids: (T, B) characters, T·B = N.
            out: overwritten.
            spare: (N, H) scratch.
        """
        N, K = len(da), out.shape[1]
        ids, numbers = ids.reshape(N), self._numbers[:N]
        if self._as_product:
            one_hot = self._one_hot[:N]
            one_hot.fill(0)
            one_hot[numbers, ids] = 1
            np.matmul(da.T, one_hot, out)
            return
        # Sorted by id N + n, the rows n of one character follow each other.
        keys, order = self._sorted[:, :N]
        np.multiply(ids, N, keys, dtype=np.intp)
        np.add(keys, numbers, keys)
        keys.sort()
        np.remainder(keys, N, order)
        da.take(order, 0, spare, "clip")
        counts = np.bincount(ids, minlength=K)
        read, end = np.flatnonzero(counts), 0
        for count, column in zip(counts[read].tolist(), self._columns, strict=False):
            start, end = end, end + count
            self.rows(spare[start:end], column)
        out.fill(0)
        out[:, read] = self._columns[: len(read)].T
