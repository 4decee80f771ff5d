"""Texts that are awkward to cut, and ways to read them in short pieces."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import strategies as st

from charnn.text import blocks, fingerprint, reading


@contextmanager
def short_blocks(size: int) -> Iterator[None]:
    """Read in pieces of 3 characters, and hash in blocks of `size` characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "FINGERPRINT_BLOCK", size)
        patch.setattr(reading, "FINGERPRINT_BLOCK", size)
        patch.setattr(blocks, "BLOCK", 3)
        yield


# They mix characters of one to four bytes, line ends of all kinds and byte-order marks.
TEXTS = st.text("ab \r\né€😀\ufeff", max_size=20)

# Each is the number of characters in a piece.
SIZES = st.sampled_from([1, 2, 3, 5, 8])


@contextmanager
def pieces_of(size: int) -> Iterator[None]:
    """Read and encode in pieces of `size` characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        yield
