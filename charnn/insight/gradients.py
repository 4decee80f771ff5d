"""How far back the loss of one character reaches each layer: vanishing and exploding gradients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charnn.insight.reading import Floats, Reading, characters_before
from charnn.network.flow import gradients_back
from charnn.network.network import Network

LOST, EXPLODED = 0.01, 100.0  # shares of the gradient at lag 0


@dataclass(frozen=True)
class GradientFlow:
    """How the gradient of one layer's h or s shrinks or grows with the lag.

    Attributes:
        layer: the number of the layer, from 0.
        letter: "h" or "s".
        norms: for each lag k from 0, the mean over positions t of ‖∂L(t)/∂h(t−k)‖₂, or the same for
            s. L(t) is the loss, in nats, of the one character after x(t), along all paths.
        positions: the number of positions t, evenly spaced over the text.
        spectral_radius: the largest |eigenvalue| of W, or of any gate's block of W.
        largest_singular_value: of W, or of any gate's block of W.
    """

    layer: int
    letter: str
    norms: Floats
    positions: int
    spectral_radius: float
    largest_singular_value: float

    @property
    def name(self) -> str:
        """The number of the layer, with the letter of its state if that is not h."""
        return str(self.layer) if self.letter == "h" else f"{self.layer} {self.letter}"

    @property
    def shares(self) -> Floats:
        """The norms as shares of that at lag 0; all 0 if the gradient is 0."""
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
            return "dead: no gradient reaches it"
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
    model: Network,
    reading: Reading,
    lags: int = 200,
    positions: int = 100,
    boundary: int | None = None,
) -> list[GradientFlow]:
    """Follow the gradients of single losses back through time, in float64: to h, then to s.

    All positions are followed together. A short text has fewer lags. The lags also end where a
    gradient (or its square) overflows.

    Args:
        model: the model.
        reading: N characters read by it.
        lags: the furthest lag.
        positions: losses to follow, at most.
        boundary: for documents, the id of the boundary. A loss is followed back to the beginning
            of its document. The lags end where less than a tenth of the losses remain.
    """
    N = len(reading.ids)
    lags = min(lags, (N - 2) // 2)
    inside = characters_before(reading.ids, boundary)
    if boundary is not None:
        lags = min(lags, int(inside.max()))
    places = np.unique(np.linspace(lags, N - 2, positions).astype(np.intp))
    norms: list[Floats] = []
    with np.errstate(all="ignore"):  # the check below ends the lags
        back = gradients_back(model, reading.ids, reading.states, places, lags, boundary)
        for lag, (dh, _) in enumerate(back):
            reached = inside[places] >= lag
            found = np.linalg.norm(dh[:, reached], axis=2).mean(axis=1)
            if 10 * reached.sum() < len(places) or not np.isfinite(found).all():
                break
            norms.append(found)
    flows = []
    for index, layer_norms in enumerate(np.transpose(norms)):
        layer, letter = index % model.num_layers, "hs"[index // model.num_layers]
        W = model.recurrent_matrices(layer).astype(np.float64)
        radius = float(np.abs(np.linalg.eigvals(W)).max())
        flows.append(
            GradientFlow(
                layer, letter, layer_norms, len(places), radius, _largest_singular_value(W)
            )
        )
    return flows


def _largest_singular_value(matrices: Floats) -> float:
    return float(np.linalg.svd(matrices, compute_uv=False).max())
