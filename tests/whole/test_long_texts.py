"""Training on a long text takes little memory. A full temporary folder gives one line."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

TRAIN = [sys.executable, "-m", "charnn", "train", "--out", "run.npz", "--max-steps", "2"]


TRAIN += ["--set", "model.hidden_size=8", "--set", "data.val_fraction=0"]


def long_text(folder: Path, megabytes: int) -> None:
    with (folder / "long.txt").open("wb") as file:
        for _ in range(megabytes):
            file.write(b"to be or not to be, \n" * 50_000)


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    long_text(tmp_path, 250)
    peak = 0
    with subprocess.Popen([*TRAIN, "--data", "long.txt", "--quiet"], cwd=tmp_path) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            anonymous = [line.split()[1] for line in status.splitlines() if "RssAnon" in line]
            peak = max(peak, *map(int, anonymous), 0)
            time.sleep(0.02)
    assert process.returncode == 0
    assert 10_000 < peak < 200_000  # kB; libraries and the model take most of it


def test_a_full_disk_for_temporary_files_is_one_line(tmp_path: Path) -> None:
    long_text(tmp_path, 70)
    result = subprocess.run(
        [*TRAIN, "--data", "long.txt"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        # A limit on the size of files stands for a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"charnn: error: long.txt: {tmp_path}: File too large; a long text needs space there; "
        "set TMPDIR to another folder\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["long.txt"]
