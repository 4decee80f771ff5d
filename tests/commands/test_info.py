"""`charnn info`: what a checkpoint holds."""

import dataclasses
import json
from pathlib import Path

import charnn
from tests.helpers.in_process import ok_here


def test_info_tells_what_a_checkpoint_holds(trained: Path) -> None:
    figures = json.loads(ok_here("info", "--ckpt", "run.npz", "--json", cwd=trained))
    assert (figures["hidden_size"], figures["num_layers"], figures["step"]) == (16, 2, 40)
    assert figures["config"]["training"]["max_steps"] == 40
    assert "hidden size        16" in ok_here("info", "--ckpt", "run.npz", cwd=trained)


def test_the_digest_is_of_the_parameters_alone(trained: Path, tmp_path: Path) -> None:
    def digest(path: Path) -> str:
        found: str = json.loads(ok_here("info", str(path), "--json", cwd=trained))[
            "parameters_sha256"
        ]
        return found

    checkpoint = charnn.load(trained / "run.npz")
    other = tmp_path / "other.npz"
    config = checkpoint.config.with_values({"output.checkpoint": "elsewhere.npz"})
    dataclasses.replace(checkpoint, config=config).save(other)
    assert digest(other) == digest(trained / "run.npz")
    checkpoint.model.parameters.flat[-1] += 1
    checkpoint.save(other)
    assert digest(other) != digest(trained / "run.npz")
