"""Common mistakes in hand-written back-propagation through time, recognised by their results.

This module makes each slip on purpose in a plain backward pass of the vanilla RNN with one layer.
If a gradient equals such a result, and not the right one, it has that slip.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from charnn.insight.gradcheck import TOLERANCE, Window, distance
from charnn.insight.reading import Floats

Terms = list[Floats]  # of each step, in the order of their addition: the last step first

# Slips that change da(t), and so dU, dW and db together.
PASSES = {
    "slope": "1 − h(t)², the slope of tanh, is left out of da(t)",
    "future": "Wᵀ da(t+1), the part from the next step, is missing in dh(t)",
    "transpose": "dh(t) gets W da(t+1) and should get Wᵀ da(t+1)",
    "loss": "Vᵀ do(t), the part from the loss at t, is missing in dh(t)",
    "early": "dh(t) gets Wᵀ dh(t+1) and should get Wᵀ da(t+1): the slope is left out on the way",
    "late": "Wᵀ da(t+1) is added after the slope: da(t) = (1 − h(t)²) ⊙ (Vᵀ do(t) + Wᵀ da(t+1))",
    "output": "dh(t) gets V do(t) and should get Vᵀ do(t)",
    "linear": "the slope of tanh is 1 − h(t)², not 1 − h(t)",
    "sigmoid": "the slope of tanh is 1 − h(t)², not h(t) (1 − h(t))",
    "again": "the slope of tanh is 1 − h(t)²: h(t) is tanh a(t) already",
    "before": "it takes the slope at h(t−1), and should take 1 − h(t)²",
    "sum": "Wᵀ da of all later steps is added to dh(t), and should be that of the next step alone",
    "end": "the last step is left out",
    "forwards": "the loop runs forwards, and should run from the last step to the first",
}

# A slip that changes all gradients.
STATE = "it starts from h(0) = 0, and should start from the given state"


def likely_slip(found: Mapping[str, Floats], window: Window, parameter: str) -> str:
    """Describe the likely error in a gradient of a vanilla network with one layer.

    Args:
        found: gradients by name.
        window: the network and characters of the gradients; one stream.
        parameter: the name of the parameter with the wrong gradient.
    """
    gradient = found[parameter]
    if not np.isfinite(gradient).all():
        return "it has numbers that are not finite"
    if not gradient.any():
        if not any(found[name].any() for name in ("U0", "W0", "b0")):
            return "dU, dW and db are zero, so da(t) is: is Vᵀ do(t) in dh(t)?"
        return f"it is zero: nothing, or only itself, is added to d{parameter}"
    for words, candidate in _candidates(window, parameter, gradient):
        if distance(gradient, candidate) < TOLERANCE:
            return words
    return "no slip that is known here"


def _candidates(window: Window, parameter: str, found: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield descriptions of slips and the gradients that they give."""
    letter, right = parameter[0], _terms(window, "")
    da, do, h, before = right["a"], right["o"], right["h"], right["before"]
    for words, combine in _SUMS.items():
        yield words, combine(right[letter])
    yield STATE, _sum(_terms(window, "state")[letter])
    largest = float(np.abs(found).max())
    yield f"it is clipped to ± {largest:g}", np.clip(_sum(right[letter]), -largest, largest)
    if letter in "UWb":
        own = {"U": right["x"], "W": before}.get(letter)
        left_out = _sum(right["dh"]) if own is None else _outer(right["dh"], own)
        yield "it takes dh(t), and should take da(t)", left_out
        for slip, words in PASSES.items():
            if slip == "output" and len(do[0]) != len(da[0]):
                continue
            yield words, _sum(_terms(window, slip)[letter])
    if letter == "W":
        yield "it takes h(t), and should take h(t−1)", _outer(da, h)
    if letter == "V":
        yield "it takes h(t−1), and should take h(t)", _outer(do, before)
        words = "da(t) is added to it, which belongs to dW, dU and db"
        mixed = _outer(do, h)
        K, H = mixed.shape
        yield words, mixed + _sum(da)
        yield words, mixed * 0 + _sum(da)
        if K == H:
            for outer in (_outer(da, h), _outer(da, before), _sum(da)[:, None] + mixed * 0):
                yield words, mixed + outer
                yield words, outer
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
    "it is added to itself at each step, after the term": lambda terms: 2 * _doubling(terms),
    "it has the wrong sign": lambda terms: -_sum(terms),
    "it has only one step: use += instead of =": lambda terms: terms[-1],
    "it has only the last step": lambda terms: terms[0],
    "it is twice what it should be": lambda terms: 2 * _sum(terms),
    "it is the mean over the steps, and should be their sum": lambda terms: (
        _sum(terms) / len(terms)
    ),
    "the first step is left out": lambda terms: _sum(terms[:-1]),
    "the last step is left out": lambda terms: _sum(terms[1:]),
}


def _terms(window: Window, slip: str) -> dict[str, Terms]:
    """Run a backward pass with a slip; return the terms of each step, and their factors."""
    p, state = window.network.parameters, window.state[0, 0] * (slip != "state")
    U, W, b, V, c = (p[name] for name in ("U0", "W0", "b0", "V", "c"))
    x, y = window.inputs[:, 0], window.targets[:, 0]
    h = [state]
    for character in x:
        h.append(np.tanh(U[:, character] + W @ h[-1] + b))
    names = ("U", "W", "b", "V", "c", "a", "o", "h", "dh", "x", "before")
    found: dict[str, Terms] = {name: [] for name in names}
    later = np.zeros_like(state)
    times = range(len(x)) if slip == "forwards" else reversed(range(len(x) - (slip == "end")))
    for t in times:
        o = V @ h[t + 1] + c
        do = np.exp(o) / np.exp(o).sum()
        do[y[t]] -= 1
        from_loss = V @ do if slip == "output" else V.T @ do
        if slip == "loss" and t < len(x) - 1:
            from_loss = np.zeros_like(state)
        dh = from_loss + later
        slope = {
            "slope": np.ones_like(dh),
            "linear": 1 - h[t + 1],
            "sigmoid": h[t + 1] * (1 - h[t + 1]),
            "again": 1 - np.tanh(h[t + 1]) ** 2,
            "before": 1 - h[t] ** 2,
        }.get(slip, 1 - h[t + 1] ** 2)
        da = slope * from_loss + later if slip == "late" else slope * dh
        later = {
            "future": np.zeros_like(dh),
            "transpose": W @ da,
            "early": W.T @ dh,
            "sum": later + W.T @ da,
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
            "dh": dh,
            "x": np.eye(len(U[0]))[x[t]],
            "before": h[t],
        }.items():
            found[name].append(term)
    return found
