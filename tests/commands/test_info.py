"""`charnn info`: what a checkpoint holds."""

import json
from pathlib import Path

from tests.helpers.in_process import ok_here


def test_info_tells_what_a_checkpoint_holds(trained: Path) -> None:
    figures = json.loads(ok_here("info", "run.npz", "--json", cwd=trained))
    assert (figures["hidden_size"], figures["num_layers"], figures["step"]) == (16, 2, 40)
    assert figures["config"]["training"]["max_steps"] == 40
    assert "hidden size     16" in ok_here("info", "run.npz", cwd=trained)
