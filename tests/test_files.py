"""Files are replaced whole or not at all."""

import errno
from pathlib import Path
from typing import IO

import pytest

from charnn.files import write_atomically


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), ValueError(), KeyboardInterrupt()]
)
def test_a_write_that_fails_midway_leaves_the_old_file_alone(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")

    def write(file: IO[bytes]) -> None:
        file.write(b"new and longer")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
