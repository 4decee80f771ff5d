"""What n-gram models reach on a text: ``python -m benchmarks.ngram TEXT``, for scale.

Witten and Bell's method, a usual baseline, and interpolated Kneser-Ney with one discount per order
estimated from the counts, which is better; both as in Chen & Goodman (1999). Split as charnn
splits: the last tenth validates.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def named(
    ids: NDArray[np.int64], order: int
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Number the n-grams: grams[n][t] is the one that ends at t, contexts[n][t] the one before."""
    vocab_size = int(ids.max()) + 1
    grams = [np.zeros(len(ids), np.int64)]
    contexts = [grams[0]]
    for _ in range(order):
        grams.append(np.unique(contexts[-1] * vocab_size + ids, return_inverse=True)[1])
        contexts.append(np.append(grams[-1].max() + 1, grams[-1][:-1]))
    return grams, contexts


def witten_bell(ids: NDArray[np.int64], train: int, order: int) -> NDArray[np.float64]:
    """Return P(ids[t] | the order − 1 ids before it) for each t from ``train`` on.

    In the letters of `kneser_ney`, and with plain counts for every order,

        P_n(x | h) = (N(hx) + N₊(h) · P_{n−1}(x | h without its first)) / (N(h) + N₊(h))
    """
    vocab_size, (grams, contexts) = int(ids.max()) + 1, named(ids, order)
    p = np.full(len(ids) - train, 1 / vocab_size)
    for n in range(1, order + 1):
        counts = np.bincount(grams[n][:train], minlength=int(grams[n].max()) + 1)
        first = np.unique(grams[n][:train], return_index=True)[1]
        before, here = contexts[n - 1][:train], contexts[n - 1][train:]
        size = int(contexts[n - 1].max()) + 1
        total = np.bincount(before, minlength=size)[here]
        followers = np.bincount(before[first], minlength=size)[here]
        known = total > 0
        p[known] = (counts[grams[n][train:]] + followers * p)[known] / (total + followers)[known]
    return p


def kneser_ney(ids: NDArray[np.int64], train: int, order: int) -> NDArray[np.float64]:
    """Return P(ids[t] | the order − 1 ids before it) for each t from ``train`` on.

    Counts are those of ids[:train]; what comes before t is known, and may begin in ids[:train].

        P_n(x | h) = (max(N(hx) − D, 0) + D · N₊(h) · P_{n−1}(x | h without its first)) / N(h)

    N(hx) is how often hx came; below the highest order, after how many different characters (the
    beginning counts as one). N(h) is its sum over x, N₊(h) for how many x it is not 0, and D is
    n₁ / (n₁ + 2 n₂) with n_r the number of different hx for which it is r. P_0 is uniform; where
    N(h) = 0, P_n is P_{n−1}.
    """
    vocab_size, (grams, contexts) = int(ids.max()) + 1, named(ids, order)
    p = np.full(len(ids) - train, 1 / vocab_size)
    for n in range(1, order + 1):
        seen = grams[n][:train]
        if n < order:  # each different longer gram once
            seen = seen[np.unique(grams[n + 1][:train], return_index=True)[1]]
        counts = np.bincount(seen, minlength=int(grams[n].max()) + 1)
        came, first = np.unique(grams[n][:train], return_index=True)
        before, here = contexts[n - 1][first], contexts[n - 1][train:]
        size = int(contexts[n - 1].max()) + 1
        total = np.bincount(before, weights=counts[came], minlength=size)[here]
        followers = np.bincount(before, minlength=size)[here]
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        discount = once / max(1, once + 2 * twice)
        known = total > 0
        high = np.maximum(counts[grams[n][train:]] - discount, 0)
        p[known] = (high + discount * followers * p)[known] / total[known]
    return p


def main() -> None:
    """Print the losses of both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ngram", description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--order", type=int, default=10, help="characters in a gram (10)")
    parser.add_argument("--val-fraction", type=float, default=0.1)
    given = parser.parse_args()
    characters = np.array([ord(character) for character in given.text.read_text(encoding="utf-8")])
    ids = np.unique(characters, return_inverse=True)[1]
    train = int(len(ids) * (1 - given.val_fraction) + 1e-9)
    for name, model in (("Witten-Bell", witten_bell), ("Kneser-Ney", kneser_ney)):
        nats = -np.log(model(ids, train, given.order)).mean()
        print(f"{nats:.4f} nats per character ({nats / np.log(2):.4f} bits): {name}")


if __name__ == "__main__":
    main()
