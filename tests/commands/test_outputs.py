"""Files are never replaced unless the user asks for it."""

from pathlib import Path

import pytest

from tests.helpers.commands import TRAIN, ok, refused


@pytest.mark.processes
def test_outputs_are_never_overwritten_unasked(folder: Path) -> None:
    for name in ("run.npz", "run.best.npz", "run.jsonl"):
        (folder / name).write_text("precious")
        line = refused(2, *TRAIN, cwd=folder)
        assert line.startswith(f"{name} exists; ")
        assert "--overwrite" in line
        assert ("--resume" in line) == (name == "run.npz")
        # --resume replaces nothing either, because there is no run to resume.
        refused(1 if name == "run.npz" else 2, *TRAIN, "--resume", cwd=folder)
        assert (folder / name).read_text() == "precious"
        (folder / name).unlink()
    (folder / "run.best.npz").write_text("old")
    ok(*TRAIN, "--overwrite", cwd=folder)
    assert (folder / "run.best.npz").read_bytes()[:2] == b"PK"


@pytest.mark.processes
def test_what_is_read_is_never_written(folder: Path) -> None:
    text = (folder / "text.txt").read_text()
    (folder / "run.jsonl").write_text(text)
    for way in ("--overwrite", "--quiet"):
        arguments = ["train", "--data", "run.jsonl", "--out", "run.npz", way]
        line = refused(2, *arguments, cwd=folder)
        assert line.startswith("run.jsonl ")
        assert (folder / "run.jsonl").read_text() == text
    (folder / "run.jsonl").unlink()
    ok(*TRAIN, "--stop-after", "1", cwd=folder)
    before = (folder / "run.npz").read_bytes()
    line = refused(2, *TRAIN, "--init", "run.npz", "--overwrite", cwd=folder)
    assert "run.npz would be overwritten, but is read; choose another --out" in line
    assert (folder / "run.npz").read_bytes() == before


@pytest.mark.processes
def test_names_are_tried_before_any_work(folder: Path) -> None:
    """The first name is legal for the checkpoint, but too long for the best checkpoint."""
    before = sorted(folder.iterdir())
    for name in ("n" * 250 + ".npz", "n" * 260 + ".npz"):
        for way in ("--quiet", "--dry-run", "--resume"):
            line = refused(2, *TRAIN, "--out", name, way, cwd=folder)
            assert line.endswith("cannot be written: File name too long")
    for *command, ending in (("plot", "run.jsonl", ".svg"), ("report", "--ckpt", "a.npz", ".html")):
        line = refused(2, *command, "-o", "n" * 260 + ending, cwd=folder)
        assert line.endswith("cannot be written: File name too long")
    assert sorted(folder.iterdir()) == before


@pytest.mark.processes
def test_a_run_behind_links_stays_one_run(folder: Path) -> None:
    (folder / "disk").mkdir()
    names = ("run.npz", "run.best.npz", "run.jsonl")
    for name in names:
        (folder / name).symlink_to(Path("disk", name))
    ok(*TRAIN, "--stop-after", "15", cwd=folder)
    (folder / "disk" / "run.npz").chmod(0o600)
    ok("train", "--resume", "--out", "run.npz", cwd=folder)
    ok(*TRAIN, "--overwrite", "--stop-after", "15", cwd=folder)
    assert all((folder / name).is_symlink() for name in names)
    assert {path.name for path in (folder / "disk").iterdir()} == set(names)
    assert (folder / "disk" / "run.npz").stat().st_mode & 0o777 == 0o600
