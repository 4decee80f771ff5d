"""`charnn plot`: curves of several runs in one picture."""

import dataclasses
import json
import shutil
from pathlib import Path

from charnn.insight.curves import read_curves
from charnn.training.metrics import Rollback
from tests.helpers.in_process import ok_here, refused_here


def test_plot_compares_runs_against_steps_or_time(inside: Path) -> None:
    ok_here("plot", "one.jsonl", "three.jsonl", "-o", "loss.svg", cwd=inside)
    drawn = (inside / "loss.svg").read_text()
    for words in ("loss, nats/char", "learning rate", "gradient norm", "characters/s", ">step<"):
        assert words in drawn
    for run_name in ("one", "three"):
        assert f">{run_name} train<" in drawn
        assert f">{run_name} val<" in drawn
    ok_here("plot", "one.jsonl", "three.jsonl", "-o", "again.svg", cwd=inside)
    assert (inside / "again.svg").read_text() == drawn
    ok_here("plot", "one.jsonl", "-o", "time.svg", "--against", "seconds", cwd=inside)
    assert ">time, s<" in (inside / "time.svg").read_text()
    line = refused_here(2, "plot", "one.jsonl", "-o", "loss.svg", cwd=inside)
    assert line == "loss.svg exists; replace it by --overwrite"
    ok_here("plot", "one.jsonl", "-o", "loss.svg", "--overwrite", cwd=inside)
    assert ">three train<" not in (inside / "loss.svg").read_text()


def test_runs_of_one_name_are_told_apart_by_their_folders(inside: Path, tmp_path: Path) -> None:
    for name in ("a$b", "c$"):
        (tmp_path / name).mkdir()
        shutil.copy(inside / "one.jsonl", tmp_path / name / "run.jsonl")
    ok_here("plot", "a$b/run.jsonl", "c$/run.jsonl", "-o", "loss.svg", cwd=tmp_path)
    drawn = (tmp_path / "loss.svg").read_text()
    assert ">a$b/run.jsonl train<" in drawn
    assert ">c$/run.jsonl val<" in drawn


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
    assert ">run rollback<" in (tmp_path / "loss.svg").read_text()
    text = str(inside / "one.txt")
    ok_here("report", "--ckpt", "run.npz", "-o", "run.html", "--text", text, cwd=tmp_path)
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    curves = json.loads(page.split('json">')[1].split("</script>")[0])["curves"]
    assert {tuple(chart["rollbacks"]) for chart in curves} == {(10,)}
    assert {5, 10, 35, 40} <= set(curves[0]["series"][0]["x"])
