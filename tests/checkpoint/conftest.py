"""Whole checkpoints for the tests to spoil."""

from pathlib import Path

import pytest

from tests.helpers.checkpoints import make_checkpoint


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a whole checkpoint."""
    path = tmp_path_factory.mktemp("good") / "run.npz"
    make_checkpoint().save(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, good: bytes) -> Path:
    """A whole checkpoint for a test to spoil."""
    path = tmp_path / "run.npz"
    path.write_bytes(good)
    return path
