"""The streams of a training text: parts of the text side by side, window by window."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from charnn.text.documents import Documents, Packing
from charnn.text.encoding import Ids


@dataclass(frozen=True)
class Streams:
    """A text cut into B parallel streams and read T characters at a time.

    N ids give N - 1 predictions, (N - 1) // B for each stream. The few remaining ones are not used.
    An epoch reads every stream once. If the rest is shorter than T, the last window is shorter.
    `drop_last` skips this window, and also a full last window. This is the rule of min-char-rnn.

    Attributes:
        ids: (N,) the training text.
        batch_size: B.
        seq_length: T.
        drop_last: whether the shorter window is left out.
    """

    ids: Ids
    batch_size: int
    seq_length: int
    drop_last: bool = False

    @cached_property
    def predictions(self) -> int:
        """The number of predictions in the whole text."""
        return len(self.ids) - 1

    @property
    def stream_length(self) -> int:
        """The number of predictions in each stream."""
        return self.predictions // self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Windows in one epoch, at least 1."""
        if self.drop_last:
            return max(1, (self.stream_length - 1) // self.seq_length)
        return -(-self.stream_length // self.seq_length)

    def characters(self, steps: int) -> int:
        """Return how many characters the first `steps` steps predict."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        per_epoch = min(self.steps_per_epoch * self.seq_length, self.stream_length)
        return (epochs * per_epoch + rest * self.seq_length) * self.batch_size

    def length(self, step: int) -> int:
        """Return how many characters of each stream a step reads: T, or fewer at an epoch's end."""
        start = (step % self.steps_per_epoch) * self.seq_length
        return min(self.seq_length, self.stream_length - start)

    def read(
        self,
        step: int,
        inputs: NDArray[np.intp],
        targets: NDArray[np.intp],
        resets: NDArray[np.bool_],
        streams: slice = slice(None),
    ) -> bool:
        """Write the characters of a step into the given arrays, for some of the B streams.

        Args:
            step: counted from 0, over all epochs.
            inputs: (T, b); its first `length` rows become x(1) … of each stream.
            targets: (T, b); its first `length` rows become the character after each input.
            resets: (T, b); its first `length` rows become True where the state is zero before the
                character. It is written only if there is such a place.
            streams: the numbers of the b streams.

        Returns:
            Whether the state is reset anywhere. The first character of an epoch is a reset.
        """
        start = (step % self.steps_per_epoch) * self.seq_length
        length = self.length(step)
        used = self.batch_size * self.stream_length
        for shift, out in enumerate((inputs, targets)):
            rows = self.ids[shift : used + shift].reshape(self.batch_size, -1)[streams]
            out[:length] = rows[:, start : start + length].T
        if start == 0:
            resets[:length] = False
            resets[0] = True
        return start == 0


@dataclass(frozen=True)
class DocumentStreams(Streams):
    """Documents, shuffled anew for each epoch, end to end in B parallel streams.

    The state of a stream is zero where a document begins. The starts of the streams cut at most
    B - 1 documents of an epoch. At most B - 1 predictions at the end of an epoch are not used.

    Attributes:
        documents: the training documents.
        seed: of the run.
    """

    documents: Documents = field(kw_only=True)
    seed: int = field(kw_only=True)
    _order: list[tuple[int, Packing]] = field(default_factory=list, init=False, repr=False)

    @cached_property
    def predictions(self) -> int:
        """Predictions in all documents."""
        return int(self.documents.lengths.sum())

    def read(
        self,
        step: int,
        inputs: NDArray[np.intp],
        targets: NDArray[np.intp],
        resets: NDArray[np.bool_],
        streams: slice = slice(None),
    ) -> bool:
        """Write the characters of a step into given arrays; see `Streams.read`."""
        epoch, window = divmod(step, self.steps_per_epoch)
        length, start = self.length(step), window * self.seq_length
        first = np.arange(self.batch_size)[streams] * self.stream_length + start
        places = self._packing(epoch).find(first + np.arange(length)[:, None])[1]
        inputs[:length] = self.ids[places]
        targets[:length] = self.ids[places + 1]
        np.equal(inputs[:length], self.documents.boundary, out=resets[:length])
        if start == 0:
            resets[0] = True
        return bool(resets[:length].any())

    def _packing(self, epoch: int) -> Packing:
        """Return the documents in the order of an epoch. It is kept for the next step."""
        if not self._order or self._order[0][0] != epoch:
            self._order[:] = [(epoch, self.documents.shuffled(self.seed, epoch))]
        return self._order[0][1]


def fitting_batch_size(characters: int, batch_size: int, seq_length: int) -> int:
    """Return the largest batch, at most `batch_size`, whose streams hold `seq_length` characters.

    N characters give N - 1 predictions, so each of B streams has (N - 1) // B.
    """
    return max(1, min(batch_size, (characters - 1) // seq_length))
