"""Texts in several files, in several parts, and from standard input."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from tests.helpers.commands import CHARNN, Terminal, refused, run
from tests.helpers.in_process import ok_here, refused_here, run_here
from tests.helpers.texts import english

SMALL = ["--set", "model.hidden_size=8", "--max-steps", "10", "--seed", "1", "--threads", "1"]
SMALL += ["--out", "run.npz"]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder with a training text in three files, a validation text and a test text."""
    text = english(9_000)
    for number, name in enumerate(("part1", "part2", "part10")):
        part = text[3_000 * number : 3_000 * (number + 1)].rstrip("\n")
        (tmp_path / f"{name}.txt").write_text(part)
    (tmp_path / "val.md").write_text(english(2_000, seed=1))
    (tmp_path / "test.md").write_text(english(1_000, seed=2))
    return tmp_path


def joined(folder: Path) -> str:
    return "\n".join((folder / f"part{n}.txt").read_text() for n in (1, 2, 10))


def info(folder: Path) -> dict[str, object]:
    figures: dict[str, object] = json.loads(
        ok_here("info", "--ckpt", "run.npz", "--json", cwd=folder)
    )
    return figures


def test_files_are_joined_in_natural_order_and_it_is_said(parts: Path) -> None:
    result = run_here("train", "--data", ".", *SMALL, cwd=parts)
    assert "note: 2 of the 3 files do not end with a line end, so one is added" in result.stderr
    (parts / "whole").write_text(joined(parts))
    of_files = info(parts)
    ok_here("train", "--data", "whole", *SMALL, "--overwrite", cwd=parts)
    for key in ("corpus_sha256", "parameters_sha256"):
        assert info(parts)[key] == of_files[key]


def test_a_run_goes_on_with_the_joins_it_began_with(parts: Path) -> None:
    ways = ["--set", "data.separator=--", "--set", "data.order=name"]
    ok_here("train", "--data", "part*.txt", *SMALL, *ways, cwd=parts)
    again = run_here("train", "--resume", "--out", "run.npz", "--max-steps", "12", cwd=parts)
    assert again.returncode == 0
    assert "note:" not in again.stderr
    line = refused_here(
        2, "train", "--resume", "--out", "run.npz", "--set", "data.separator=;", cwd=parts
    )
    assert "data.separator is ;, but the run to resume has --" in line


def test_how_one_file_would_be_joined_is_not_kept(parts: Path) -> None:
    # So earlier versions can read the checkpoint.
    ok_here("train", "--data", "part1.txt", *SMALL, cwd=parts)
    stored = info(parts)["config"]
    assert isinstance(stored, dict)
    assert (stored["data"]["separator"], stored["data"]["order"]) == ("", "name")


def test_texts_of_their_own_validate_and_test(parts: Path) -> None:
    own = ["--set", "data.val_path=val.md", "--set", "data.test_path=test.md"]
    result = run_here("train", "--data", "part*.txt", *SMALL, *own, cwd=parts)
    assert result.returncode == 0, result.stderr
    for split, length in (("val", 2_000), ("test", 1_000), ("train", len(joined(parts)))):
        command = ["eval", "--ckpt", "run.npz", "--split", split, "--json"]
        assert json.loads(ok_here(*command, cwd=parts))["characters"] == length
    log = [json.loads(line) for line in (parts / "run.jsonl").read_text().splitlines()]
    of_val = json.loads(ok_here("eval", "--ckpt", "run.npz", "--json", cwd=parts))
    assert of_val["nats_per_char"] == pytest.approx(log[-1]["val_loss"], abs=1e-5)
    resumed = run_here("train", "--resume", "--out", "run.npz", "--max-steps", "12", cwd=parts)
    assert resumed.returncode == 0, resumed.stderr


def test_the_training_text_is_recognised_beside_a_validation_text(parts: Path) -> None:
    ok_here("train", "--data", "part*.txt", *SMALL, "--set", "data.val_path=val.md", cwd=parts)
    (parts / "elsewhere").write_text(joined(parts))
    novelty = ["eval", "--ckpt", "run.npz", "--novelty", "--against", "elsewhere", "--json"]
    result = run_here(*novelty, cwd=parts)
    assert (result.returncode, result.stderr) == (0, "")


def test_unknown_characters_of_a_named_text_beside_a_validation_text_are_one_line(
    parts: Path,
) -> None:
    ok_here("train", "--data", "part*.txt", *SMALL, "--set", "data.val_path=val.md", cwd=parts)
    (parts / "other").write_text(joined(parts) + "€")
    command = ["eval", "--ckpt", "run.npz", "--split", "val", "--data", "other"]
    assert "'€' (U+20AC)" in refused_here(1, *command, "--unknown", "skip", cwd=parts)


def test_a_share_does_nothing_beside_a_text_of_its_own(parts: Path) -> None:
    own = ["--set", "data.val_path=val.md", "--set", "data.val_fraction=0.2"]
    result = run_here("train", "--data", "part*.txt", *SMALL, *own, cwd=parts)
    assert "warning: data.val_fraction does nothing beside data.val_path" in result.stderr


def test_a_text_with_nul_characters_is_doubted(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(english(2_000).encode("utf-16-le"))
    result = run_here("train", "--data", "text.txt", *SMALL, cwd=tmp_path)
    assert "warning: the text has NUL characters" in result.stderr


def test_standard_input_may_hold_the_config_or_the_text_but_not_both(parts: Path) -> None:
    config = "model: {hidden_size: 8}\ndata: {path: part1.txt}\ntraining: {max_steps: 3}\n"
    result = run("train", "--config", "-", "--out", "run.npz", cwd=parts, text=config)
    assert result.returncode == 0, result.stderr
    line = refused(2, "train", "-c", "-", cwd=parts, text="model: {hidden: 8}")
    assert "standard input:1: unknown key model.hidden; did you mean model.hidden_size?" in line
    line = refused(2, "train", "-c", "-", "--data", "-", cwd=parts, text=config)
    assert "--config - and --data - cannot both read standard input" in line


def test_a_piped_text_may_be_compressed(parts: Path) -> None:
    ok_here("train", "--data", "part1.txt", *SMALL, cwd=parts)
    plain = info(parts)["corpus_sha256"]
    (parts / "packed").write_bytes(gzip.compress((parts / "part1.txt").read_bytes()))
    with (parts / "packed").open() as file:
        command = [*CHARNN, "train", "--data", "-", *SMALL, "--overwrite"]
        subprocess.run(command, stdin=file, cwd=parts, check=True, capture_output=True)
    assert info(parts)["corpus_sha256"] == plain


def test_a_validation_text_from_a_pipe_is_named_again(parts: Path) -> None:
    command = ["train", "--data", "part1.txt", *SMALL, "--set", "data.val_path=-"]
    result = run(*command, "--stop-after", "5", cwd=parts, text=english(500, seed=3))
    assert "--resume --out run.npz --set data.val_path=TEXT" in result.stderr
    (parts / "same").write_text(english(500, seed=3))
    refusal = refused(2, "train", "--resume", "--out", "run.npz", cwd=parts, text="")
    assert "read a text from a pipe: give it again, by --set data.val_path=FILE" in refusal
    again = ["train", "--resume", "--out", "run.npz", "--set", "data.val_path=same"]
    assert run_here(*again, cwd=parts).returncode == 0


def test_standard_input_is_one_text(parts: Path) -> None:
    line = refused(
        2, "train", "--data", "-", *SMALL, "--set", "data.val_path=-", cwd=parts, text="to be"
    )
    assert "several texts cannot all be read from standard input" in line


@pytest.mark.terminal
def test_nothing_waits_for_a_pipe_that_validated(parts: Path) -> None:
    command = ["train", "--data", "part1.txt", *SMALL, "--set", "data.val_path=-"]
    result = run(*command, cwd=parts, text=english(500, seed=3))
    assert result.returncode == 0, result.stderr
    novelty = ["eval", "--ckpt", "run.npz", "--data", "test.md", "--novelty"]
    with Terminal(*novelty, "--against", "part1.txt", cwd=parts) as terminal:
        assert terminal.wait() == 0, terminal.shown
