"""The parameters of a network as one flat array with names, and their initial values."""

import math
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from charnn.draws import Purpose, generator
from charnn.network.arrays import Array
from charnn.network.spec import Spec
from charnn.showing import Shown

_SHOWN = 11  # arrays in the repr: all of three layers of an RNN


class Parameters(Shown, Mapping[str, Array]):
    """Named arrays that are views into one flat buffer, so that an optimizer updates them as one.

    Attributes:
        flat: (P,) all parameters, in the order of `Spec.shapes`.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], flat: Array):
        sizes = [math.prod(shape) for shape in shapes.values()]
        self.flat = flat
        ends = np.cumsum(sizes)
        self._views = {
            name: self.flat[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
        }

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __str__(self) -> str:
        shapes = [f"{name} {array.shape}" for name, array in islice(self.items(), _SHOWN)]
        more = len(self) - len(shapes)
        return ", ".join(shapes) + (f" … and {more:,} more" if more else "")

    def of_layer(self, layer: int) -> dict[str, Array]:
        """Return one layer's parameters by their letters: U, W, b and the cell's own."""
        number = str(layer)
        return {name[:1]: array for name, array in self.items() if name[1:] == number}


def initialize(
    parameters: Parameters, spec: Spec, init: str, seed: int, std: float | None = None
) -> None:
    """Draw the initial parameters. The cell defines the biases; most are zero.

    The initial U is so large that U x(t) differs from character to character by about 1. For the
    first layer, the fan-in counts as 1, because only one of the K numbers of a one-hot vector is
    not zero. With a smaller U, all gradients have the same direction at first. Adam follows them
    until the units are saturated, and many networks never recover (docs/learning.md).

    Args:
        parameters: written.
        spec: of their network.
        init: "uniform": each matrix on ±1/√n with n the fan-in (the heuristic of Glorot & Bengio
            2010, eq. 1), but U on ±g√(3/n), whose variance is g²/n (LeCun et al. 1998, section
            4.6, with g = 1), where g is the cell's `gain`; "orthogonal" or "identity" (Le, Jaitly
            & Hinton 2015) for every gate's block of W, the rest uniform.
        seed: of the draws, which are the same for float32 and float64.
        std: if given, draw every matrix from normal(0, std) instead.
    """
    for stream, (name, parameter) in enumerate(parameters.items()):
        if parameter.ndim == 1:
            parameter[...] = 0
            if name[0] == "b":
                blocks = np.split(parameter, spec.cell_class.gates)
                for block, value in zip(blocks, spec.cell_class.bias, strict=True):
                    block[...] = value
            continue
        draw = generator(seed, Purpose.INIT, stream=stream)
        if std is not None:
            with np.errstate(over="ignore"):  # saving refuses values that are not finite
                parameter[...] = draw.normal(0, std, parameter.shape)
        elif name.startswith("W") and init in ("orthogonal", "identity"):
            for block in np.split(parameter, spec.cell_class.gates):
                orthogonal = init == "orthogonal"
                H = spec.hidden_size
                block[...] = _orthogonal(draw, H) if orthogonal else np.eye(H)
        else:
            fan_in = 1 if name == "U0" else parameter.shape[1]
            variance = spec.cell_class.gain**2 if name[0] == "U" else 1 / 3
            bound = math.sqrt(3 * variance / fan_in)
            parameter[...] = draw.uniform(-bound, bound, parameter.shape)


def _orthogonal(draw: np.random.Generator, size: int) -> Array:
    """Return a (size, size) matrix drawn uniformly from all orthogonal ones."""
    Q, R = np.linalg.qr(draw.normal(size=(size, size)))
    # With R's diagonal positive, Q is uniform over all orthogonal matrices.
    return np.asarray(Q * np.sign(np.diag(R)))
