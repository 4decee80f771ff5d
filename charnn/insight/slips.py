"""Slips that people make when they write back-propagation through time, known by their results.

Each slip is made on purpose in a plain backward pass of the vanilla RNN with one layer. A gradient
that equals one of these results, and not the right one, has that slip.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from charnn.insight.gradcheck import TOLERANCE, Window, distance
from charnn.insight.reading import Floats

Terms = list[Floats]  # of each step, in the order in which they are added: the last step first

# Slips that change da(t), and so dU, dW and db together.
PASSES = {
    "slope": "1 − h(t)², the slope of tanh, is left out of da(t)",
    "future": "Wᵀ da(t+1), what comes from the step after, is left out of dh(t)",
    "transpose": "dh(t) gets W da(t+1) and should get Wᵀ da(t+1)",
    "loss": "Vᵀ do(t), what comes from the loss at t, is left out of dh(t)",
    "early": "dh(t) gets Wᵀ dh(t+1) and should get Wᵀ da(t+1): the slope is left out on the way",
}


def likely_slip(found: Mapping[str, Floats], window: Window, parameter: str) -> str:
    """Say what is likely wrong with a gradient, of a vanilla network with one layer.

    Args:
        found: gradients by name.
        window: what they were computed on; one stream.
        parameter: whose gradient is wrong.
    """
    gradient = found[parameter]
    if not np.isfinite(gradient).all():
        return "it has numbers that are not finite"
    if not gradient.any():
        return f"it is zero: nothing is added to d{parameter}"
    for words, candidate in _candidates(window, parameter):
        if distance(gradient, candidate) < TOLERANCE:
            return words
    return "no slip that is known here"


def _candidates(window: Window, parameter: str) -> Iterator[tuple[str, Floats]]:
    """Yield descriptions of slips and the gradients that they give."""
    letter, right = parameter[0], _terms(window, "")
    da, do, h, before = right["a"], right["o"], right["h"], right["before"]
    for words, combine in _SUMS.items():
        yield words, combine(right[letter])
    if letter in "UWb":
        for slip, words in PASSES.items():
            yield words, _sum(_terms(window, slip)[letter])
    if letter == "W":
        yield "it takes h(t), and should take h(t−1)", _outer(da, h)
    if letter == "V":
        yield "it takes h(t−1), and should take h(t)", _outer(do, before)
        words = "da(t) is added to it, which belongs to dW, dU and db"
        mixed = _outer(do, h)
        K, H = mixed.shape
        yield words, mixed + _sum(da)
        if K == H:
            outer = _outer(da, h)
            yield words, mixed + outer
            yield words, outer
            yield words, mixed + _sum(da)[:, None]
    if letter in "UWV" and right[letter][0].shape[0] == right[letter][0].shape[1]:
        yield "it is transposed", _sum(right[letter]).T


def _sum(terms: Terms) -> Floats:
    total: Floats = np.sum(terms, axis=0)
    return total


def _outer(left: Terms, right: Terms) -> Floats:
    return _sum([np.outer(one, other) for one, other in zip(left, right, strict=True)])


def _doubling(terms: Terms) -> Floats:
    total = np.zeros_like(terms[0])
    for term in terms:
        total = total + total + term
    return total


_SUMS: dict[str, Callable[[Terms], Floats]] = {
    "it is added to itself at each step": _doubling,
    "it has the wrong sign": lambda terms: -_sum(terms),
    "it has only one step: = stands where += belongs": lambda terms: terms[-1],
    "it has only the last step": lambda terms: terms[0],
    "it is added twice": lambda terms: 2 * _sum(terms),
    "it is the mean over the steps, and should be their sum": lambda terms: (
        _sum(terms) / len(terms)
    ),
    "the first step is left out": lambda terms: _sum(terms[:-1]),
    "the last step is left out": lambda terms: _sum(terms[1:]),
}


def _terms(window: Window, slip: str) -> dict[str, Terms]:
    """Run a backward pass with a slip; return what each step adds, and what it is made of."""
    p, state = window.network.parameters, window.state[0, 0]
    U, W, b, V, c = (p[name] for name in ("U0", "W0", "b0", "V", "c"))
    x, y = window.inputs[:, 0], window.targets[:, 0]
    h = [state]
    for character in x:
        h.append(np.tanh(U[:, character] + W @ h[-1] + b))
    found: dict[str, Terms] = {name: [] for name in ("U", "W", "b", "V", "c", "a", "o", "h")}
    found["before"] = []
    later = np.zeros_like(state)
    for t in reversed(range(len(x))):
        o = V @ h[t + 1] + c
        do = np.exp(o) / np.exp(o).sum()
        do[y[t]] -= 1
        dh = later if slip == "loss" and t < len(x) - 1 else V.T @ do + later
        da = dh if slip == "slope" else (1 - h[t + 1] ** 2) * dh
        later = {
            "future": np.zeros_like(dh),
            "transpose": W @ da,
            "early": W.T @ dh,
        }.get(slip, W.T @ da)
        dU = np.zeros_like(U)
        dU[:, x[t]] = da
        for name, term in {
            "U": dU,
            "W": np.outer(da, h[t]),
            "b": da,
            "V": np.outer(do, h[t + 1]),
            "c": do,
            "a": da,
            "o": do,
            "h": h[t + 1],
            "before": h[t],
        }.items():
            found[name].append(term)
    return found
