"""Any text works, and a command recognises the text a model was trained on."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.helpers.commands import CHARNN, TRAIN, ok
from tests.helpers.in_process import ok_here, refused_here, run_here
from tests.helpers.texts import english


@pytest.mark.parametrize(
    "text",
    [
        "床前明月光,疑是地上霜。\n举头望明月,低头思故乡。\n",
        "🙂👩‍👩‍👧 family\n",
        "e\u0301 is not \u00e9\n",
        "line one\r\nline two\r\n",
    ],
    ids=["Chinese", "emoji", "combining marks", "Windows line ends"],
)
def test_any_text_goes_through_vocabulary_training_sampling_and_eval(
    tmp_path: Path, text: str
) -> None:
    text *= 60
    (tmp_path / "text.txt").write_bytes(text.encode())
    ok(*TRAIN, "--max-steps", "20", cwd=tmp_path)
    figures = json.loads(ok_here("info", "--ckpt", "run.npz", "--json", cwd=tmp_path))
    assert figures["vocabulary"] == "".join(sorted(set(text)))
    command = [*CHARNN, "sample", "--ckpt", "run.npz", "--n", "50", "--prime", text[:9]]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert printed.decode().startswith(text[:9])
    assert len(printed.decode()) == 59
    assert set(printed.decode()) <= set(text)
    evaluation = json.loads(
        ok_here("eval", "--ckpt", "run.npz", "--data", "text.txt", "--json", cwd=tmp_path)
    )
    assert evaluation["characters"] == len(text)


def test_the_own_text_is_recognised_where_it_lies_now(trained: Path, tmp_path: Path) -> None:
    moved = str(tmp_path / "moved.txt")
    Path(moved).write_text((trained / "text.txt").read_text())
    name = ["--ckpt", "run.npz", "--json", "--data", moved]
    own = json.loads(ok_here("eval", "--ckpt", "run.npz", "--json", cwd=trained))
    result = run_here("eval", *name, "--split", "val", cwd=trained)
    assert (json.loads(result.stdout), result.stderr) == (own, "")
    whole = run_here("eval", *name, cwd=trained)
    assert json.loads(whole.stdout)["characters"] == 20_000
    expected = f"note: this model was trained on {moved}, except its last 10%; see --split\n"
    assert whole.stderr == expected
    for command in (["inspect"], ["report", "-o", str(tmp_path / "page.html")]):
        seen = run_here(*command, "--ckpt", "run.npz", "--data", moved, cwd=trained)
        assert f"note: this model was trained on {moved}, except its last 10%\n" in seen.stderr
    (tmp_path / "moved.txt").write_text(english(500, seed=9))
    assert "moved.txt is another" in refused_here(2, "eval", *name, "--split", "val", cwd=trained)
