"""The score of each document of a text."""

import numpy as np
from numpy.typing import NDArray

from charnn.network.arrays import Array
from charnn.text.documents import Documents
from charnn.text.encoding import Ids


class Scores:
    """Sums over the predictions of each of D documents: its characters and its end.

    Attributes:
        documents: the documents.
        nats: (D,) Σ −log ŷ[next character].
        ranks: (D,) the sum of the ranks of the actual characters, 1 for the most probable one.
        most: (D,) the highest surprisal of a prediction, in nats.
        place: (D,) its place, counted from 0; the number of characters stands for the end.
    """

    def __init__(self, documents: Documents):
        D = len(documents)
        self.documents = documents
        self.nats, self.ranks = np.zeros(D), np.zeros(D, np.int64)
        self.most, self.place = np.full(D, -1.0), np.zeros(D, np.int64)

    def add(self, places: NDArray[np.intp], o: Array, targets: Ids) -> tuple[int, float]:
        """Add predictions; return how many of their ranks are 1, and the sum of their nats.

        Args:
            places: (T, B), of the inputs; each column is inside one document.
            o: (T·B, K) logits, overwritten.
            targets: (T·B,) the actual next characters.
        """
        at_target = o[np.arange(len(o)), targets][:, None]
        ranks = 1 + np.count_nonzero(o > at_target, axis=1).reshape(places.shape)
        o -= at_target
        highest = np.maximum(o.max(axis=1, keepdims=True), 0)
        o -= highest
        total = np.exp(o, out=o).sum(axis=1, dtype=o.dtype)
        nats = (np.log(total) + highest[:, 0]).reshape(places.shape).astype(np.float64)
        document = np.searchsorted(self.documents.starts, places[0], side="right") - 1
        self.nats[document] += nats.sum(axis=0)
        self.ranks[document] += ranks.sum(axis=0)
        worst = nats.argmax(axis=0)
        most = nats[worst, np.arange(len(worst))]
        higher = most > self.most[document]
        document, at = document[higher], places[worst, np.arange(len(worst))][higher]
        self.most[document] = most[higher]
        self.place[document] = at - self.documents.starts[document]
        return int(np.count_nonzero(ranks == 1)), float(nats.sum())
