"""Files of weights for `charnn import`, made from a sequence of choices. Most have an error.

A fuzzer that changes bytes of a file rarely gets past its header. Here it changes the choices: the
module, then the errors in its tensors, its metadata and its header.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from charnn.checkpoint.checkpoint import load
from charnn.config.keys import Config
from charnn.config.writing import config_json
from charnn.errors import CharnnError
from charnn.exchange import imported
from charnn.showing import BOUNDARY
from tests.campaigns.answers import check_lines, same

Choose = Callable[[int], int]  # returns a number from 0 to its argument − 1
Tensors = dict[str, tuple[str, list[int]]]  # types and shapes by name

_SIZES = {"F32": 4, "F16": 2, "F64": 8, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1, "F8_E4M3": 1}
_TYPES = [*_SIZES, "F4", "f32", ""]
_NAMES = [
    *("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l1", "weight_hh_l1"),
    *("weight_hh_l00", "weight_hh_l9999", "weight_ih_l\u0660", "bias_hh_l0_reverse"),
    *("weight_hr_l0", "a.weight_hh_l0", "a.weight", "a.bias", "b.weight", "weight", "bias", ""),
    *("\x1b[31m\n", "\u202e", "n" * 3000),
]
_DIMENSIONS = [0, 1, 2, 3, 4, 6, 12, 20_000, 2**31, 2**40, 2**64 - 1]
_NUMBERS = [0.0, 1.0, -0.5, 6e4, 3e38, float("nan"), float("inf"), 1e-45]
_CONFIGS = [
    Config(),
    Config.model_validate({"data": {"documents": "lines"}}),
    Config.model_validate({"data": {"documents": "text:" + "x" * 300_000}}),
    Config.model_validate({"model": {"activation": "relu"}, "training": {"dtype": "float64"}}),
]
_WORDS = ['"rnn"', "null", "1e999", "[]", "{}", "-1", '"\\ud800"', "9" * 5000, '"x', "[" * 5000]
_MOST_BYTES = 1 << 20  # larger tensors are cut


def module(choose: Choose) -> tuple[Tensors, int]:
    """Return the tensors of a module as PyTorch saves them, and K."""
    G, H, layers = (1, 4, 3)[choose(3)], 1 + choose(3), 1 + choose(2)
    K = 20_000 if choose(16) == 15 else 1 + choose(4)
    width = 1 + choose(3) if choose(2) else None
    dtype, prefix = ("F32", "F16", "F64")[choose(3)], ("", "rnn.", "a.b.")[choose(3)]
    shapes = {"out.weight": [K, H]}
    if choose(2):
        shapes["out.bias"] = [K]
    if width:
        shapes["embedding.weight"] = [K, width]
    for layer in range(layers):
        shapes[f"{prefix}weight_ih_l{layer}"] = [G * H, H if layer else width or K]
        shapes[f"{prefix}weight_hh_l{layer}"] = [G * H, H]
        if choose(2):
            shapes |= {f"{prefix}bias_{side}_l{layer}": [G * H] for side in ("ih", "hh")}
    return {name: (dtype, shape) for name, shape in shapes.items()}, K


def spoil(tensors: Tensors, choose: Choose) -> None:
    """Change one thing in a list of tensors."""
    name = list(tensors)[choose(len(tensors))] if tensors else ""
    dtype, shape = tensors.get(name, ("F32", [1, 1]))
    other, kind = _NAMES[choose(len(_NAMES))], choose(7)
    if kind == 0:
        tensors.pop(name, None)
    elif kind == 1:
        tensors[other] = tensors.pop(name, (dtype, shape))
    elif kind == 2 and shape:
        at = choose(len(shape))
        changed = _DIMENSIONS[choose(len(_DIMENSIONS))]
        tensors[name] = dtype, [*shape[:at], changed, *shape[at + 1 :]]
    elif kind == 3:
        tensors[name] = dtype, [*shape, 1] if choose(2) else shape[1:]
    elif kind == 4:
        tensors[name] = _TYPES[choose(len(_TYPES))], shape
    elif kind == 5:
        sizes = [_DIMENSIONS[choose(len(_DIMENSIONS))] for _ in range(choose(4))]
        tensors[other] = dtype, sizes
    else:
        tensors[other] = dtype, shape


def metadata(K: int, choose: Choose) -> dict[str, Any]:
    """Return the metadata of a file: what `charnn export` writes, or nonsense."""
    many = "".join(map(chr, range(0x3400, 0x3400 + K)))
    valid = (many, many[::-1], "d中😀\x1b"[:K], "abc"[: K - 1] + BOUNDARY)[choose(4)]
    wrong = ("\ud801b", "aaaa", "", "abcde")[choose(4)]
    characters = wrong if choose(8) == 7 else valid
    found: dict[str, Any] = {"vocabulary": json.dumps(characters)}
    if BOUNDARY in characters:
        found["config"] = config_json(_CONFIGS[1])
    if choose(3) == 2:
        found["config"] = config_json(_CONFIGS[choose(len(_CONFIGS))])
    if choose(2):
        found["activation"] = ("tanh", "tanh", "relu", "selu", "\x1b")[choose(5)]
    if choose(8) == 7:
        key = ("vocabulary", "config", "activation")[choose(3)]
        word, whole = _WORDS[choose(len(_WORDS))], found.get(key, "")
        at = choose(len(whole) + 1)
        found[key] = (word, whole[:at] + word + whole[at:], whole[:at])[choose(3)]
    if choose(16) == 15:
        found[("config", "x")[choose(2)]] = (1, None, {"a": "b"})[choose(3)]
    return found


def weights(choose: Choose) -> bytes:
    """Return a safetensors file, whole or slightly broken."""
    tensors, K = module(choose)
    for _ in range((0, 0, 1, 1, 2, 3)[choose(6)]):
        spoil(tensors, choose)
    header: dict[str, Any] = {} if choose(16) == 15 else {"__metadata__": metadata(K, choose)}
    number, data = _NUMBERS[choose(len(_NUMBERS))] if choose(8) == 7 else 0.5, b""
    for name, (dtype, shape) in tensors.items():
        count = int(np.prod([min(size, 2**21) for size in shape], dtype=float))
        size = min(count * _SIZES.get(dtype, 1), _MOST_BYTES)
        kind = {"F16": np.float16, "F64": np.float64}.get(dtype, np.float32)
        with np.errstate(over="ignore"):
            one = np.array(number, kind).tobytes()
        header[name] = {"dtype": dtype, "shape": shape}
        header[name]["data_offsets"] = [len(data), len(data) + size]
        data += (one * (size // len(one) + 1))[:size]
    if choose(16) == 15 and tensors:  # make offsets overlap, leave a gap, or lie outside
        first = header[list(tensors)[choose(len(tensors))]]
        at, moved = choose(2), (0, 1, 4, -4, 2**40, -(2**63))[choose(6)]
        first["data_offsets"][at] = moved if choose(2) else first["data_offsets"][at] + moved
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    length = len(text)
    if choose(16) == 15:
        length = (0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1)[choose(7)]
    content = struct.pack("<Q", length) + text + data
    if choose(16) == 15:
        at = choose(len(content))
        content = content[:at] + bytes([choose(256)]) + content[at + choose(3) :]
    return content


def check_import(content: bytes, path: Path) -> bool:
    """Import a file: the answer is one clear line, or a finite model that can be saved."""
    path.write_bytes(content)
    copy = path.with_suffix(".npz")
    try:
        found = imported(path)
        found.save(copy)
    except CharnnError as error:
        check_lines(error)
        return False
    assert np.isfinite(found.model.parameters.flat).all()
    assert same(load(copy), found)
    return True
