"""Hostile checkpoints are refused in one line, within a second, with little extra memory."""

import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.checkpoints import in_json, make_checkpoint, repack, spoil

MB = 2**20
BOUND = 64 * MB  # beyond the size of the file

# The script loads each file. It prints the reason for a refusal, the seconds and the peak memory.
PROBE = """
import json, pathlib, re, sys, time
from charnn import load
from charnn.errors import CheckpointError
def memory(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+)", status)[1]) * 1024
load(sys.argv[1])
for path in sys.argv[2:]:
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began, reason = memory("VmRSS"), time.perf_counter(), None
    try:
        load(path)
    except CheckpointError as error:
        reason = str(error)
    print(json.dumps([path, reason, time.perf_counter() - began, memory("VmHWM") - before]))
"""


def directory_bomb(path: Path) -> None:
    """A list of hundreds of thousands of empty members."""
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, *[0] * 4, 0, 0, 0, *[0] * 5, 0, 0
    )
    count = 8 * MB // len(entry)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, count * len(entry), 0, 0)
    path.write_bytes(entry * count + end)


def overlapping_members(path: Path) -> None:
    """Thousands of members that share the same bytes."""
    content = bytes(MB)
    name = b"V.npy"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(content), MB, MB, 5, 0)
    entries = b""
    for number in range(5000):
        other = b"U%04d.npy" % number
        entries += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, zlib.crc32(content), MB, MB, len(other),
            *[0] * 4, 0, 0,
        ) + other  # fmt: skip
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5000, 5000, len(entries), 30 + 5 + MB, 0)
    path.write_bytes(local + name + content + entries + end)


def compressed_zeros(path: Path) -> None:
    """Very many zeros in very few bytes."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("V.npy", "w") as f,
    ):
        for _ in range(256):
            f.write(bytes(MB))


def claims_terabytes(path: Path) -> None:
    """A header that claims more bytes than any disk holds."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 8), }\n"
    repack(path, "V.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(64))


def claims_terabytes_of_nothing(path: Path) -> None:
    """A huge shape that needs no bytes, because its other length is 0."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 900000000000000000), }\n"
    repack(path, "V.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)


def large_header(path: Path) -> None:
    """A member that is mostly header."""
    repack(path, "V.npy", b"\x93NUMPY\2\0" + struct.pack("<L", 8 * MB) + b" " * 8 * MB)


def wrong_seal(path: Path) -> None:
    """A file with a large array, whose checksum is wrong."""
    spoil(path, {"U1": np.zeros(4 * MB, np.float32)}, seal=False)


def unexpected_large(path: Path) -> None:
    """A sealed file with a large array that has no place in it."""
    spoil(path, {"U1": np.zeros(4 * MB, np.float32)})


def text(member: str, content: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        spoil(path, {member: np.array(content)})

    return change


def values(member: str, section: str, **changed: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        spoil(path, {member: in_json(section, **changed)})

    return change


HOSTILE: dict[str, Callable[[Path], None]] = {
    "directory bomb": directory_bomb,
    "overlapping members": overlapping_members,
    "compressed zeros": compressed_zeros,
    "terabytes": claims_terabytes,
    "terabytes of nothing": claims_terabytes_of_nothing,
    "large header": large_header,
    "wrong seal": wrong_seal,
    "unexpected large array": unexpected_large,
    "long config, wrong throughout": text(
        "config", json.dumps({"data": {"path": [["a"]] * 35_000}})
    ),
    "long config": text("config", '{"data": {"path": [' + ",".join(['"a"'] * 2_000_000) + "]}}"),
    "deep JSON": text("config", "[" * 200_000),
    "deep progress": text("progress", '{"step":' * 30_000),
    "many keys": text("progress", json.dumps({str(key): 0 for key in range(20_000)})),
    "long number": values("progress", "", step=10**4000),
    "large number": values("progress", "", step=2**63),
    "no fingerprint": values("progress", "", fingerprint="\x1b[2J" * 1000),
    "layers": values("config", "model", num_layers=2**62),
    "units": values("config", "model", hidden_size=2**62),
    "streams": values("config", "training", batch_size=2**62),
    "whole vocabulary": lambda path: spoil(
        path, {"vocabulary": np.arange(0xD800, dtype=np.uint32)}
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, float, int]]:
    """The probe's results for each file: reason, seconds, and bytes beyond the file's size."""
    folder = tmp_path_factory.mktemp("hostile")
    good = folder / "good.npz"
    make_checkpoint().save(good)
    paths = {name: folder / f"{number}.npz" for number, name in enumerate(HOSTILE)}
    for name, path in paths.items():
        path.write_bytes(good.read_bytes())
        HOSTILE[name](path)
    command = [sys.executable, "-c", PROBE, str(good), *map(str, paths.values())]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {path: rest for path, *rest in map(json.loads, printed.splitlines())}
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    return {
        name: (found[str(path)][0], found[str(path)][1], found[str(path)][2] - sizes[name])
        for name, path in paths.items()
    }


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "streams"])
def test_it_is_refused_in_one_short_line(
    answers: dict[str, tuple[str | None, float, int]], name: str
) -> None:
    reason = answers[name][0]
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) < 500


def test_a_batch_size_that_is_not_that_of_the_state_costs_nothing(
    answers: dict[str, tuple[str | None, float, int]],
) -> None:
    # A short text makes the batch smaller, so the config's number is only a bound.
    assert answers["streams"][0] is None


@pytest.mark.parametrize("name", HOSTILE)
def test_it_costs_neither_time_nor_memory(
    answers: dict[str, tuple[str | None, float, int]], name: str
) -> None:
    _, seconds, beyond = answers[name]
    assert seconds < 1
    assert beyond < BOUND, f"{beyond / MB:.1f} MB more than the file has"
