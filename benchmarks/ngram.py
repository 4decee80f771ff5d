"""Print the losses of n-gram models on a text, for comparison: ``python -m benchmarks.ngram TEXT``.

The models are Witten-Bell, a common baseline, and modified Kneser-Ney, the best of the models that
count. Both follow Chen & Goodman (1999), and each has its best order. The last tenth of the text is
the validation text, as in charnn.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def named(
    ids: NDArray[np.int64], order: int
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Number the n-grams: grams[n][t] ends at t, contexts[n][t] ends at t − 1."""
    vocab_size = int(ids.max()) + 1
    grams = [np.zeros(len(ids), np.int64)]
    contexts = [grams[0]]
    for _ in range(order):
        grams.append(np.unique(contexts[-1] * vocab_size + ids, return_inverse=True)[1])
        contexts.append(np.append(grams[-1].max() + 1, grams[-1][:-1]))
    return grams, contexts


def witten_bell(ids: NDArray[np.int64], train: int, order: int) -> NDArray[np.float64]:
    """Return P(ids[t] | the order − 1 ids before it) for each t from ``train`` on.

    The symbols are those of `kneser_ney`, with plain counts for every order:

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

    The counts come from ids[:train]. The ids before t are known, and may lie in ids[:train].

        P_n(x | h) = (N(hx) − D(hx) + Σ_y D(hy) · P_{n−1}(x | h without its first)) / N(h)

    At the highest order, N(hx) is how often hx occurs. Below it, N(hx) is the number of different
    characters before hx; the beginning counts as one. N(h) is the sum of N(hx) over x, and n_r is
    the number of different hx with N(hx) = r. With r = N(hx) and Y = n₁ / (n₁ + 2 n₂), the discount
    D(hx) is r − (r + 1) Y n_{r+1} / n_r for r = 1, 2 and 3, limited to 0 to r. Above 3, it is that
    of r = 3. P_0 is uniform. Where N(h) = 0, P_n is P_{n−1}.
    """
    vocab_size, (grams, contexts) = int(ids.max()) + 1, named(ids, order)
    p = np.full(len(ids) - train, 1 / vocab_size)
    for n in range(1, order + 1):
        seen = grams[n][:train]
        if n < order:  # count each longer n-gram once
            seen = seen[np.unique(grams[n + 1][:train], return_index=True)[1]]
        counts = np.bincount(seen, minlength=int(grams[n].max()) + 1)
        came, first = np.unique(grams[n][:train], return_index=True)
        before, here = contexts[n - 1][first], contexts[n - 1][train:]
        size = int(contexts[n - 1].max()) + 1
        total = np.bincount(before, weights=counts[came], minlength=size)[here]
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        taken = np.bincount(before, weights=discounts[came], minlength=size)[here]
        known, kept = total > 0, (counts - discounts)[grams[n][train:]]
        p[known] = (kept + taken * p)[known] / total[known]
    return p


def _discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the discounts of the counts 0, 1, 2, and 3 or more."""
    n = [int((counts == r).sum()) for r in range(5)]
    Y = n[1] / max(1, n[1] + 2 * n[2])
    found = [np.clip(r - (r + 1) * Y * n[r + 1] / max(1, n[r]), 0, r) for r in (1, 2, 3)]
    return np.array([0.0, *found])


def main() -> None:
    """Print the loss of each model at its best order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ngram", description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--order", type=int, default=10, help="highest order to try (10)")
    parser.add_argument("--val-fraction", type=float, default=0.1)
    given = parser.parse_args()
    characters = np.array([ord(character) for character in given.text.read_text(encoding="utf-8")])
    ids = np.unique(characters, return_inverse=True)[1]
    train = int(len(ids) * (1 - given.val_fraction) + 1e-9)
    for name, model in (("Witten-Bell", witten_bell), ("Kneser-Ney", kneser_ney)):
        losses = {n: -np.log(model(ids, train, n)).mean() for n in range(1, given.order + 1)}
        order = min(losses, key=lambda n: losses[n])
        nats = losses[order]
        print(f"{nats:.4f} nats ({nats / np.log(2):.4f} bits) per character: {name}, order {order}")


if __name__ == "__main__":
    main()
