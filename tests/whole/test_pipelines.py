"""The pipelines of the Makefile, run on small texts and models in an empty folder."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.places import ROOT
from tests.helpers.texts import english

pytestmark = pytest.mark.processes

MAKE = [
    "make",
    "-f",
    str(ROOT / "Makefile"),
    f"CHARNN={shlex.join([sys.executable, '-m', 'charnn'])}",
]
SMALL = "--seed 1 --max-steps 30 --set training.eval_every=10 --set model.hidden_size=8 "
SMALL += "--set model.num_layers=1"


def make(*arguments: str, cwd: Path, settings: str = SMALL) -> subprocess.CompletedProcess[str]:
    """Run make without the variables of a make that runs the tests."""
    environment = {k: v for k, v in os.environ.items() if not re.match("MAKE|MFLAGS", k)}
    result = subprocess.run(
        [*MAKE, f"SETTINGS={settings}", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert not (cwd / ".venv").exists()
    return result


def ok(*arguments: str, cwd: Path, settings: str = SMALL) -> str:
    """Run a target that must succeed; return what it printed."""
    result = make(*arguments, cwd=cwd, settings=settings)
    assert result.returncode == 0, result.stderr
    return result.stdout


def fails(*arguments: str, cwd: Path) -> str:
    """Run a target that must fail; return its stderr."""
    result = make(*arguments, cwd=cwd)
    assert result.returncode == 2, result.stdout
    return result.stderr


def rows(printed: str, header: str) -> list[list[str]]:
    """Return the rows of a table, split at blanks, below the line that starts with `header`."""
    lines = printed.splitlines()
    first = next(i for i, line in enumerate(lines) if line.split()[0] == header)
    return [line.split() for line in lines[first + 1 :]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with only a text."""
    (tmp_path / "text.txt").write_text(english(8000))
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two texts and a model of the first."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "text.txt").write_text(english(8000))
    (folder / "other.txt").write_text(english(2000, seed=1)[::-1] + "ΩΩΩ")
    ok("stdin", "TEXT=text.txt", cwd=folder)
    return folder


def test_every_pipeline_is_listed_and_on_its_page(folder: Path) -> None:
    listed = set(re.findall(r"^make (\w+) ", ok("help", cwd=folder), re.MULTILINE))
    page = (ROOT / "docs" / "shell.md").read_text(encoding="utf-8")
    assert {"stdin", "words", "score", "sweep", "table"} <= listed
    assert set(re.findall(r"\bmake (\w+)", page)) == {
        "stdin",
        "words",
        "score",
        "sweep",
        "table",
    }


def test_stdin_trains_on_what_the_pipe_brings_and_goes_on_where_it_ended(folder: Path) -> None:
    ok("stdin", "TEXT=text.txt", "RUNS=here", cwd=folder, settings=SMALL + " --stop-after 12")
    ok("stdin", "TEXT=text.txt", "RUNS=here", cwd=folder)
    assert {path.name for path in folder.iterdir()} == {"text.txt", "here"}
    names = {path.name for path in (folder / "here").iterdir()}
    assert names == {"stdin.npz", "stdin.best.npz", "stdin.jsonl"}
    log = (folder / "here/stdin.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [10, 20, 30]


def test_stdin_joins_several_texts(folder: Path) -> None:
    (folder / "more.txt").write_text(english(4000, seed=2))
    assert "text: 12,000 characters" in make("stdin", "TEXT=text.txt more.txt", cwd=folder).stderr


def test_words_are_counted_and_the_most_frequent_come_first(trained: Path) -> None:
    printed = ok("-s", "words", "CKPT=runs/stdin.best.npz", "N=5000", cwd=trained)
    counts = [int(line.split()[0]) for line in printed.splitlines()]
    assert len(counts) == 20
    assert counts == sorted(counts, reverse=True)
    assert all(re.fullmatch(r" *\d+ \w+", line) for line in printed.splitlines())


def test_words_survive_more_of_them_than_a_pipe_holds(trained: Path) -> None:
    """A pipeline that ends in `head` would fail here: `sort` writes after `head` has ended."""
    ok("words", "CKPT=runs/stdin.best.npz", "N=60000", cwd=trained)


def test_score_is_eval_of_each_text_under_each_model(trained: Path) -> None:
    printed = ok(
        "score",
        "TEXT=text.txt other.txt",
        "CKPT=runs/stdin.npz runs/stdin.best.npz",
        cwd=trained,
    )
    table = rows(printed, "bits/char")
    assert [row[2:] for row in table] == [
        [text, model]
        for text in ("text.txt", "other.txt")
        for model in ("runs/stdin.npz", "runs/stdin.best.npz")
    ]
    assert [row[1] for row in table] == ["0", "0", "3", "3"]
    command = [sys.executable, "-m", "charnn", "eval", "--ckpt", "runs/stdin.npz", "--json"]
    command += ["--data", "other.txt", "--unknown", "skip"]
    figures = json.loads(subprocess.check_output(command, cwd=trained))
    assert table[2][0] == f"{figures['bits_per_char']:.3f}"


def test_sweep_trains_each_value_and_prints_a_table_the_best_first(folder: Path) -> None:
    sweep = ["sweep", "TEXT=text.txt", "KEY=model.hidden_size", "VALUES=4 12  8"]
    table = rows(ok(*sweep, cwd=folder), "val_loss")
    assert {row[-1] for row in table} == {f"model.hidden_size={H}" for H in (4, 8, 12)}
    losses = [float(row[0]) for row in table]
    assert losses == sorted(losses)
    K = len(set(english(8000)))
    for loss, bits, tested, parameters, seconds, speed, run in table:
        H = int(run.partition("=")[2])
        assert int(parameters) == 2 * H * K + H * H + H + K
        log = (folder / f"runs/{run}.jsonl").read_text().splitlines()
        lines = [json.loads(line) for line in log]
        best = min(line["val_loss"] for line in lines)
        assert (loss, tested) == (f"{best:.4f}", "-")
        assert float(bits) == pytest.approx(best / 0.6931472, abs=1e-4)
        assert float(seconds) == pytest.approx(lines[-1]["seconds"], abs=0.06)
        assert int(speed) == int(lines[-1]["characters"] / lines[-1]["seconds"])


def test_sweep_again_trains_what_is_new_or_was_stopped_and_keeps_the_rest(folder: Path) -> None:
    sweep = ["sweep", "TEXT=text.txt", "KEY=training.learning_rate"]
    ok(*sweep, "VALUES=1e-3", cwd=folder)
    ok(*sweep, "VALUES=1e-2", cwd=folder, settings=SMALL + " --stop-after 12")
    done = folder / "runs/training.learning_rate=1e-3.npz"
    before = done.read_bytes()
    result = make(*sweep, "VALUES=1e-3 1e-2 3e-2", "JOBS=2", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert done.read_bytes() == before
    table = rows(result.stdout, "val_loss")
    assert rows(ok("table", cwd=folder), "val_loss") == table
    assert len(table) == 3
    for *_, run in table:
        log = (folder / f"runs/{run}.jsonl").read_text().splitlines()
        assert json.loads(log[-1])["step"] == 30


def test_the_table_has_test_losses_and_the_mean_over_seeds(folder: Path) -> None:
    settings = f"{SMALL.replace('--seed 1', '')} --set data.test_fraction=0.2"
    seeds = ["sweep", "TEXT=text.txt", "KEY=training.seed", "VALUES=1 2 3"]
    ok(*seeds, cwd=folder, settings=settings)
    ok("sweep", "TEXT=text.txt", "VALUES=4", cwd=folder, settings=settings)
    *table, last = ok("-s", "table", cwd=folder).splitlines()[1:]
    found = {row[-1]: row for row in map(str.split, table)}
    seeds = [f"training.seed={seed}" for seed in (1, 2, 3)]
    for run in seeds:
        command = [sys.executable, "-m", "charnn", "eval", "--ckpt", f"runs/{run}.best.npz"]
        figures = json.loads(
            subprocess.check_output([*command, "--split", "test", "--json"], cwd=folder)
        )
        assert found[run][2] == f"{figures['nats_per_char']:.4f}"
    assert len(table) == 4
    said = re.fullmatch(
        r"3 seeds of training.seed=1: mean (.+) \((.+) to (.+)\), test (.+) \((.+) to (.+)\)", last
    )
    assert said
    for column, (mean, low, high) in {0: said.groups()[:3], 2: said.groups()[3:]}.items():
        losses = [float(found[run][column]) for run in seeds]
        assert float(mean) == pytest.approx(sum(losses) / 3, abs=1e-4)
        assert (float(low), float(high)) == (min(losses), max(losses))


def test_sweep_fails_if_one_run_does_and_the_others_are_in_the_table(folder: Path) -> None:
    said = fails("sweep", "TEXT=text.txt", "KEY=model.init", "VALUES=x normal(0.1)", cwd=folder)
    assert "charnn: error: --set: model.init must be" in said
    table = rows(ok("table", cwd=folder), "val_loss")
    assert [row[-1] for row in table] == ["model.init=normal(0.1)"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["stdin", "TEXT=none.txt"], "none.txt"),
        (["stdin", "TEXT=text.txt", "SETTINGS=--set model.hidden_size=0"], "charnn: error: --set"),
        (["words", "CKPT=none.npz"], "charnn: error: none.npz: No such file"),
        (["score", "TEXT=text.txt", "CKPT=none.npz"], "charnn: error: none.npz: No such file"),
        (["sweep", "TEXT=text.txt", "KEY=model.hiden_size", "VALUES=4"], "did you mean"),
        (["table"], "No such file"),
    ],
)
def test_what_fails_in_a_pipe_fails_the_target(
    folder: Path, arguments: list[str], expected: str
) -> None:
    result = make("-s", *arguments, cwd=folder)
    assert result.returncode == 2
    assert expected in result.stderr
    assert len(result.stdout.splitlines()) <= 1  # a table's header, but none of its rows


# --- Slurm ---------------------------------------------------------------------------------------


def sbatch(script: str, *arguments: str, cwd: Path, **variables: str) -> None:
    """Run a script as Slurm runs one of its tasks."""
    folder = str(Path(sys.executable).parent)
    path = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "docs" / script), *arguments]
    subprocess.run(command, cwd=cwd, env=os.environ | path | variables, check=True, timeout=60)


def test_a_slurm_array_makes_the_runs_of_a_sweep(folder: Path) -> None:
    (folder / "runs").mkdir()
    values = ["model.hidden_size", "4", "8"]
    for task in ("1", "2"):
        settings = {"SETTINGS": f"--data text.txt {SMALL}", "SLURM_CPUS_PER_TASK": "1"}
        sbatch("sweep.sbatch", *values, cwd=folder, SLURM_ARRAY_TASK_ID=task, **settings)
    table = rows(ok("table", cwd=folder), "val_loss")
    assert {row[-1] for row in table} == {"model.hidden_size=4", "model.hidden_size=8"}


def test_a_slurm_job_makes_one_run_by_all_its_tasks(folder: Path) -> None:
    run = ["--data", "text.txt", "--out", "run.npz", *SMALL.split()]
    sbatch("train.sbatch", *run, cwd=folder, SLURM_NTASKS="2")
    assert (folder / "run.best.npz").exists()


def test_the_browser_tests_say_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "bash").symlink_to(shutil.which("bash") or "")
    result = subprocess.run(
        [shutil.which("make") or "", "-f", str(ROOT / "Makefile"), "test-browser"],
        cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2
    assert "apt-get install chromium" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bash"]
