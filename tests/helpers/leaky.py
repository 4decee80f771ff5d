"""A cell that charnn does not have: a leaky RNN, written as a user would add it.

    h(t) = (1 − α) h(t-1) + α tanh(U x(t) + W h(t-1) + b)

The tests register it to check the promise that a cell is one file and one line in the list.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import autograd.numpy as anp
import numpy as np

from charnn.network.arrays import Array
from charnn.network.cells.cell import Cell

ALPHA = 0.3
NAME, PLACE = "leaky", "tests.helpers.leaky:LeakyCell"
ROOT = Path(__file__).parents[2]


class LeakyCell(Cell):
    """h(t) = (1 − α) h(t-1) + α tanh(a)."""

    def step(self, a: Array, Wh: Array, before: Any, after: Any) -> None:
        np.add(a, Wh, a)
        np.tanh(a, a)
        np.multiply(before, 1 - ALPHA, after)
        after += ALPHA * a

    def window_back(self, a: Array, before: Any, after: Any, delta: Array) -> None:
        np.multiply(ALPHA, 1 - a * a, delta)

    def step_back(self, a: Array, delta: Array, d_after: Any, d_before: Any) -> None:
        delta *= d_after
        d_before += (1 - ALPHA) * d_after

    def textbook_step(self, p: Mapping[str, Array], x: Array, before: Any) -> tuple[Array, Array]:
        tanh = np.tanh(np.dot(p["U"], x) + np.dot(p["W"], before) + p["b"])
        return (1 - ALPHA) * before + ALPHA * tanh, tanh

    def textbook_back(
        self,
        p: Mapping[str, Array],
        g: Mapping[str, Array],
        x: Array,
        before: Any,
        after: Any,
        memory: Any,
        d_after: Any,
    ) -> tuple[Array, Array]:
        da = ALPHA * (1 - memory * memory) * d_after
        g["b"][...] += da
        g["U"][...] += np.dot(da, x.T)
        g["W"][...] += np.dot(da, before.T)
        return da, np.dot(p["W"].T, da) + (1 - ALPHA) * d_after


def leaky_step(p: Mapping[str, Any], x: Any, before: Any) -> Any:
    """Return the same step in autograd's NumPy, for the oracle."""
    a = x @ p["U"].T + before[0] @ p["W"].T + p["b"]
    return anp.stack([(1 - ALPHA) * before[0] + ALPHA * anp.tanh(a)])


def environment(folder: Path) -> dict[str, str]:
    """Return environment variables that register the cell in every new Python process."""
    (folder / "sitecustomize.py").write_text(
        f"from charnn.network.cells import CELLS\nCELLS[{NAME!r}] = {PLACE!r}\n"
    )
    return {"PYTHONPATH": f"{folder}:{ROOT}"}
