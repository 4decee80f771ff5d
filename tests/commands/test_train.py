"""`charnn train`: what it writes and prints, how it stops and resumes."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import charnn
from tests.helpers.commands import CHARNN, TRAIN, Terminal, ok, refused, run
from tests.helpers.in_process import ok_here, run_here
from tests.helpers.texts import english


def test_train_writes_three_files_and_speaks_in_plain_lines(trained: Path) -> None:
    files = {path.name for path in trained.iterdir()}
    assert files == {"text.txt", "run.npz", "run.best.npz", "run.jsonl", "stderr", "stdout"}
    assert (trained / "stdout").read_text() == ""
    lines = (trained / "stderr").read_text().splitlines()
    assert lines[0].startswith("text: 20,000 characters, ")
    assert lines[1].startswith("model: 2 layers of 16 tanh units, ")
    assert lines[2] == "plan: 40 steps of 32 × 64 characters, 4.44 epochs; seed 1"
    assert lines[3] == "chosen for this text:"
    steps = [line for line in lines if line.startswith("step")]
    assert [line.split("  ")[0] for line in steps] == [f"step {s}/40" for s in (10, 20, 30, 40)]
    assert all("  val " in line for line in steps)
    done = lines.index(steps[-1]) + 1
    assert lines[done : done + 2] == ["done:", "run.npz: step 40 of 40"]
    assert lines[done + 2].startswith("run.best.npz: validation ")
    assert "\x1b" not in "".join(lines)


def test_a_plan_of_no_steps_writes_a_checkpoint(folder: Path) -> None:
    ok("train", "--data", "text.txt", "--out", "none.npz", "--max-steps", "0", cwd=folder)
    assert charnn.load(folder / "none.npz").progress.step == 0


def test_windows_line_ends_are_pointed_out(folder: Path) -> None:
    (folder / "text.txt").write_bytes(english(20_000).replace("\n", "\r\n").encode())
    hint = "warning: the text has \\r characters, as in Windows line ends; --set data.norm"
    assert run(*TRAIN, cwd=folder).stderr.startswith(hint)
    resumed = run("train", "--resume", "--out", "run.npz", "--max-steps", "50", cwd=folder)
    assert "Windows" not in resumed.stderr
    setting = ["--overwrite", "--set", "data.normalize_newlines=true"]
    assert "Windows" not in run(*TRAIN, *setting, cwd=folder).stderr


def test_the_summary_names_only_files_that_are_there(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "run.npz", tmp_path / "moved.npz")
    shutil.copy(trained / "text.txt", tmp_path)
    again = run("train", "--resume", "--out", "moved.npz", cwd=tmp_path)
    lines = ["this run is finished; a higher --max-steps continues it:", "moved.npz: step 40 of 40"]
    assert again.stderr.splitlines()[-2:] == lines


def test_a_checkpoint_is_readable_with_numpy_alone(trained: Path) -> None:
    with np.load(trained / "run.npz", allow_pickle=False) as file:
        K = len(file["vocabulary"])
        assert file["U0"].shape == (16, K)
        assert file["W1"].shape == (16, 16)
        assert file["V"].shape == (K, 16)
        assert json.loads(str(file["config"]))["training"]["seed"] == 1


def test_stopping_and_resuming_by_commands_gives_the_same_files(
    trained: Path, folder: Path
) -> None:
    ok(*TRAIN, "--stop-after", "13", cwd=folder)
    ok("train", "--resume", "--out", "run.npz", "--stop-after", "9", cwd=folder)
    ok("train", "--resume", "--out", "run.npz", cwd=folder)
    for name in ("run.npz", "run.best.npz"):
        assert (folder / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.processes
def test_a_second_run_on_the_same_files_is_refused_and_a_dead_one_blocks_nobody(
    folder: Path,
) -> None:
    command = [*CHARNN, *TRAIN, "--max-steps", "1000000"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert any("step 10/" in line for line in process.stderr)
            for way in (["--resume", "--stop-after", "1"], ["--overwrite"]):
                line = refused(1, *TRAIN, "--quiet", *way, "--max-steps", "1000000", cwd=folder)
                assert line.startswith("run.jsonl: another run is writing here; ")
        finally:
            process.kill()
    ok("train", "--resume", "--out", "run.npz", "--stop-after", "1", cwd=folder)
    steps = [json.loads(line)["step"] for line in (folder / "run.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


@pytest.mark.terminal
def test_a_terminal_that_closes_costs_nothing(folder: Path) -> None:
    with Terminal(*TRAIN, "--max-steps", "1000000", cwd=folder) as terminal:
        terminal.wait_for(b"step 20 ")
        terminal.close()
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.wait() == 128 + signal.SIGHUP
    assert json.loads(ok("info", "--ckpt", "run.npz", "--json", cwd=folder))["step"] >= 20


def test_a_finished_run_says_so_and_exits_0(trained: Path) -> None:
    before = (trained / "run.npz").read_bytes()
    result = run("train", "--resume", "--out", "run.npz", cwd=trained)
    assert result.returncode == 0
    assert "this run is finished" in result.stderr
    assert (trained / "run.npz").read_bytes() == before


def test_resume_without_a_checkpoint_starts_anew_and_says_so(folder: Path) -> None:
    result = run(*TRAIN, "--resume", "--stop-after", "2", cwd=folder)
    assert result.returncode == 0
    assert result.stderr.startswith("run.npz does not exist yet: starting a new run\n")
    assert "continue with: charnn train --resume --out run.npz" in result.stderr


def test_quiet_says_nothing(folder: Path) -> None:
    result = run(*TRAIN, "--quiet", cwd=folder)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(
    folder: Path, number: signal.Signals, code: int
) -> None:
    command = [*CHARNN, *TRAIN, "--max-steps", "1000000"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("step 10/" in line for line in process.stderr)
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == code
    assert "interrupted:\nrun.npz: step " in rest
    *_, go_on, draw = rest.splitlines()
    assert go_on == "continue with: charnn train --resume --out run.npz"
    assert re.fullmatch(r"sample with: charnn sample --ckpt run(\.best)?\.npz", draw)
    info = json.loads(ok("info", "--ckpt", "run.npz", "--json", cwd=folder))
    assert info["step"] >= 10


def test_the_time_limit_ends_an_invocation_and_not_the_plan(folder: Path) -> None:
    result = run(*TRAIN, "--max-steps", "1000000", "--time-limit", "1s", cwd=folder)
    assert result.returncode == 0
    assert "stopped by the time limit:\nrun.npz: step " in result.stderr
    assert " of 1,000,000\n" in result.stderr
    info = json.loads(ok("info", "--ckpt", "run.npz", "--json", cwd=folder))
    assert info["config"]["training"]["max_steps"] == 1_000_000
    # The limit is not stored, so the next invocation does not inherit it.
    assert info["config"]["training"]["time_limit"] is None


@pytest.mark.processes
def test_standard_input_trains_and_resumes_on_the_same_text_alone(folder: Path) -> None:
    text = (folder / "text.txt").read_text()
    piped = ["-" if part == "text.txt" else part for part in TRAIN]
    result = run(*piped, "--stop-after", "5", cwd=folder, text=text)
    assert result.returncode == 0
    assert "continue with: charnn train --resume --out run.npz --data - < TEXT\n" in result.stderr
    resume = ["train", "--resume", "--out", "run.npz"]
    line = refused(1, *resume, "--data", "-", cwd=folder, text=text[1:])
    assert "the text is not the one run.npz was trained on" in line
    ok(*resume, "--data", "-", cwd=folder, text=text)


@pytest.mark.processes
def test_any_pipe_is_kept_as_standard_input_and_never_waited_for(folder: Path) -> None:
    def shell(script: str) -> subprocess.CompletedProcess[str]:
        command = script.replace("charnn", " ".join(CHARNN))
        return subprocess.run(
            ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60,
            stdin=subprocess.PIPE, check=False,
        )  # fmt: skip

    options = " ".join(TRAIN[3:]) + " --stop-after 5"
    os.mkfifo(folder / "fifo")
    for name, given in (("bash", "<(cat text.txt)"), ("fifo", "fifo")):
        feed = "cat text.txt > fifo & " if name == "fifo" else ""
        begun = shell(f"{feed}charnn train --data {given} {options} --out {name}.npz")
        assert begun.returncode == 0, begun.stderr
        assert f"--resume --out {name}.npz --data - < TEXT\n" in begun.stderr
        assert charnn.load(folder / f"{name}.npz").config.data.path == ("-",)
        for command in ("eval --ckpt", "inspect --ckpt", "train --resume --out"):
            with (
                (folder / "out").open("w") as out,
                subprocess.Popen(
                    [*CHARNN, *command.split(), f"{name}.npz"], cwd=folder, stdin=subprocess.PIPE,
                    stderr=out,
                ) as unfed,
            ):  # fmt: skip
                assert unfed.wait(60) == 2
            assert "from a pipe: give it again, by --" in (folder / "out").read_text()
        assert shell(f"charnn eval --ckpt {name}.npz < text.txt").returncode == 0
        again = shell(f"charnn train --resume --out {name}.npz --data <(cat text.txt)")
        assert again.returncode == 0, again.stderr


def test_init_names_the_characters_that_are_new(trained: Path, folder: Path) -> None:
    (folder / "new.txt").write_text("naïve " * 500)
    arguments = ["train", "--init", str(trained / "run.npz"), "--data", "new.txt", "--quiet"]
    line = refused(1, *arguments, cwd=folder)
    assert "new.txt: 500 characters are not in the vocabulary (1 different)" in line
    assert "'ï' (U+00EF) at line 1, column 3" in line
    assert line.endswith("let the model learn them by --extend")
    ok("train", "--init", str(trained / "run.npz"), *TRAIN[1:], "--max-steps", "2", cwd=folder)


def test_a_changed_key_is_refused_by_name_when_resuming(trained: Path) -> None:
    arguments = ["train", "--resume", "--out", "run.npz", "--set", "model.hidden_size=17"]
    line = refused(2, *arguments, cwd=trained)
    assert line.startswith("model.hidden_size is 17, but the run to resume has 16")


def test_dry_run_prints_a_config_and_its_costs_and_writes_nothing(folder: Path) -> None:
    printed = ok(*TRAIN, "--dry-run", cwd=folder)
    for name in ("parameters", "memory", "steps", "FLOP a step", "validations", "time"):
        assert f"\n# {name} " in printed
    assert [path.name for path in folder.iterdir()] == ["text.txt"]
    (folder / "again.yaml").write_text(printed)
    ok("train", "--config", "again.yaml", cwd=folder)
    again = run_here(*TRAIN, "--dry-run", cwd=folder)
    timed = re.compile(r"about [\dhms]+")  # measured anew
    assert (again.returncode, timed.sub("", again.stdout)) == (0, timed.sub("", printed))
    assert again.stderr.startswith("note: run.npz exists; continue it with --resume, or replace ")
    for way in ("--overwrite", "--resume", "--quiet"):
        assert "exists" not in run_here(*TRAIN, "--dry-run", way, cwd=folder).stderr


def test_a_dry_run_without_steps_takes_no_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charnn.training.costs.seconds_per_validation", lambda *_, exact=False: 9.0)
    printed = ok_here(*TRAIN, "--max-steps", "0", "--out", "dry.npz", "--dry-run", cwd=folder)
    assert "about 0s in all" in printed
    assert "# time              about 0s" in printed


def test_a_validation_that_takes_long_is_announced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charnn.commands.summaries._LONG_VALIDATION", 0)
    said = run_here(*TRAIN, "--max-steps", "20", cwd=folder).stderr
    assert re.search(r"validation: 2,000 characters every 10 steps, about \d+s each", said)
    printed = ok_here(*TRAIN, "--max-steps", "25", "--out", "dry.npz", "--dry-run", cwd=folder)
    assert re.search(r"# validations +3, about \d+s each, about \d+s in all\n", printed)


def test_the_costs_of_a_run_hold_its_last_and_slower_validation(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "charnn.training.costs.seconds_per_validation",
        lambda trainer, exact=False: 60.0 if exact else 10.0,
    )
    printed = ok_here(*TRAIN, "--max-steps", "25", "--out", "dry.npz", "--dry-run", cwd=folder)
    assert "# validations       3, about 10s each, about 1m20s in all\n" in printed
    assert "# time              about 1m2" in printed
