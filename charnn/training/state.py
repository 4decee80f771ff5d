"""The state of a run: everything that a step changes and a checkpoint contains."""

from dataclasses import replace

import numpy as np

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.checkpoint.progress import Progress
from charnn.config.keys import Config
from charnn.network.arrays import Array
from charnn.network.network import Network
from charnn.optimizers import Average, make_optimizer
from charnn.ranks import Ranks
from charnn.text.corpus import Corpus
from charnn.training.extension import carry_over


def new_network(config: Config, vocab_size: int) -> Network:
    """Return the network that a config describes, its parameters still zero."""
    return Network.from_config(config.model, vocab_size, config.training.dtype)


class RunState:
    """The arrays of a run and its progress.

    Attributes:
        model: the network being trained.
        averaged: the network that is validated and saved: `model`, or a running mean of it.
        progress: where the run stands.
    """

    def __init__(self, config: Config, corpus: Corpus, model: Network, hidden: Array):
        """Begin at step 0 with parameters yet to be set by `initialize` or `restore`.

        Args:
            config: of the run.
            corpus: the text.
            model: the network, with its parameters at the place where they are trained.
            hidden: the hidden state of all streams, as `Workers.state`.
        """
        self._config, self._vocabulary = config, corpus.vocabulary
        self.model, self.averaged = model, model
        self._hidden = hidden
        self.progress = Progress(fingerprint=corpus.fingerprint)
        self._optimizer = make_optimizer(config.training, model.parameters.flat)
        self._average = None
        if config.training.ema_decay:
            self.averaged = new_network(config, len(corpus.vocabulary))
            self._average = Average(self.averaged.parameters.flat, config.training.ema_decay)

    @property
    def _slots(self) -> dict[str, Array]:
        """The arrays in a checkpoint besides the network and its state, each (P,)."""
        theta = {"theta": self.model.parameters.flat} if self._average else {}
        return self._optimizer.slots | theta

    def initialize(self, init: Checkpoint | None) -> None:
        """Draw the parameters, then copy those of a checkpoint over them."""
        sizes, seed = self._config.model, self._config.training.seed
        assert seed is not None
        self.model.initialize(sizes.init, seed, sizes.init_std)
        if init:
            carry_over(init, self.model.parameters, self._vocabulary)
        self.averaged.parameters.flat[...] = self.model.parameters.flat

    def update(self, g: Array, learning_rate: float, step: int) -> None:
        """Move the parameters against the gradient: weight decay, optimizer, running mean.

        Args:
            g: (P,) the clipped gradient; overwritten.
            learning_rate: η.
            step: counted from 1.
        """
        weight_decay = self._config.training.weight_decay
        if weight_decay:
            for weight in self.model.parameters.values():
                if weight.ndim == 2:
                    weight *= 1 - learning_rate * weight_decay
        theta = self.model.parameters.flat
        self._optimizer.update(theta, g, learning_rate, step)
        if self._average:
            self._average.update(theta, step)

    def is_finite(self) -> bool:
        """Return whether all parameters are finite."""
        return bool(np.isfinite(self.model.parameters.flat).all())

    def checkpoint(self, *, resumable: bool = True) -> Checkpoint:
        """Return the state as a checkpoint. The arrays are shared, not copied.

        Args:
            resumable: whether to include the hidden state and the optimizer's memory.
        """
        return Checkpoint(
            self._config,
            self._vocabulary,
            self.averaged,
            self.progress,
            self._hidden if resumable else None,
            self._slots if resumable else {},
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Copy everything from a resumable checkpoint."""
        self.progress = replace(checkpoint.progress)
        self.averaged.parameters.flat[...] = checkpoint.model.parameters.flat
        self._hidden[...] = checkpoint.hidden_state
        for name, slot in checkpoint.slots.items():
            self._slots[name][...] = slot

    def broadcast(self, ranks: Ranks) -> None:
        """Give all ranks the parameters and slots of rank 0.

        Without this, ranks on processors of different kinds could drift apart in the last bits.
        """
        for array in (self.averaged.parameters.flat, *self._slots.values()):
            ranks.broadcast(array)
