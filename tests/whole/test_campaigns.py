"""Short campaigns of crashes and nonsense, and a check that they can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

pytestmark = pytest.mark.campaign


@pytest.mark.parametrize(
    "campaign",
    [
        "crash every --every 50",
        "crash disk --every 180",
        "crash signals --every 130",
        "crash kill 3",
        "crash kill 3 --workers",
        "crash signals --every 500 --workers",
        "fuzz checkpoints 2000 --every 10",
        "fuzz commands 450",
    ],
)
def test_a_short_campaign(campaign: str) -> None:
    words = ["-m", *f"tests.campaigns.{campaign}".split()]
    result = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_what_the_campaigns_watch_for_is_found(tmp_path: Path) -> None:
    """The campaign catches a save that is not atomic."""
    code = (
        "import sys, pathlib; import tests.campaigns.crash as crash\n"
        "from charnn.checkpoint import checkpoint\n"
        "def write(path, write):\n"
        "    with path.open('w+b') as file:\n"
        "        write(file)\n"
        "checkpoint.write_atomically = write\n"
        "sys.argv = ['crash', 'every', '--every', '50']\n"
        "crash.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "not a usable checkpoint" in result.stderr
