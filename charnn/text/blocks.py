"""The block size for texts and ids, so that no step needs a whole text in memory."""

from collections.abc import Iterator

BLOCK = 1 << 16  # Bytes or characters in one block, which stay in the processor's cache.


def spans(total: int) -> Iterator[tuple[int, int]]:
    """Divide 0 … total into blocks: yield (start, stop) of each, at most `BLOCK` apart."""
    for start in range(0, total, BLOCK):
        yield start, min(start + BLOCK, total)
