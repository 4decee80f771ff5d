"""Optimizers, averaging, clipping and learning-rate schedules.

Each optimizer updates all parameters θ as one flat array, in place, from the gradient g. Its slots
(running means, one number for each parameter) are stored in checkpoints.
"""

import math
from abc import ABC, abstractmethod

import numpy as np

from charnn.config.keys import TrainingConfig
from charnn.network.arrays import Array

_BLOCK = 32_768  # parameters updated at a time


class Optimizer(ABC):
    """A rule that moves θ against its gradient.

    Attributes:
        slots: the arrays of its memory by name, each (P,) like θ.
    """

    slot_names: tuple[str, ...] = ()

    def __init__(self, like: Array):
        self.slots = {name: np.zeros_like(like) for name in self.slot_names}
        self._scratch = np.empty_like(like[:_BLOCK])

    def update(self, theta: Array, g: Array, learning_rate: float, step: int) -> None:
        """Update θ in place; g may be overwritten.

        Args:
            theta: (P,) parameters.
            g: (P,) gradient.
            learning_rate: η.
            step: the number of this update, counted from 1.
        """
        # A rule reads its numbers ten times. In blocks, they stay in the cache.
        for start in range(0, len(theta), _BLOCK):
            block = slice(start, start + _BLOCK)
            slots = {name: slot[block] for name, slot in self.slots.items()}
            part = theta[block]
            self._apply(part, g[block], self._scratch[: len(part)], learning_rate, step, **slots)

    @abstractmethod
    def _apply(
        self, theta: Array, g: Array, scratch: Array, eta: float, step: int, **slots: Array
    ) -> None:
        """Apply the rule to some of the parameters; `scratch` has their shape."""


class SGD(Optimizer):
    """Stochastic gradient descent with momentum μ: v ← μ v + g, θ ← θ − η v."""

    slot_names = ("v",)

    def __init__(self, like: Array, momentum: float = 0.0):
        super().__init__(like)
        self.momentum = momentum

    def _apply(
        self, theta: Array, g: Array, scratch: Array, eta: float, step: int, **slots: Array
    ) -> None:
        v = slots["v"]
        v *= self.momentum
        v += g
        theta -= np.multiply(v, eta, out=scratch)


class Adagrad(Optimizer):
    """Duchi, Hazan & Singer 2011, ε inside the root: s ← s + g², θ ← θ − η g / √(s + ε)."""

    slot_names = ("s",)

    def __init__(self, like: Array, eps: float = 1e-8):
        super().__init__(like)
        self.eps = eps

    def _apply(
        self, theta: Array, g: Array, scratch: Array, eta: float, step: int, **slots: Array
    ) -> None:
        s = slots["s"]
        s += np.square(g, out=scratch)
        np.add(s, self.eps, out=scratch)
        np.sqrt(scratch, out=scratch)
        g *= eta
        g /= scratch
        theta -= g


class RMSprop(Optimizer):
    """Tieleman & Hinton 2012: s ← α s + (1 − α) g², θ ← θ − η g / (√s + ε)."""

    slot_names = ("s",)

    def __init__(self, like: Array, alpha: float = 0.99, eps: float = 1e-8):
        super().__init__(like)
        self.alpha = alpha
        self.eps = eps

    def _apply(
        self, theta: Array, g: Array, scratch: Array, eta: float, step: int, **slots: Array
    ) -> None:
        s = slots["s"]
        np.square(g, out=scratch)
        scratch -= s
        scratch *= 1 - self.alpha
        s += scratch
        np.sqrt(s, out=scratch)
        scratch += self.eps
        g *= eta
        g /= scratch
        theta -= g


class Adam(Optimizer):
    """Kingma & Ba 2015: m and v track the means of g and g², both corrected for their zero start.

    m ← m + (1 − β₁)(g − m), v ← v + (1 − β₂)(g² − v), θ ← θ − η m̂ / (√v̂ + ε),
    with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ).
    """

    slot_names = ("m", "v")

    def __init__(self, like: Array, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8):
        super().__init__(like)
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps

    def _apply(
        self, theta: Array, g: Array, scratch: Array, eta: float, step: int, **slots: Array
    ) -> None:
        m, v = slots["m"], slots["v"]
        np.subtract(g, m, out=scratch)
        scratch *= 1 - self.beta1
        m += scratch
        np.square(g, out=g)
        g -= v
        g *= 1 - self.beta2
        v += g
        # Correcting η and ε instead of m and v saves two passes over memory.
        root = math.sqrt(1 - self.beta2**step)
        np.sqrt(v, out=scratch)
        scratch += self.eps * root
        np.divide(m, scratch, out=scratch)
        scratch *= eta * root / (1 - self.beta1**step)
        theta -= scratch


def make_optimizer(config: TrainingConfig, like: Array) -> Optimizer:
    """Return the optimizer that a config names, with new slots in the shape of `like`, (P,)."""
    if config.optimizer == "sgd":
        return SGD(like, config.momentum)
    if config.optimizer == "adagrad":
        return Adagrad(like, config.eps)
    if config.optimizer == "rmsprop":
        return RMSprop(like, config.alpha, config.eps)
    return Adam(like, config.beta1, config.beta2, config.eps)


class Average:
    """Running mean of θ over the steps, with weights that fall by the factor β for each step.

    θ̄ ← θ̄ + (1 − β) / (1 − βᵗ) (θ − θ̄). After the first step it equals θ, so it has no
    bias towards zero.
    """

    def __init__(self, mean: Array, decay: float):
        """Average into `mean`, (P,)."""
        self._mean = mean
        self._decay = decay
        self._scratch = np.empty_like(mean[:_BLOCK])

    def update(self, theta: Array, step: int) -> None:
        """Add θ, (P,), after so many steps, counted from 1."""
        share = (1 - self._decay) / (1 - self._decay**step)
        for start in range(0, len(theta), _BLOCK):
            part = self._mean[start : start + _BLOCK]
            change = self._scratch[: len(part)]
            np.subtract(theta[start : start + _BLOCK], part, out=change)
            change *= share
            part += change


def clip(g: Array, max_norm: float | None, max_value: float | None) -> tuple[float, bool]:
    """Clip a gradient in place: the norm first (Pascanu, Mikolov & Bengio 2013), then elements.

    Args:
        g: (P,) gradient.
        max_norm: g is scaled down to this Euclidean norm, or None.
        max_value: every element is limited to ± this, or None.

    Returns:
        The norm before clipping, and whether anything was clipped.
    """
    norm = math.sqrt(float(np.dot(g, g)))
    clipped = False
    if max_norm is not None and norm > max_norm:
        g *= max_norm / norm
        clipped = True
    if max_value is not None:
        clipped |= bool(np.max(g) > max_value or np.min(g) < -max_value)
        np.clip(g, -max_value, max_value, out=g)
    return norm, clipped


def learning_rate_at(config: TrainingConfig, step: int, total_steps: int) -> float:
    """Return η of a step. It depends only on the config, the step and the total.

    Args:
        config: schedule, warmup_steps and their parameters.
        step: counted from 0.
        total_steps: of the whole run, over all invocations.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if step < warmup:
        return peak * (step + 1) / warmup
    if config.schedule == "cosine":
        done = (step - warmup) / max(1, total_steps - warmup)
        low = min(config.min_learning_rate, peak)
        return low + (peak - low) * (1 + math.cos(math.pi * min(1.0, done))) / 2
    if config.schedule == "step":
        return float(peak * config.gamma ** ((step - warmup) // config.step_size))
    return peak
