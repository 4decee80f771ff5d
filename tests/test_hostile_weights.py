"""Hostile files of weights are refused in one line, in seconds, with little extra memory."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MB = 2**20
BOUND = 128 * MB  # beyond the size of the file
LONG = 19_000_000  # characters: nearly as many as a header may have

# The script imports a file. It prints the reason for a refusal, the CPU time and the peak memory.
PROBE = """
import json, pathlib, re, sys, time
from charnn.errors import CharnnError
from charnn.exchange import imported
def memory(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+)", status)[1]) * 1024
before, began, reason = memory("VmRSS"), time.process_time(), None
try:
    imported(pathlib.Path(sys.argv[1]))
except CharnnError as error:
    reason = str(error)
print(json.dumps([reason, time.process_time() - began, memory("VmHWM") - before]))
"""


def tensors(shapes: dict[str, list[int]], **metadata: str) -> tuple[dict[str, Any], int]:
    """Return a header for tensors in float32, and the size of these in bytes."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return header, end


TINY = {"weight_ih_l0": [1, 1], "weight_hh_l0": [1, 1], "fc.weight": [1, 1]}
H = 2000
DEEP = {"weight_ih_l0": [H, 1], "weight_hh_l0": [H, H], "fc.weight": [1, H]}
for layer in range(1, 6000):
    DEEP |= {f"weight_ih_l{layer}": [0, 1], f"weight_hh_l{layer}": [1, 0]}

HOSTILE: dict[str, Callable[[], tuple[dict[str, Any], int]]] = {
    "more tensors than a header may have": lambda: tensors({f"t{i}": [0] for i in range(100_000)}),
    "as many tensors as the header may have": lambda: tensors(
        {f"t{i}": [0] for i in range(48_000)}
    ),
    "layers without rows": lambda: tensors(
        {f"weight_{side}_l{i}": [0, 1] for i in range(9999) for side in ("ih", "hh")}
    ),
    "layers of other shapes": lambda: tensors(DEEP, vocabulary='"a"'),
    "a long name": lambda: tensors({"a" * LONG: [0]}),
    "many dimensions": lambda: tensors({"a": [1] * 190_000 + [0]}),
    "a long vocabulary": lambda: tensors(TINY, vocabulary='"' + "a" * LONG + '"'),
    "a deep vocabulary": lambda: tensors(TINY, vocabulary="[" * LONG),
    "a long activation": lambda: tensors(TINY, vocabulary='"a"', activation="a" * LONG),
    "a config of a number": lambda: tensors(TINY, vocabulary='"a"', config="1" * LONG),
    "a config of unknown keys": lambda: tensors(
        TINY, vocabulary='"a"', config=json.dumps({f"k{i}": 1 for i in range(20_000)})
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_weights_cost_little(name: str, tmp_path: Path) -> None:
    header, size = HOSTILE[name]()
    text = json.dumps(header, separators=(",", ":")).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    command = [sys.executable, "-c", PROBE, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    reason, seconds, memory = json.loads(answer.stdout)
    assert reason.startswith(f"{path}: ")
    assert reason.isprintable()
    assert len(reason) < 1000
    assert seconds < 5  # CPU time, so other processes do not count
    assert memory < path.stat().st_size + BOUND
