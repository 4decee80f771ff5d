"""TODO."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charnn.insight.reading import Floats, Reading
from charnn.network.loss import log_softmax
from charnn.network.network import RNN

LOST, EXPLODED = 0.01, 100.0  # shares of the gradient at lag 0


@dataclass(frozen=True)
class GradientFlow:
    """How the gradient of one layer fades, or grows, into the past.

    Attributes:
        norms: for each lag k from 0 the mean over positions t of ‖∂L(t)/∂h(t−k)‖₂, where L(t) is
            the loss, in nats, of the one character after x(t), and all paths count.
        positions: how many t, evenly spaced over the text.
        spectral_radius: the largest |eigenvalue| of W.
        largest_singular_value: of W.
    """

    norms: Floats
    positions: int
    spectral_radius: float
    largest_singular_value: float

    @property
    def shares(self) -> Floats:
        """The norms as shares of that at lag 0; all 0 where no gradient comes at all."""
        return self.norms / self.norms[0] if self.norms[0] else self.norms

    @property
    def reach(self) -> int | None:
        """The first lag with less than 1 % of the gradient at lag 0; None if all have more."""
        return _first(self.shares < LOST)

    @property
    def verdict(self) -> str:
        """One sentence: vanishes, explodes or holds."""
        lost, exploded = self.reach, _first(self.shares > EXPLODED)
        if lost == 0:
            return "dead: no gradient comes here at all"
        if lost and (not exploded or lost < exploded):
            return f"vanishes: less than 1 % is left after {_characters(lost)}"
        if exploded:
            return f"explodes: a hundredfold after {_characters(exploded)}"
        last = len(self.norms) - 1
        if not last:
            return "not known: the text is too short"
        return f"holds: {100 * self.shares[-1]:.0f} % is left after {_characters(last)}"


def _characters(count: int) -> str:
    return f"{count} character{'s' if count != 1 else ''}"


def _first(wanted: NDArray[np.bool_]) -> int | None:
    return int(wanted.argmax()) if wanted.any() else None


def gradient_flow(
    model: RNN, reading: Reading, lags: int = 200, positions: int = 100
) -> list[GradientFlow]:
    """Follow the gradients of single losses back through time, in float64; one result per layer.

    All positions go back together. In a short text there are fewer lags; they also end where a
    gradient (or its square) is too large for a number.

    Args:
        model: the model.
        reading: N characters read by it.
        lags: the furthest lag.
        positions: losses to follow, at most.
    """
    L, N, _ = reading.h.shape
    p = {name: array.astype(np.float64) for name, array in model.parameters.items()}
    lags = min(lags, (N - 2) // 2)
    t = np.unique(np.linspace(lags, N - 2, positions).astype(np.intp))
    # dL(t)/do(t) = ŷ(t) − onehot(x(t+1))
    do = np.exp(log_softmax(reading.h[-1, t] @ p["V"].T + p["c"]))
    do[np.arange(len(t)), reading.ids[t + 1]] -= 1
    da: list[Floats] = []  # of every layer, one character later
    norms: list[list[float]] = []
    with np.errstate(all="ignore"):  # looked for below
        for lag in range(lags + 1):
            arriving = do @ p["V"] if lag == 0 else np.zeros((len(t), model.hidden_size))
            now: list[Floats] = []
            found: list[float] = []
            for layer in reversed(range(L)):
                dh = arriving + da[layer] @ p[f"W{layer}"] if lag else arriving
                found.insert(0, float(np.linalg.norm(dh, axis=1).mean()))
                h = reading.h[layer, t - lag].astype(np.float64)
                now.insert(0, dh * (1 - h**2 if model.activation == "tanh" else h > 0))
                if layer:
                    arriving = now[0] @ p[f"U{layer}"]
            if not np.isfinite(found).all():
                break
            da = now
            norms.append(found)
    return [
        GradientFlow(
            np.array(layer_norms),
            len(t),
            float(np.abs(np.linalg.eigvals(p[f"W{layer}"])).max()),
            float(np.linalg.norm(p[f"W{layer}"], 2)),
        )
        for layer, layer_norms in enumerate(zip(*norms, strict=True))
    ]
