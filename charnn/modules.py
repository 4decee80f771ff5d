"""Identifies the tensors of a PyTorch module: the layers, the output layer and an embedding.

A module has an nn.RNN, nn.LSTM or nn.GRU, whose tensors have known names after any prefix, and an
nn.Linear and perhaps an nn.Embedding, which are recognised by their shapes.
"""

import re
from typing import Any, NamedTuple

from numpy.typing import NDArray

from charnn.showing import show_value

Tensors = dict[str, NDArray[Any]]

_RECURRENT = re.compile(r"(?:.*\.)?(weight|bias)_(ih|hh)_l(\d{1,4})")


class Parts(NamedTuple):
    """The tensors of a file by their roles."""

    recurrent: list[Tensors]  # of each layer: weight_ih, weight_hh and the biases if there are any
    output: NDArray[Any]  # (K, H)
    output_bias: NDArray[Any] | None
    embedding: NDArray[Any] | None  # (K, n)


def parts_of(tensors: Tensors) -> Parts:
    """Find the role of each tensor by its name and its shape."""
    recurrent: dict[int, Tensors] = {}
    others: Tensors = {}
    for name, array in tensors.items():
        if name.endswith("_reverse"):
            raise ValueError("a bidirectional network cannot write from left to right")
        if "weight_hr_l" in name:
            raise ValueError("an LSTM with projections (proj_size) is not among the cells here")
        if match := _RECURRENT.fullmatch(name):
            kind, side, layer = match.groups()
            part = recurrent.setdefault(int(layer), {})
            if f"{kind}_{side}" in part:
                raise ValueError(f"there are two {kind}_{side}_l{layer}; it has several networks")
            part[f"{kind}_{side}"] = array
        else:
            others[name] = array
    if sorted(recurrent) != list(range(len(recurrent))) or not recurrent:
        raise ValueError("it has no weight_ih_l0, weight_hh_l0 … of an nn.RNN, nn.LSTM or nn.GRU")
    layers = [recurrent[layer] for layer in range(len(recurrent))]
    for layer, found in enumerate(layers):
        for name in ("weight_ih", "weight_hh"):
            if name not in found:
                raise ValueError(f"{name}_l{layer} is missing")
            if found[name].ndim != 2:
                raise ValueError(f"{name}_l{layer} is not a matrix")
    H, n = layers[0]["weight_hh"].shape[1], layers[0]["weight_ih"].shape[1]
    if not H:
        raise ValueError("weight_hh_l0 has no columns")
    matrices = {name: array for name, array in others.items() if array.ndim == 2}
    output = _matrix_with(matrices, others, H, biased=True)
    bias = others.pop(_bias_of(output), None)
    V = others.pop(output)
    if bias is not None and bias.shape != (len(V),):
        raise ValueError(f"{show_value(_bias_of(output))} must have the shape {(len(V),)}")
    matrices.pop(output)
    embedding = others.pop(_matrix_with(matrices, others, n, biased=False)) if matrices else None
    if embedding is not None and len(embedding) != len(V):
        raise ValueError("the embedding and the output layer have different numbers of characters")
    if others:
        names = ", ".join(map(show_value, list(others)[:3]))
        raise ValueError(f"it has more than a recurrent network and a linear layer: {names}")
    return Parts(layers, V, bias, embedding)


def _matrix_with(matrices: Tensors, others: Tensors, columns: int, *, biased: bool) -> str:
    """Return the name of the matrix with so many columns. A bias decides between several."""
    fitting = [name for name, array in matrices.items() if array.shape[1] == columns]
    if len(fitting) > 1:
        fitting = [name for name in fitting if (_bias_of(name) in others) == biased]
    if len(fitting) != 1:
        what = "output layer, nn.Linear(H, K)" if biased else "embedding, nn.Embedding(K, n)"
        found = "several matrices" if fitting else "no matrix"
        raise ValueError(f"{found} with {columns} columns could be the {what}")
    return fitting[0]


def _bias_of(name: str) -> str:
    return f"{name.removesuffix('weight')}bias"


def check_shapes(parts: Parts, rows: int, H: int) -> None:
    """Check the tensors of all layers, before memory is allocated for the network."""
    below = len(parts.output) if parts.embedding is None else parts.embedding.shape[1]
    for layer, found in enumerate(parts.recurrent):
        shapes = {"weight_ih": (rows, below), "weight_hh": (rows, H)}
        for name, array in found.items():
            shape = shapes.get(name, (rows,))
            if array.shape != shape:
                raise ValueError(
                    f"{name}_l{layer} must have the shape {shape}, and has {array.shape}"
                )
        below = H
