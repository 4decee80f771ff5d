"""Checkpoints of all earlier versions load and give the same logits.

`tests/fixtures` has one of every state of the format. first.npz is one of the first checkpoints.
second.npz came with rollbacks. lstm.npz and gru.npz have version 2, for cells with gates.
All were trained for 150 of 200 steps on village.txt. Add another when the contents of checkpoints
change. Never change an existing one.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

import charnn
from tests.helpers.commands import ok, run
from tests.helpers.places import FIXTURES

NAMES = sorted(path.stem for path in FIXTURES.glob("*.npz"))


def test_there_are_some() -> None:
    assert {"first", "second", "lstm", "gru"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_checkpoint_gives_the_logits_it_gave(name: str) -> None:
    checkpoint = charnn.load(FIXTURES / f"{name}.npz")
    assert checkpoint.progress.step == 150
    ids = checkpoint.vocabulary.encode("Anna says: to the sea.")
    o = checkpoint.model.logits(ids[:, None], checkpoint.model.zero_state())
    # Other libraries may round differently.
    np.testing.assert_allclose(o[:, 0], np.load(FIXTURES / f"{name}.logits.npy"), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_run_goes_on(tmp_path: Path, name: str) -> None:
    for file in (f"{name}.npz", "village.txt"):
        shutil.copy(FIXTURES / file, tmp_path)
    assert "xz bits" in ok("eval", "--ckpt", f"{name}.npz", cwd=tmp_path)
    result = run("train", "--resume", "--out", f"{name}.npz", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"{name}.npz: step 200 of 200" in result.stderr
