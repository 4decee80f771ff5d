"""Old spellings of arguments: each works as the new one does, and prints a note."""

from pathlib import Path

import pytest

from charnn.commands.renamed import as_now
from tests.helpers.in_process import run_here


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (
            ["info", "run.npz", "--json"],
            ["info", "--ckpt", "run.npz", "--json"],
            "`charnn info FILE` is now `charnn info --ckpt FILE`",
        ),
        (
            ["inspect", "--ckpt", "run.npz", "--text", "text.txt", "--n", "50"],
            ["inspect", "--ckpt", "run.npz", "--data", "text.txt", "--n", "50"],
            "--text is now called --data",
        ),
        (
            ["inspect", "--ckpt=run.npz", "--text=text.txt", "--n", "50"],
            ["inspect", "--ckpt", "run.npz", "--data", "text.txt", "--n", "50"],
            "--text is now called --data",
        ),
    ],
)
def test_old_spellings_work_with_a_note(
    trained: Path, old: list[str], new: list[str], note: str
) -> None:
    before, now = run_here(*old, cwd=trained), run_here(*new, cwd=trained)
    assert before.returncode == now.returncode == 0
    assert before.stdout == now.stdout
    assert before.stderr == f"note: {note}\n{now.stderr}"


def test_every_old_option_has_a_new_one() -> None:
    assert as_now(["report", "--text", "a"]) == ["report", "--data", "a"]
    assert as_now(["plot", "a", "--against=seconds"]) == ["plot", "a", "--x=seconds"]
    unchanged = ["eval", "--novelty", "--against", "--text"]
    assert as_now(unchanged) == unchanged
    for named in (
        ["info", "--ckpt", "a", "b"],
        ["info", "--ckpt=a", "b"],
        ["info", "b", "--ckpt=a"],
    ):
        assert as_now(named) == named


def test_new_spellings_get_no_note(trained: Path) -> None:
    for command in (["info", "--ckpt", "run.npz"], ["info", "--json", "--ckpt=run.npz"]):
        result = run_here(*command, cwd=trained)
        assert (result.returncode, result.stderr) == (0, "")
