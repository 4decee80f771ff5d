"""The cells a network can be made of.

A new cell is one file in this folder and one line in `CELLS`; a gated one is also in `GATED`. The
exported page needs it in pages/model.js. This file imports no NumPy, so that reading a config stays
fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charnn.network.cells.cell import Cell

# The name in a config, and the place of its class.
CELLS = {
    "rnn": "charnn.network.cells.rnn:RNNCell",
    "lstm": "charnn.network.cells.lstm:LSTMCell",
    "gru": "charnn.network.cells.gru:GRUCell",
}

GATED = frozenset({"lstm", "gru"})  # These have no `activation` to choose.


def cell_class(name: str) -> "type[Cell]":
    """Return the class of a cell by its name in `CELLS`."""
    module, _, attribute = CELLS[name].partition(":")
    found: type[Cell] = getattr(import_module(module), attribute)
    return found
