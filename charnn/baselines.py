"""What counting and compressing reach on a text, for scale beside a model's loss.

The counting models are adaptive: each character is predicted from those before it in the same
text, then counted, so they need no training text and their loss is as honest as a compressor's.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.text.encoding import Ids
from charnn.text.vocabulary import Vocabulary

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
    return _bits(ids, vocab_size)[0]


def bigram_bits(ids: Ids, vocab_size: int) -> float:
    """Return the bits per character of an adaptive bigram model over ids[1:].

    P(k | j) = (times k followed j + P(k)) / (times anything followed j + 1): the unigram model
    is worth one observation after each j (MacKay & Peto 1995).
    """
    return _bits(ids, vocab_size)[1]


def xz_bits(ids: Ids, vocabulary: Vocabulary) -> float | None:
    """Return the bits per character of the text's UTF-8 bytes compressed by xz at its best.

    None where Python was built without xz.
    """
    try:
        import lzma
    except ImportError:
        return None
    xz = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    size = 0
    for at in range(0, len(ids), _STRETCH):
        text = vocabulary.decode(ids[at : at + _STRETCH])
        size += len(xz.compress(text.encode("utf-8", "surrogatepass")))
    return 8 * (size + len(xz.flush())) / len(ids)


def _bits(ids: Ids, vocab_size: int) -> tuple[float, float]:
    """Return the bits per character of the unigram and of the bigram model."""
    symbols, contexts, pairs = Counter({int(ids[0]): 1}), Counter[int](), Counter[int]()
    unigram = bigram = 0.0
    for at in range(1, len(ids), _STRETCH):
        following = ids[at : at + _STRETCH]
        before = ids[at - 1 : at - 1 + len(following)].astype(np.int64)
        t = np.arange(at, at + len(following))
        p = (_seen(following, symbols) + 1) / (t + vocab_size)
        unigram -= float(np.log2(p).sum())
        p += _seen(before * vocab_size + following, pairs)
        bigram -= float(np.log2(p / (_seen(before, contexts) + 1)).sum())
    return unigram / (len(ids) - 1), bigram / (len(ids) - 1)


def _seen(symbols: NDArray[np.integer[Any]], counts: Counter[int]) -> NDArray[np.int64]:
    """Return, for each place, how often its symbol came before it, and count these symbols."""
    order = np.argsort(symbols, kind="stable")
    ranked = symbols[order]
    # In sorted order equal symbols stand in a row: the place in the row is the count.
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    lengths = np.diff(np.append(starts, len(ranked)))
    different = ranked[starts].tolist()
    earlier = np.array([counts[symbol] for symbol in different])
    seen = np.empty(len(symbols), np.int64)
    seen[order] = np.arange(len(symbols)) + np.repeat(earlier - starts, lengths)
    counts.update(dict(zip(different, lengths.tolist(), strict=True)))
    return seen
