"""Folders with texts and finished runs for the tests of all commands."""

from pathlib import Path

import pytest

from tests.helpers.commands import TRAIN, run, train_small
from tests.helpers.texts import CHINESE, english


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(english(20_000))
    result = run(*TRAIN, cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "stderr").write_text(result.stderr)
    (folder / "stdout").write_text(result.stdout)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with only a text."""
    (tmp_path / "text.txt").write_text(english(20_000))
    return tmp_path


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of 1 and 3 layers, and of Chinese text."""
    inside = tmp_path_factory.mktemp("inside")
    train_small(inside, english(20_000), "one")
    train_small(inside, english(20_000, seed=1), "three", 3)
    train_small(inside, CHINESE, "chinese")
    return inside
