"""Baselines for a model's loss: how well counting and compression predict the same text.

The counting models are adaptive. They predict each character from the counts of the characters
before it, then count it. So they need no training text, just like a compressor.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.text.encoding import Ids
from charnn.text.vocabulary import Vocabulary

_BLOCK = 1 << 20  # characters processed at a time, to bound the memory


def unigram_entropy(ids: Ids, vocab_size: int) -> float:
    """Return the entropy of the character frequencies of a text, in nats per character.

    In a text of more than 64 blocks, only 64 blocks spread over it are counted.

    Args:
        ids: (N,) character ids, N at least 1.
        vocab_size: K, the number of different ids.
    """
    starts = np.arange(0, len(ids), _BLOCK)
    if len(starts) > 64:
        starts = np.linspace(0, len(ids) - _BLOCK, 64, dtype=np.int64)
    counts = np.zeros(vocab_size, np.int64)
    for start in starts:
        counts += np.bincount(ids[start : start + _BLOCK], minlength=vocab_size)
    p = counts[counts > 0] / counts.sum()
    return float((p * np.log(1 / p)).sum())


def counting_bits(ids: Ids, vocab_size: int) -> tuple[float, float]:
    """Return the bits per character of two models that count as they read, over ids[1:].

    The unigram model is Laplace's rule of succession: after t characters, P(k) = (count of k + 1) /
    (t + K). The bigram model has P(k | j) = (count of k after j + P(k)) / (count of j + 1). So the
    unigram model weighs as much as one observation after each j (MacKay & Peto 1995).

    Args:
        ids: (N,) character ids, N at least 2.
        vocab_size: K, the number of different ids.

    Returns:
        Those of the unigram model and of the bigram model.
    """
    symbols, contexts, pairs = Counter({int(ids[0]): 1}), Counter[int](), Counter[int]()
    unigram = bigram = 0.0
    for at in range(1, len(ids), _BLOCK):
        following = ids[at : at + _BLOCK]
        before = ids[at - 1 : at - 1 + len(following)].astype(np.int64)
        t = np.arange(at, at + len(following))
        p = (_seen(following, symbols) + 1) / (t + vocab_size)
        unigram -= float(np.log2(p).sum())
        p += _seen(before * vocab_size + following, pairs)
        bigram -= float(np.log2(p / (_seen(before, contexts) + 1)).sum())
    return unigram / (len(ids) - 1), bigram / (len(ids) - 1)


def xz_bits(ids: Ids, vocabulary: Vocabulary) -> float | None:
    """Return the bits per character after xz, at its best setting, has compressed the text.

    Args:
        ids: (N,) character ids, N at least 1. Their UTF-8 bytes are compressed.
        vocabulary: the characters of the ids.

    Returns:
        The bits per character, or None if Python was built without xz.
    """
    try:
        import lzma
    except ImportError:
        return None
    xz = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    size = 0
    for at in range(0, len(ids), _BLOCK):
        text = vocabulary.decode(ids[at : at + _BLOCK])
        size += len(xz.compress(text.encode("utf-8", "surrogatepass")))
    return 8 * (size + len(xz.flush())) / len(ids)


def _seen(symbols: NDArray[np.integer[Any]], counts: Counter[int]) -> NDArray[np.int64]:
    """Return how often each symbol came before its place, then add the symbols to the counts."""
    order = np.argsort(symbols, kind="stable")
    ranked = symbols[order]
    # Sorting puts equal symbols side by side, in order of place. So the place in such a group is
    # the count within this block.
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    lengths = np.diff(np.append(starts, len(ranked)))
    different = ranked[starts].tolist()
    earlier = np.array([counts[symbol] for symbol in different])
    seen = np.empty(len(symbols), np.int64)
    seen[order] = np.arange(len(symbols)) + np.repeat(earlier - starts, lengths)
    counts.update(dict(zip(different, lengths.tolist(), strict=True)))
    return seen
