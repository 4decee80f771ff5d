"""`inspect`, `plot` and `report` as a shell runs them."""

import dataclasses
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charnn.insight.curves import read_curves
from charnn.training.metrics import Rollback
from tests.helpers.commands import ok, on_a_terminal, run
from tests.helpers.places import ROOT
from tests.helpers.texts import english

CHINESE = "床前明月光,疑是地上霜。\n举头望明月,低头思故乡。\n" * 40


def refused(code: int, *arguments: str, cwd: Path) -> str:
    """Run a command that must fail in one clear line; return the line."""
    result = run(*arguments, cwd=cwd)
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("charnn: error: ")
    return line.removeprefix("charnn: error: ")


def looked_at(*arguments: str, cwd: Path, text: str | None = None) -> dict[str, Any]:
    """Return what `inspect` prints as JSON."""
    printed: dict[str, Any] = json.loads(
        ok("inspect", *arguments, "--json", cwd=cwd, text=text),
        parse_constant=pytest.fail,  # no NaN: it is not JSON
    )
    return printed


def train(folder: Path, text: str, name: str, layers: int = 1, *more: str) -> None:
    (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    arguments = ["--data", f"{name}.txt", "--out", f"{name}.npz", "--seed", "1", "--quiet"]
    for setting in (f"model.num_layers={layers}", "model.hidden_size=16", "training.log_every=5"):
        arguments += ["--set", setting]
    ok("train", *arguments, "--max-steps", "40", *more, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of 1 and 3 layers, and of Chinese text."""
    folder = tmp_path_factory.mktemp("inside")
    train(folder, english(20_000), "one")
    train(folder, english(20_000, seed=1), "three", 3)
    train(folder, CHINESE, "chinese")
    return folder


# --- inspect -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one", "three", "chinese"])
def test_surprisals_sum_to_the_loss_of_eval(folder: Path, name: str) -> None:
    figures = json.loads(ok("eval", "--ckpt", f"{name}.npz", "--json", cwd=folder))
    seen = looked_at("--ckpt", f"{name}.npz", "--view", "surprise", cwd=folder)
    bits = [row["bits"] for row in seen["surprise"]]
    assert bits[0] is None
    assert seen["characters"] == seen["of"] == figures["characters"] == len(bits)
    assert sum(bits[1:]) / (len(bits) - 1) == pytest.approx(figures["bits_per_char"], abs=1e-6)
    assert seen["bits_per_char"] == pytest.approx(figures["bits_per_char"], abs=1e-6)
    most = [row["bits"] for row in seen["most_surprising"]]
    assert most == sorted(bits[1:], reverse=True)[:5]
    text = (folder / f"{name}.txt").read_text(encoding="utf-8")
    assert text.endswith("".join(row["character"] for row in seen["surprise"]))


@pytest.mark.parametrize("name", ["three", "chinese"])
def test_tables_are_tab_separated_with_a_row_for_each_character_or_lag(
    folder: Path, name: str
) -> None:
    layers = 3 if name == "three" else 1
    for view, columns, rows in (
        ("surprise", "place character bits", 100),
        ("expectation", "place character bits rank expected_1 probability_1 expected_2 "
         "probability_2", 100),
        ("memory", None, 100),
        ("gradients", " ".join(["lag", *(f"layer_{layer}" for layer in range(layers))]), 50),
    ):  # fmt: skip
        command = ["inspect", "--ckpt", f"{name}.npz", "--view", view, "--top", "2", "--n", "100"]
        printed = run(*command, cwd=folder)
        lines = [line.split("\t") for line in printed.stdout.splitlines()]
        assert len(lines) == 1 + rows
        assert {len(line) for line in lines} == {len(lines[0])}
        assert columns is None or lines[0] == columns.split(" ")
        assert "\x1b" not in printed.stdout
        assert re.fullmatch(
            r"the validation text: read the first 100 of [\d,]+ characters\n", printed.stderr
        )
        if view == "memory":
            assert all(re.fullmatch(r"[0-2]:\d+", unit) for unit in lines[0][2:])
            assert len(lines[0]) == 4


def test_the_summary_is_three_tables(folder: Path) -> None:
    parts = ok("inspect", "--ckpt", "three.npz", "--top", "4", cwd=folder).split("\n\n")
    assert [part.splitlines()[0].split("\t")[0] for part in parts] == ["place", "unit", "layer"]
    assert [len(part.splitlines()) for part in parts] == [5, 5, 4]
    seen = looked_at("--ckpt", "three.npz", cwd=folder)
    assert list(seen)[4:] == ["most_surprising", "units", "layers"]
    for layer in seen["layers"]:
        assert layer["spectral_radius"] <= layer["largest_singular_value"] * (1 + 1e-9)
        assert layer["verdict"].split(":")[0] in ("vanishes", "holds", "explodes")


def test_expectations_are_probabilities_and_the_rank_is_of_the_true_character(folder: Path) -> None:
    arguments = ["--ckpt", "one.npz", "--view", "expectation", "--top", "3"]
    rows = looked_at(*arguments, cwd=folder)["expectation"]
    for row in rows[1:]:
        p = [row[f"probability_{number}"] for number in (1, 2, 3)]
        assert 1 >= p[0] >= p[1] >= p[2] > 0
        if row["rank"] <= 3:
            assert row[f"expected_{row['rank']}"] == row["character"]
            assert 2 ** -row["bits"] == pytest.approx(p[row["rank"] - 1], rel=1e-5)
    assert len({row["rank"] for row in rows}) > 5


def test_units_are_chosen_by_name_and_texts_come_from_pipes(folder: Path) -> None:
    arguments = ["--ckpt", "three.npz", "--view", "memory", "--unit", "2:15", "--unit", "0:3"]
    seen = looked_at(*arguments, "--text", "-", cwd=folder, text="The KING:\nsees.\n")
    assert (seen["text"], seen["characters"]) == ("standard input", 16)
    assert [unit["unit"] for unit in seen["units"]] == ["2:15", "0:3"]
    assert list(seen["memory"][0]) == ["place", "character", "2:15", "0:3"]
    assert all(-1 <= row["0:3"] <= 1 for row in seen["memory"])


def test_a_long_text_is_bounded_work_and_says_so(folder: Path) -> None:
    (folder / "long.txt").write_text(english(1_000_000))
    result = run("inspect", "--ckpt", "three.npz", "--text", "long.txt", cwd=folder)
    assert result.stderr == "long.txt: read the first 20,000 of 1,000,000 characters\n"


def test_on_a_terminal_there_are_colours_with_a_legend_and_no_control_characters(
    folder: Path, tmp_path: Path
) -> None:
    text = "\x1b[31mred\x07 [bold]alert[/bold]\u202e\n" * 100
    train(tmp_path, text, "bad")
    for view, expected in (
        ("surprise", ["bits: ", "0 to 1", "> 8", "The most surprising characters"]),
        ("expectation", ["expected, the true one in brackets", "[r]"]),
        ("memory", ["Memory", "−1 to 1", "> 0.6", "Unit 0:"]),
        ("gradients", ["lag", "█", "How far back"]),
    ):
        drawn = on_a_terminal("inspect", "--ckpt", "bad.npz", "--view", view, cwd=tmp_path)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", drawn)
        for words in expected:
            assert words in plain, view
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", plain)
        assert "the validation text: read all 300 characters" in plain
        if view == "surprise":
            assert "\\x1b[31mred\\x07 [bold]alert[/bold]\\u202e↵" in plain
            assert "\x1b[4;" in drawn or "\x1b[1;4;" in drawn
    summary = on_a_terminal("inspect", "--ckpt", "three.npz", cwd=folder, NO_COLOR="1")
    for title in ("Surprise", "The most surprising characters", "Memory", "How far back"):
        assert title in summary
    assert not re.search(r"\x1b\[[0-9;]*[34]8[;m]", summary)


def test_training_shows_the_gradient_norm_and_the_share_of_clipped_steps(
    folder: Path, tmp_path: Path
) -> None:
    text = str(folder / "one.txt")
    drawn = on_a_terminal("train", "--data", text, "--out", "live.npz", "--max-steps", "30",
                          "--set", "training.clip_norm=1e-6", cwd=tmp_path)  # fmt: skip
    assert re.search(r"\|g\| \d+\.\d\d  clipped 100%  [\d,]+ chars/s", drawn)


# --- a known memory ------------------------------------------------------------------------------


def test_a_known_memory_is_found_and_gradients_reach_beyond_it(tmp_path: Path) -> None:
    """A bracket is closed 8 characters later; inside, the same letters come more or less often.

    A unit without memory, which knows the last letter alone, would score 0.5.
    """
    draw, n = random.Random(1), 8
    parts: list[str] = []
    for _ in range(2500):
        parts += draw.choices("ab", [3, 1], k=draw.randint(2, 12))
        parts += ["(", *draw.choices("ab", [1, 3], k=n), ")"]
    settings = ["training.learning_rate=1e-2", "training.seq_length=32", "training.eval_every=500"]
    more = [part for setting in settings for part in ("--set", setting)]
    train(tmp_path, "".join(parts), "brackets", 1, *more, "--max-steps", "500")
    seen = looked_at("--ckpt", "brackets.npz", cwd=tmp_path)
    assert seen["units"][0]["feature"] == "inside brackets"
    assert abs(seen["units"][0]["correlation"]) > 0.8
    assert seen["layers"][0]["reach"] > n


# --- plot ----------------------------------------------------------------------------------------


def test_plot_compares_runs_against_steps_or_time(folder: Path) -> None:
    ok("plot", "one.jsonl", "three.jsonl", "-o", "loss.svg", cwd=folder)
    drawn = (folder / "loss.svg").read_text()
    for words in ("loss, nats/char", "learning rate", "gradient norm", "characters/s", ">step<"):
        assert words in drawn
    for run_name in ("one", "three"):
        assert f">{run_name} train<" in drawn
        assert f">{run_name} val<" in drawn
    ok("plot", "one.jsonl", "three.jsonl", "-o", "again.svg", cwd=folder)
    assert (folder / "again.svg").read_text() == drawn
    ok("plot", "one.jsonl", "-o", "time.svg", "--against", "seconds", cwd=folder)
    assert ">time, s<" in (folder / "time.svg").read_text()
    line = refused(2, "plot", "one.jsonl", "-o", "loss.svg", cwd=folder)
    assert line == "loss.svg exists; replace it by --overwrite"
    ok("plot", "one.jsonl", "-o", "loss.svg", "--overwrite", cwd=folder)
    assert ">three train<" not in (folder / "loss.svg").read_text()


def test_runs_of_one_name_are_told_apart_by_their_folders(folder: Path, tmp_path: Path) -> None:
    for name in ("a$b", "c$"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "one.jsonl", tmp_path / name / "run.jsonl")
    ok("plot", "a$b/run.jsonl", "c$/run.jsonl", "-o", "loss.svg", cwd=tmp_path)
    drawn = (tmp_path / "loss.svg").read_text()
    assert ">a$b/run.jsonl train<" in drawn
    assert ">c$/run.jsonl val<" in drawn


def test_plot_writes_png_and_reads_logs_of_unfinished_runs(folder: Path, tmp_path: Path) -> None:
    log = (folder / "one.jsonl").read_text()
    (tmp_path / "run.jsonl").write_text(log + '{"step": 41, "tr')
    ok("plot", "run.jsonl", "-o", "loss.png", cwd=tmp_path)
    assert (tmp_path / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_rollbacks_are_marked_and_are_no_part_of_the_curves(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "one.npz", tmp_path / "run.npz")
    lines = (folder / "one.jsonl").read_text().splitlines()
    went_back = Rollback(1, 10, 13, 0.5, 0.5, "the loss is not finite")
    lines.insert(2, json.dumps(dataclasses.asdict(went_back)))
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    assert read_curves(tmp_path / "run.jsonl").marks("seconds") == [0.5]
    ok("plot", "run.jsonl", "-o", "loss.svg", cwd=tmp_path)
    assert ">run rollback<" in (tmp_path / "loss.svg").read_text()
    text = str(folder / "one.txt")
    ok("report", "--ckpt", "run.npz", "-o", "run.html", "--text", text, cwd=tmp_path)
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    curves = json.loads(page.split('json">')[1].split("</script>")[0])["curves"]
    assert {tuple(chart["rollbacks"]) for chart in curves} == {(10,)}
    assert curves[0]["series"][0]["x"] == [5, 10, 15, 20, 25, 30, 35, 40]


# --- report --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["three", "chinese"])
def test_report_is_one_small_file_with_everything_inside(
    folder: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "report.html"
    ok("report", "--ckpt", f"{name}.best.npz", "-o", str(out), "--text", f"{name}.txt",
       "--n", "5000", cwd=folder)  # fmt: skip
    page = out.read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    assert not re.search(r'(src|href)\s*=(?!"data:)|@import|url\(', page)
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    text = (folder / f"{name}.txt").read_text(encoding="utf-8")
    assert data["text"] == text[:5000]
    assert len(data["units"]) == (20 if name == "three" else 16)
    assert data["curves"][0]["title"] == "Loss, nats per character"
    assert len(data["gradients"]) == (3 if name == "three" else 1)
    for words in ("this model", "unigram counts", "bigram counts", "xz", "temperature 0.5",
                  "hidden_size: 16"):  # fmt: skip
        assert words in page
    before = out.read_bytes()
    again = ["report", "--ckpt", f"{name}.best.npz", "-o", str(out)]
    assert refused(2, *again, cwd=folder) == f"{out} exists; replace it by --overwrite"
    ok(*again, "--text", f"{name}.txt", "--overwrite", cwd=folder)
    assert out.read_bytes() == before


def test_hostile_text_is_escaped_in_the_page(tmp_path: Path) -> None:
    text = "</script><img src=x onerror=alert(1)> {{ 7 * 7 }} &lt; \x07 <!--\n"
    train(tmp_path, text * 60, "<b>")
    ok("report", "--ckpt", "<b>.npz", "-o", "page.html", "--unit", "0:3", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "onerror=alert(1)>" not in page
    assert "<h1>&lt;b&gt;.npz</h1>" in page
    assert page.count("</script>") == 2
    assert "\x07" not in page
    assert json.loads(page.split('json">')[1].split("</script>")[0])["units"][0]["name"] == "0:3"


def test_the_page_of_the_docs_has_its_pictures_and_they_are_small() -> None:
    page = (ROOT / "docs" / "inside.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert pictures == ["inspect.svg", "report.png"]
    for picture in pictures:
        assert (ROOT / "docs" / picture).stat().st_size < 300_000


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "arguments", "expected"),
    [
        (2, ["inspect", "--ckpt", "one.npz", "--unit", "3"], "--unit takes LAYER:INDEX, as in 0:1"),
        (2, ["inspect", "--ckpt", "one.npz", "--unit", "1:0"], "layers 0 to 0, units 0 to 15"),
        (2, ["inspect", "--ckpt", "one.npz", "--view", "soul"], "--view"),
        (1, ["inspect", "--ckpt", "one.npz", "--text", "none.txt"], "none.txt: No such file"),
        (1, ["inspect", "--ckpt", "one.npz", "--text", "chinese.txt"], "by --unknown skip"),
        (2, ["plot", "-o", "a.png"], "RUN.jsonl"),
        (2, ["plot", "one.jsonl", "-o", "a.pdf"], "a name ending in .png or .svg, got a.pdf"),
        (2, ["plot", "one.jsonl", "-o", "no/a.png"], "no/a.png: the folder no does not exist"),
        (1, ["plot", "none.jsonl", "-o", "a.png"], "none.jsonl: No such file or directory"),
        (1, ["plot", "one.txt", "-o", "a.png"], "one.txt:1: not a line of a metrics log"),
        (1, ["plot", "empty.jsonl", "-o", "a.png"], "empty.jsonl: no metrics in it yet"),
        (2, ["report", "--ckpt", "one.npz", "-o", "one.npz"], "a name ending in .html"),
        (2, ["report", "--ckpt", "one.npz", "--text", "a.html", "-o", "a.html"], "but is read"),
        (1, ["report", "--ckpt", "none.npz", "-o", "a.html"], "none.npz: No such file"),
    ],
)
def test_bad_requests_get_one_clear_line(
    folder: Path, code: int, arguments: list[str], expected: str
) -> None:
    (folder / "empty.jsonl").touch()
    assert expected in refused(code, *arguments, cwd=folder)


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("matplotlib", "plot", ["plot", "one.jsonl", "-o", "none.png"]),
        ("jinja2", "report", ["report", "--ckpt", "one.npz", "-o", "none.html"]),
    ],
)
def test_a_missing_extra_is_named(
    folder: Path, package: str, extra: str, arguments: list[str]
) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; from charnn.commands.app import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("charnn: error: ")
    assert result.stderr.endswith(f"is not installed: pip install 'charnn[{extra}]'\n")
    assert len(result.stderr.splitlines()) == 1
    assert not (folder / arguments[-1]).exists()


def test_the_browser_tests_say_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "bash").symlink_to(shutil.which("bash") or "")
    result = subprocess.run(
        [shutil.which("make") or "", "-f", str(ROOT / "Makefile"), "test-browser"],
        cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2
    assert "apt-get install chromium" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bash"]
