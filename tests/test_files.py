"""Files are replaced whole or not at all."""

import errno
import os
from pathlib import Path
from typing import IO

import pytest

from charnn.errors import RequestError
from charnn.files import refuse_unwritable, write_atomically


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


def replace(path: Path) -> None:
    def write(file: IO[bytes]) -> None:
        file.write(b"new")

    write_atomically(path, write)


def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    for content in ("old", ""):
        file = tmp_path / "far" / f"file{content}"
        if content:
            file.write_text(content)
        link = tmp_path / f"link{content}"
        link.symlink_to(Path("far", file.name))
        replace(link)
        assert link.is_symlink()
        assert file.read_bytes() == b"new"


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    path, fresh = tmp_path / "file", tmp_path / "fresh"
    path.touch()
    for mode in (0o600, 0o640, 0o755):
        path.chmod(mode)
        replace(path)
        assert path.stat().st_mode & 0o7777 == mode
    replace(fresh)
    (tmp_path / "usual").touch()
    assert fresh.stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("name", ["n" * 255, "字" * 85, "e\u0301" * 85])
def test_the_longest_names_are_written(tmp_path: Path, name: str) -> None:
    replace(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    def refused(*names: str) -> str:
        with pytest.raises(RequestError) as found:
            refuse_unwritable([tmp_path / name for name in names])
        return str(found.value).replace(f"{tmp_path}/", "")

    (tmp_path / "folder").mkdir()
    (tmp_path / "lost").symlink_to("none/file")
    (tmp_path / "one").symlink_to("file")
    (tmp_path / "two").symlink_to("folder/../file")
    refuse_unwritable([tmp_path / "file", tmp_path / "other"])
    assert refused("file", "n" * 256).endswith(": cannot be written: File name too long")
    assert refused("none/file") == "none/file: the folder none does not exist"
    assert refused("lost") == "lost: the folder none does not exist"
    assert refused("folder") == "folder is a folder; give the name of a file"
    os.mkfifo(tmp_path / "pipe")
    assert refused("pipe") == "pipe is not a file but a pipe or a device; move it away"
    assert refused("one", "two") == "two and one lead to one file, file"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="is read-only"):
        refuse_unwritable([tmp_path / "file"])
    tmp_path.chmod(0o700)
