"""Checks gradients from back-propagation against central differences.

    ∂L/∂θ_i ≈ (L(θ + ε e_i) − L(θ − ε e_i)) / 2ε

In float64 the two agree to about 1e-8, so a wrong term is visible. A user's backward pass is
compared with ours.
"""

import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charnn.config.keys import ModelConfig
from charnn.draws import Purpose, generator
from charnn.errors import CharnnError
from charnn.insight.reading import Floats
from charnn.network.bptt import BPTT
from charnn.network.network import Network
from charnn.network.textbook import TextbookBPTT

EPSILON = 1e-5
TOLERANCE = 1e-6  # of the relative difference; finite differences are not more exact


class Window(NamedTuple):
    """A small network in float64 and the characters for the check.

    Attributes:
        network: all its parameters are random, including the biases.
        inputs: (T, B) character ids.
        targets: (T, B), the character after each input.
        state: (S, B, H), the state before the first character.
    """

    network: Network
    inputs: NDArray[np.intp]
    targets: NDArray[np.intp]
    state: Floats

    @classmethod
    def drawn(cls, model: ModelConfig, K: int, T: int, B: int, seed: int) -> "Window":
        """Draw the parameters, the characters and the state."""
        draw = generator(seed, Purpose.INIT)
        network = Network.from_config(model, K, np.float64)
        network.parameters.flat[...] = draw.normal(0, 0.5, network.num_parameters)
        inputs, targets = draw.integers(0, K, (2, T, B))
        state = draw.normal(0, 0.3, network.zero_state(B).shape)
        return cls(network, inputs, targets, state)

    def gradients(self, *, textbook: bool = False) -> dict[str, Floats]:
        """Return ∂L/∂θ by name, of the loss L summed over all characters, in nats."""
        T, B = self.inputs.shape
        bptt = TextbookBPTT(self.network) if textbook else BPTT(self.network, T, B)
        bptt(self.inputs, self.targets, self.state.copy())
        return {name: gradient.astype(np.float64) for name, gradient in bptt.gradients.items()}

    def differences(self) -> dict[str, Floats]:
        """Return the same by central differences."""
        bptt = BPTT(self.network, *self.inputs.shape)
        theta = self.network.parameters.flat
        found = np.empty_like(theta)
        for i, value in enumerate(theta.tolist()):
            losses = []
            for side in (EPSILON, -EPSILON):
                theta[i] = value + side
                losses.append(bptt(self.inputs, self.targets, self.state.copy()))
            theta[i] = value
            found[i] = (losses[0] - losses[1]) / (2 * EPSILON)
        views = self.network.parameters_in(found)
        return {name: view.astype(np.float64) for name, view in views.items()}


class Row(NamedTuple):
    """The comparison of two gradients of one parameter.

    Attributes:
        parameter: its name.
        shape: its shape.
        norm: the Euclidean norm of the right gradient.
        difference: ‖found − right‖ / max(‖found‖, ‖right‖), 0 if both are zero.
        worst: the index of the element that differs most.
        found: that element.
        right: the right value.
    """

    parameter: str
    shape: tuple[int, ...]
    norm: float
    difference: float
    worst: tuple[int, ...]
    found: float
    right: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is below 1e-6. NaN is not."""
        return self.difference < TOLERANCE


def distance(found: Floats, right: Floats) -> float:
    """Return ‖found − right‖ / max(‖found‖, ‖right‖)."""
    largest = max(float(np.linalg.norm(found)), float(np.linalg.norm(right)))
    return float(np.linalg.norm(found - right)) / largest if largest else 0.0


def compared(found: Mapping[str, Floats], right: Mapping[str, Floats]) -> list[Row]:
    """Compare gradients parameter by parameter."""
    rows = []
    for name, expected in right.items():
        mine = found[name]
        off = np.abs(mine - expected)
        worst = np.unravel_index(int(np.argmax(off)), off.shape)
        rows.append(
            Row(
                name,
                expected.shape,
                float(np.linalg.norm(expected)),
                distance(mine, expected),
                tuple(int(i) for i in worst),
                float(mine[worst]),
                float(expected[worst]),
            )
        )
    return rows


def of_a_file(path: Path, window: Window) -> dict[str, Floats]:
    """Return the gradients that the function `backward` of a Python file computes.

    It is called as `backward(parameters, inputs, targets, state)` with the parameters by name (U,
    W, b, V and c for one layer; U0, W0 and so on for several), the T characters and targets of one
    stream, and the state before, (S, H); all are copies. It returns a dict of the gradients of the
    loss summed over the characters, by the parameters' names, with or without a d in front: "dW0"
    or "W0". For a network with one layer, the 0 may be omitted.

    Raises:
        CharnnError: if the file fails, or returns something else. One line names file and line.
    """
    zero = "0" if window.network.num_layers == 1 else ""  # not in the names of a single layer
    arguments = (
        {key.removesuffix(zero): one.copy() for key, one in window.network.parameters.items()},
        window.inputs[:, 0].copy(),
        window.targets[:, 0].copy(),
        window.state[:, 0].copy(),
    )
    returned = _called(path, arguments)
    if not isinstance(returned, Mapping):
        raise CharnnError(f"{path}: backward must return a dict, got {type(returned).__name__}")
    found = {}
    for name, parameter in window.network.parameters.items():
        letters = [name, name.removesuffix("0")]
        given = [key for key in (*letters, *(f"d{one}" for one in letters)) if key in returned]
        if not given:
            own = name.removesuffix(zero)
            raise CharnnError(f"{path}: backward returns no gradient named d{own}")
        try:
            gradient = np.array(returned[given[0]], np.float64)
        except (TypeError, ValueError):
            raise CharnnError(f"{path}: {given[0]} is not an array of numbers") from None
        column = (*parameter.shape, 1) if parameter.ndim == 1 else parameter.shape
        if gradient.shape not in (parameter.shape, column):
            hint = ": is it transposed?" if gradient.shape == parameter.shape[::-1] else ""
            raise CharnnError(
                f"{path}: {given[0]} has the shape {gradient.shape}, expected {parameter.shape}"
                f"{hint}"
            )
        found[name] = gradient.reshape(parameter.shape)
    return found


def _called(path: Path, arguments: tuple[Any, ...]) -> Any:
    """Run the user's file and call its `backward`. Its output goes to stderr."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise CharnnError(f"{path}: {error.strerror or error}") from None
    try:
        code = compile(source, str(path), "exec")
    except SyntaxError as error:
        raise CharnnError(f"{path}:{error.lineno}: {error.msg}") from None
    except ValueError as error:  # NUL bytes, in Python 3.11
        raise CharnnError(f"{path}: {error}") from None
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        with redirect_stdout(sys.stderr):
            exec(code, names)
            if "backward" in names:
                return names["backward"](*arguments)
    except (Exception, SystemExit) as error:  # any error of the user's code becomes one line
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        place = f"{path}:{lines[-1]}" if lines else str(path)
        raise CharnnError(f"{place}: {type(error).__name__}: {error}") from None
    raise CharnnError(f"{path}: no function backward in it")
