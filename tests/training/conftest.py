"""A finished run that the tests of training compare others with."""

from pathlib import Path

import pytest

from tests.helpers.runs import train


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "folder_a"
    train(folder)
    return folder
