"""What counting and compressing reach on a text, for scale beside a model's loss.

The counting models are adaptive: each character is predicted from those before it in the same
text, then counted, so they need no training text and their loss is as honest as a compressor's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.corpus import Ids

_STRETCH = 1 << 20  # characters counted at a time; bounds the memory


def unigram_entropy(ids: Ids, vocab_size: int) -> float:
    """Return the loss, in nats per character, of knowing no more than how often each comes.

    Of a very long text only stretches spread over it are counted.
    """
    starts = np.arange(0, len(ids), _STRETCH)
    if len(starts) > 64:
        starts = np.linspace(0, len(ids) - _STRETCH, 64, dtype=np.int64)
    counts = np.zeros(vocab_size, np.int64)
    for start in starts:
        counts += np.bincount(ids[start : start + _STRETCH], minlength=vocab_size)
    p = counts[counts > 0] / counts.sum()
    return float((p * np.log(1 / p)).sum())


def unigram_bits(ids: Ids, vocab_size: int) -> float:
    """Return the bits per character of an adaptive unigram model over ids[1:].

    After t characters, P(k) = (times k came + 1) / (t + K) (Laplace's rule of succession).
    """
    return _mean_bits(_unigram(ids, vocab_size))


def bigram_bits(ids: Ids, vocab_size: int) -> float:
    """Return the bits per character of an adaptive bigram model over ids[1:].

    P(k | j) = (times k followed j + P(k)) / (times anything followed j + 1): the unigram model
    is worth one observation after each j (MacKay & Peto 1995).
    """
    before = ids[:-1].astype(np.int64)
    pairs = before * vocab_size + ids[1:]
    return _mean_bits((_seen(pairs) + _unigram(ids, vocab_size)) / (_seen(before) + 1))


def xz_bits(text: str) -> float | None:
    """Return the bits per character of the text's UTF-8 bytes compressed by xz at its best.

    None where Python was built without xz.
    """
    try:
        import lzma
    except ImportError:
        return None
    packed = lzma.compress(text.encode("utf-8", "surrogatepass"), preset=9 | lzma.PRESET_EXTREME)
    return 8 * len(packed) / len(text)


def _unigram(ids: Ids, vocab_size: int) -> NDArray[np.float64]:
    """Return P of each character of ids[1:], given those before it."""
    t = np.arange(1, len(ids))
    return (_seen(ids)[1:] + 1) / (t + vocab_size)


def _seen(symbols: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return, for each place, how often its symbol came before it."""
    order = np.argsort(symbols, kind="stable")
    ranked = symbols[order]
    # In sorted order equal symbols stand in a row: the place in the row is the count.
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    row = np.repeat(starts, np.diff(np.append(starts, len(ranked))))
    seen = np.empty(len(symbols), np.int64)
    seen[order] = np.arange(len(symbols)) - row
    return seen


def _mean_bits(probabilities: NDArray[np.float64]) -> float:
    return float(np.log2(1 / probabilities).mean())
