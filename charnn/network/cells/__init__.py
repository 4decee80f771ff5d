"""The recurrent cells that a config can name.

A new cell is one file in this folder and one line in `CELLS`. This module imports nothing, so that
reading a config stays fast.
"""

# Name in a config -> where its class is.
CELLS: dict[str, str] = {"rnn": "charnn.network.cells.rnn:RNNCell"}
