"""`charnn plot` draws curves of several runs in one picture."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from charnn.insight.curves import read_curves
from charnn.training.metrics import Rollback
from tests.helpers.commands import CHARNN, run
from tests.helpers.in_process import ok_here, refused_here


def test_plot_compares_runs_against_steps_or_time(inside: Path) -> None:
    ok_here("plot", "one.jsonl", "three.jsonl", "-o", "loss.svg", cwd=inside)
    drawn = (inside / "loss.svg").read_text()
    for words in ("loss, nats/char", "learning rate", "gradient norm", "characters/s", ">step<"):
        assert words in drawn
    for run_name in ("one", "three"):
        assert f">{run_name}<" in drawn
    for kind in ("training", "validation", "its best"):
        assert f">{kind}<" in drawn
    ok_here("plot", "one.jsonl", "three.jsonl", "-o", "again.svg", cwd=inside)
    assert (inside / "again.svg").read_text() == drawn
    ok_here("plot", "one.jsonl", "-o", "time.svg", "--x", "seconds", cwd=inside)
    assert ">time, s<" in (inside / "time.svg").read_text()
    line = refused_here(2, "plot", "one.jsonl", "-o", "loss.svg", cwd=inside)
    assert line == "loss.svg exists; replace it by --overwrite"
    ok_here("plot", "one.jsonl", "-o", "loss.svg", "--overwrite", cwd=inside)
    assert ">three<" not in (inside / "loss.svg").read_text()


def test_runs_of_one_name_are_told_apart_by_their_folders(inside: Path, tmp_path: Path) -> None:
    for name in ("a$b", "c$"):
        (tmp_path / name).mkdir()
        shutil.copy(inside / "one.jsonl", tmp_path / name / "run.jsonl")
    ok_here("plot", "a$b/run.jsonl", "c$/run.jsonl", "-o", "loss.svg", cwd=tmp_path)
    drawn = (tmp_path / "loss.svg").read_text()
    assert ">a$b/run.jsonl<" in drawn
    assert ">c$/run.jsonl (the same as a$b/run.jsonl)<" in drawn


def test_plot_writes_png_and_reads_logs_of_unfinished_runs(inside: Path, tmp_path: Path) -> None:
    log = (inside / "one.jsonl").read_text()
    (tmp_path / "run.jsonl").write_text(log + '{"step": 41, "tr')
    ok_here("plot", "run.jsonl", "-o", "loss.png", cwd=tmp_path)
    assert (tmp_path / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_rollbacks_are_marked_and_are_no_part_of_the_curves(inside: Path, tmp_path: Path) -> None:
    shutil.copy(inside / "one.npz", tmp_path / "run.npz")
    lines = (inside / "one.jsonl").read_text().splitlines()
    went_back = Rollback(1, 10, 13, 0.5, 0.5, "the loss is not finite")
    lines.insert(2, json.dumps(dataclasses.asdict(went_back)))
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    assert read_curves(tmp_path / "run.jsonl").marks("seconds") == [0.5]
    ok_here("plot", "run.jsonl", "-o", "loss.svg", cwd=tmp_path)
    assert ">rollback<" in (tmp_path / "loss.svg").read_text()
    text = str(inside / "one.txt")
    ok_here("report", "--ckpt", "run.npz", "-o", "run.html", "--data", text, cwd=tmp_path)
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    curves = json.loads(page.split('json">')[1].split("</script>")[0])["curves"]
    assert {tuple(chart["rollbacks"]) for chart in curves} == {(10,)}
    assert {5, 10, 35, 40} <= set(curves[0]["series"][0]["x"])


def copies(inside: Path, folder: Path, *names: str) -> list[str]:
    """Write logs with these names, each with different losses; return their paths."""
    lines = [json.loads(line) for line in (inside / "one.jsonl").read_text().splitlines()]
    for number, name in enumerate(names):
        shifted = [line | {"train_loss": line["train_loss"] + number / 50} for line in lines]
        text = "".join(json.dumps(line) + "\n" for line in shifted)
        (folder / f"{name}.jsonl").write_text(text)
    return [f"{name}.jsonl" for name in names]


def test_any_name_has_a_readable_entry(inside: Path, tmp_path: Path) -> None:
    names = ["_r", "漢字", "b\udcff", "x\x01$a$", "e<&>"]
    logs = copies(inside, tmp_path, *names)
    ok_here("plot", *logs, "-o", "loss.svg", cwd=tmp_path)
    ok_here("plot", *logs, "-o", "loss.png", cwd=tmp_path)
    drawn = {text.text for text in ElementTree.parse(tmp_path / "loss.svg").iter() if text.text}
    for name in (" _r", "漢字", r"b\udcff", r"x\x01$a$", "e<&>"):
        assert name in drawn


def test_twenty_runs_have_looks_of_their_own_and_more_are_refused(
    inside: Path, tmp_path: Path
) -> None:
    logs = copies(inside, tmp_path, *(f"run{n}" for n in range(21)))
    line = refused_here(2, "plot", *logs, "-o", "loss.svg", cwd=tmp_path)
    assert line == "21 runs are too many for one picture; name at most 20"
    ok_here("plot", *logs[:20], "-o", "loss.svg", cwd=tmp_path)
    page = (tmp_path / "loss.svg").read_text()
    drawn = set(re.findall(r'style="(fill: none; stroke[^"]*stroke-width: 2[;"][^"]*)', page))
    assert len(drawn) == 21  # the legend adds a grey line


def test_a_run_without_a_line_yet_is_left_out_with_a_note(inside: Path, tmp_path: Path) -> None:
    (log,) = copies(inside, tmp_path, "run")
    (tmp_path / "new.jsonl").touch()
    drawn = run("plot", "new.jsonl", log, "-o", "loss.svg", cwd=tmp_path)
    assert (drawn.returncode, drawn.stderr) == (
        0,
        "note: new.jsonl: no metrics in it yet; left out\n",
    )
    refused_here(1, "plot", "new.jsonl", "-o", "other.svg", cwd=tmp_path)


@pytest.mark.processes
def test_settings_of_matplotlib_change_nothing(inside: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nno.such.key: 1\nbackend: none\n")
    notebook = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    pictures = set()
    (log,) = copies(inside, tmp_path, "run")
    for name, cwd, more in (
        ("a.png", inside, {}),
        ("b.png", tmp_path, {}),
        ("c.png", inside, notebook),
    ):
        out = tmp_path / name
        command = [*CHARNN, "plot", str(tmp_path / log), "-o", str(out)]
        done = subprocess.run(command, cwd=cwd, env=os.environ | more, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        pictures.add(out.read_bytes())
    assert len(pictures) == 1


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        ('{"step": 1, "train_loss": 1e99, "val_loss": -1e99, "grad_norm": 5e-324}', True),
        ('{"step": 1, "train_loss": NaN, "val_loss": Infinity, "grad_norm": [1]}', True),
        ('{"step": 1, "train_loss": true}', True),
        ('{"step": 1, "train_loss": 1e308, "val_loss": -1e308}', False),
        ('{"step": 1, "train_loss": 1' + 400 * "0" + "}", False),
        ('{"step": 1' + 400 * "0" + ', "train_loss": 1}', False),
        ('{"step": ' + 5000 * "9" + "}", False),
        (100_000 * "[", False),
    ],
)
def test_any_log_is_drawn_or_refused_in_one_line(tmp_path: Path, line: str, is_read: bool) -> None:
    first = '{"step": 0, "train_loss": 2, "val_loss": 2}'
    (tmp_path / "run.jsonl").write_text(f"{first}\n{line}\n")
    command = ["plot", "run.jsonl", "-o", "loss.png"]
    if is_read:
        ok_here(*command, cwd=tmp_path)
    else:
        found = refused_here(1, *command, cwd=tmp_path)
        assert found == "run.jsonl:2: not a line of a metrics log (one JSON object a line)"
