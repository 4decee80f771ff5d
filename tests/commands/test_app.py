"""The commands as a shell runs them: subprocesses, pipes, signals, exit codes."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charnn
from charnn.sampling import preview
from tests.helpers.commands import CHARNN, Terminal, ok, on_a_terminal, run
from tests.helpers.reference import loop
from tests.helpers.texts import english

TRAIN = ["train", "--data", "text.txt", "--out", "run.npz", "--max-steps", "40", "--seed", "1"]
for setting in ("model.hidden_size=16", "model.num_layers=2", "training.eval_every=10"):
    TRAIN += ["--set", setting]
PARAMETERS = ["U0", "W0", "b0", "U1", "W1", "b1", "V", "c"]


def refused(code: int, *arguments: str, cwd: Path, text: str | None = None) -> str:
    """Run a command that must fail in one clear line; return the line."""
    result = run(*arguments, cwd=cwd, text=text)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("charnn: error: ")
    return lines[0].removeprefix("charnn: error: ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(english(20_000))
    result = run(*TRAIN, cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "stderr").write_text(result.stderr)
    (folder / "stdout").write_text(result.stdout)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text alone."""
    (tmp_path / "text.txt").write_text(english(20_000))
    return tmp_path


# --- train ---------------------------------------------------------------------------------------


def test_train_writes_three_files_and_speaks_in_plain_lines(trained: Path) -> None:
    files = {path.name for path in trained.iterdir()}
    assert files == {"text.txt", "run.npz", "run.best.npz", "run.jsonl", "stderr", "stdout"}
    assert (trained / "stdout").read_text() == ""
    lines = (trained / "stderr").read_text().splitlines()
    assert lines[0].startswith("text: 20,000 characters, ")
    assert lines[1].startswith("model: 2 layers of 16 tanh units, ")
    assert lines[2] == "plan: 40 steps of 32 × 64 characters, 4.44 epochs; seed 1"
    assert [line.split("  ")[0] for line in lines[3:7]] == [
        f"step {step}/40" for step in (10, 20, 30, 40)
    ]
    assert "  val " in lines[3]
    assert lines[7:9] == ["done:", "run.npz: step 40 of 40"]
    assert lines[9].startswith("run.best.npz: validation ")
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
    lines = ["this run is finished; a higher --max-steps goes on:", "moved.npz: step 40 of 40"]
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


def test_outputs_are_never_overwritten_unasked(folder: Path) -> None:
    for name in ("run.npz", "run.best.npz", "run.jsonl"):
        (folder / name).write_text("precious")
        line = refused(2, *TRAIN, cwd=folder)
        assert line.startswith(f"{name} exists; ")
        assert "--overwrite" in line
        assert ("--resume" in line) == (name == "run.npz")
        # With --resume, too, nothing is replaced: there is no run to go on with.
        refused(1 if name == "run.npz" else 2, *TRAIN, "--resume", cwd=folder)
        assert (folder / name).read_text() == "precious"
        (folder / name).unlink()
    (folder / "run.best.npz").write_text("old")
    ok(*TRAIN, "--overwrite", cwd=folder)
    assert (folder / "run.best.npz").read_bytes()[:2] == b"PK"


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


def test_a_terminal_that_closes_costs_nothing(folder: Path) -> None:
    with Terminal(*TRAIN, "--max-steps", "1000000", cwd=folder) as terminal:
        terminal.wait_for(b"step 20 ")
        terminal.close()
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.wait() == 128 + signal.SIGHUP
    assert json.loads(ok("info", "run.npz", "--json", cwd=folder))["step"] >= 20


def test_a_finished_run_says_so_and_exits_0(trained: Path) -> None:
    before = (trained / "run.npz").read_bytes()
    result = run("train", "--resume", "--out", "run.npz", cwd=trained)
    assert result.returncode == 0
    assert "this run is finished" in result.stderr
    assert (trained / "run.npz").read_bytes() == before


def test_resume_without_a_checkpoint_starts_anew_and_says_so(folder: Path) -> None:
    result = run(*TRAIN, "--resume", "--stop-after", "2", cwd=folder)
    assert result.returncode == 0
    assert result.stderr.startswith("run.npz does not exist yet: starting anew\n")
    assert "go on with: charnn train --resume --out run.npz" in result.stderr


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
    assert rest.splitlines()[-1] == "go on with: charnn train --resume --out run.npz"
    info = json.loads(ok("info", "run.npz", "--json", cwd=folder))
    assert info["step"] >= 10


def test_the_time_limit_ends_an_invocation_and_not_the_plan(folder: Path) -> None:
    result = run(*TRAIN, "--max-steps", "1000000", "--time-limit", "1s", cwd=folder)
    assert result.returncode == 0
    assert "stopped by the time limit:\nrun.npz: step " in result.stderr
    assert " of 1,000,000\n" in result.stderr
    info = json.loads(ok("info", "run.npz", "--json", cwd=folder))
    assert info["config"]["training"]["max_steps"] == 1_000_000
    # It is of that invocation alone: the next one must not inherit it.
    assert info["config"]["training"]["time_limit"] is None


def test_standard_input_trains_and_resumes_on_the_same_text_alone(folder: Path) -> None:
    text = (folder / "text.txt").read_text()
    piped = ["-" if part == "text.txt" else part for part in TRAIN]
    result = run(*piped, "--stop-after", "5", cwd=folder, text=text)
    assert result.returncode == 0
    assert result.stderr.endswith("charnn train --resume --out run.npz < TEXT\n")
    line = refused(1, "train", "--resume", "--out", "run.npz", cwd=folder, text=text[1:])
    assert "the text is not the one run.npz was trained on" in line
    ok("train", "--resume", "--out", "run.npz", cwd=folder, text=text)


def test_init_names_the_characters_that_are_new(trained: Path, folder: Path) -> None:
    (folder / "new.txt").write_text("naïve " * 500)
    arguments = ["train", "--init", str(trained / "run.npz"), "--data", "new.txt", "--quiet"]
    line = refused(1, *arguments, cwd=folder)
    assert "new.txt: 500 characters are not in the vocabulary (1 different)" in line
    assert "'ï' (U+00EF) at line 1, column 3" in line
    assert "--init" in line
    ok("train", "--init", str(trained / "run.npz"), *TRAIN[1:], "--max-steps", "2", cwd=folder)


def test_a_changed_key_is_refused_by_name_when_resuming(trained: Path) -> None:
    arguments = ["train", "--resume", "--out", "run.npz", "--set", "model.hidden_size=17"]
    line = refused(2, *arguments, cwd=trained)
    assert line.startswith("model.hidden_size is 17, but the run to resume has 16")


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
    figures = json.loads(ok("info", "run.npz", "--json", cwd=tmp_path))
    assert figures["vocabulary"] == "".join(sorted(set(text)))
    command = [*CHARNN, "sample", "--ckpt", "run.npz", "--n", "50", "--prime", text[:9]]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert printed.decode().startswith(text[:9])
    assert len(printed.decode()) == 59
    assert set(printed.decode()) <= set(text)
    evaluation = json.loads(
        ok("eval", "--ckpt", "run.npz", "--data", "text.txt", "--json", cwd=tmp_path)
    )
    assert evaluation["characters"] == len(text)


def test_dry_run_prints_a_config_and_its_costs_and_writes_nothing(folder: Path) -> None:
    printed = ok(*TRAIN, "--dry-run", cwd=folder)
    for name in ("parameters", "memory", "steps", "FLOP a step", "time"):
        assert f"\n# {name} " in printed
    assert [path.name for path in folder.iterdir()] == ["text.txt"]
    (folder / "again.yaml").write_text(printed)
    ok("train", "--config", "again.yaml", cwd=folder)


def test_on_a_terminal_a_text_that_takes_long_is_shown_as_it_is_read(tmp_path: Path) -> None:
    with Terminal(
        "train", "--data", "-", "--out", "run.npz", cwd=tmp_path, stdin=subprocess.PIPE
    ) as terminal:
        assert terminal.process.stdin
        terminal.process.stdin.write(b"to be or not to be\n" * 10_000)
        terminal.process.stdin.flush()
        terminal.wait_for(b"kB")
        assert b"reading standard input" in terminal.shown
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 130
    assert not list(tmp_path.iterdir())


def test_on_a_terminal_there_is_a_bar_and_a_sample_and_control_characters_are_escaped(
    tmp_path: Path,
) -> None:
    (tmp_path / "text.txt").write_text("\x1b[31mred\x07 alert\n" * 500)
    shown = on_a_terminal(*TRAIN, "--max-steps", "20", cwd=tmp_path)
    assert "━" in shown
    assert "step 20  train" in shown
    assert "\\x1b" in shown
    sample = ["sample", "--ckpt", "run.npz", "--n", "300", "--seed", "1"]
    drawn = on_a_terminal(*sample, cwd=tmp_path)
    assert "\\x1b" in drawn
    for screen in (shown, drawn):
        assert "\x1b[31mred" not in screen
        assert "\x07" not in screen
    raw = ok(*sample, cwd=tmp_path)
    assert "\x1b" in raw
    assert len(raw) == 300


# --- sample --------------------------------------------------------------------------------------


def test_sample_prints_exactly_n_characters_and_one_seed_gives_one_text(trained: Path) -> None:
    one = run("sample", "--ckpt", "run.npz", "--n", "500", "--seed", "7", cwd=trained)
    assert (len(one.stdout), one.stderr) == (500, "")
    assert ok("sample", "--ckpt", "run.npz", "--n", "500", "--seed", "7", cwd=trained) == one.stdout
    assert ok("sample", "--ckpt", "run.npz", "--n", "500", "--seed", "8", cwd=trained) != one.stdout


def test_a_seed_nobody_gave_goes_to_stderr_and_repeats_the_text(trained: Path) -> None:
    first = run("sample", "--ckpt", "run.npz", "--n", "80", cwd=trained)
    name, seed = first.stderr.split()
    assert name == "seed"
    again = ok("sample", "--ckpt", "run.npz", "--n", "80", "--seed", seed, cwd=trained)
    assert again == first.stdout


def test_the_prime_is_printed_first_and_not_counted(trained: Path) -> None:
    printed = ok("sample", "--ckpt", "run.npz", "--n", "9", "--prime", "The king", cwd=trained)
    assert printed.startswith("The king")
    assert len(printed) == len("The king") + 9
    arguments = ["sample", "--ckpt", "run.npz", "--n", "9", "--prime-file", "-"]
    assert ok(*arguments, cwd=trained, text="river").startswith("river")


def test_many_samples_are_separated_and_follow_the_softmax(trained: Path) -> None:
    """A chi-square test of 4,000 first characters against ŷ, computed here from the file."""
    command = ["sample", "--ckpt", "run.npz", "--n", "1", "--samples", "4000", "--seed", "5"]
    texts = ok(*command, "--prime", "The ", cwd=trained).split("\n---\n")
    assert len(texts) == 4000
    with np.load(trained / "run.npz") as file:
        p = {name: file[name] for name in PARAMETERS}
        points = file["vocabulary"].tolist()
    h = [np.zeros(16), np.zeros(16)]
    for character in "The ":
        x = np.eye(len(points))[points.index(ord(character))]
        for layer in (0, 1):
            h[layer] = np.tanh(p[f"U{layer}"] @ x + p[f"W{layer}"] @ h[layer] + p[f"b{layer}"])
            x = h[layer]
    y = np.exp(p["V"] @ x + p["c"])
    expected = 4000 * y / y.sum()
    drawn = np.bincount([points.index(ord(text[4])) for text in texts], minlength=len(points))
    common = expected >= 5
    assert common.sum() > 20
    observed = np.append(drawn[common], drawn[~common].sum())
    expected = np.append(expected[common], expected[~common].sum() + 1e-9)
    chi_square = ((observed - expected) ** 2 / expected).sum()
    freedom = len(observed) - 1
    # Five standard deviations above the mean of the chi-square distribution.
    assert chi_square < freedom + 5 * math.sqrt(2 * freedom)


def test_a_model_that_overflows_is_said_to(folder: Path) -> None:
    relu = ["--set", "model.activation=relu", "--set", "model.hidden_size=4"]
    out = ["--data", "text.txt", "--out", "relu.npz"]
    ok("train", *out, *relu, "--stop-after", "0", "--set", "training.eval_every=50", cwd=folder)
    checkpoint = charnn.load(folder / "relu.npz")
    checkpoint.model.parameters["W0"][...] = 2 * np.eye(4)
    checkpoint.model.parameters["b0"][...] = 1
    checkpoint.save(folder / "relu.npz")
    for options in ([], ["--top-k", "3"], ["--greedy"], ["--samples", "3"]):
        result = run(
            "sample", "--ckpt", "relu.npz", "--n", "300", "--seed", "1", *options, cwd=folder
        )
        assert result.returncode == 1
        line = "charnn: error: the next character cannot be drawn: the model overflows\n"
        assert result.stderr == line
    assert preview(checkpoint.model, checkpoint.vocabulary, seed=1)


def test_a_closed_pipe_ends_quietly(trained: Path) -> None:
    command = f"{' '.join(CHARNN)} sample --ckpt run.npz --n 1000000 --seed 1 | head -c 10"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=trained,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, len(result.stdout), result.stderr) == (0, 10, b"")


def test_help_read_by_halves_ends_quietly(trained: Path) -> None:
    command = f"{' '.join(CHARNN)} train --help | head -c 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=trained, capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"U", b"")


# --- eval, info, config --------------------------------------------------------------------------


def test_eval_equals_the_plain_loop(trained: Path) -> None:
    text = (trained / "text.txt").read_text()[-2000:]
    figures = json.loads(ok("eval", "--ckpt", "run.npz", "--json", cwd=trained))
    with np.load(trained / "run.npz") as file:
        parameters = {name: file[name] for name in PARAMETERS}
        points = {point: k for k, point in enumerate(file["vocabulary"].tolist())}
    ids = np.array([points[ord(character)] for character in text])
    state = np.zeros((2, 1, 16))
    expected = loop(parameters, "tanh", ids[:-1, None], ids[1:, None], state).loss / (len(ids) - 1)
    assert figures["nats_per_char"] == pytest.approx(expected, abs=1e-6)
    assert figures["bits_per_char"] == pytest.approx(expected / math.log(2), abs=2e-6)
    assert figures["characters"] == 2000
    log = (trained / "run.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["val_loss"] == figures["nats_per_char"]


def test_eval_with_a_context_starts_anew_after_so_many_characters(trained: Path) -> None:
    checkpoint = charnn.load(trained / "run.npz")
    ids = checkpoint.vocabulary.encode((trained / "text.txt").read_text()[-2000:])
    figures = json.loads(ok("eval", "--ckpt", "run.npz", "--context", "9", "--json", cwd=trained))
    assert figures["context"] == 9
    expected = charnn.evaluate(checkpoint.model, ids, context=9)
    assert figures["nats_per_char"] == pytest.approx(expected.nats_per_char, abs=1e-9)
    carried = json.loads(ok("eval", "--ckpt", "run.npz", "--json", cwd=trained))
    assert carried["nats_per_char"] != figures["nats_per_char"]
    assert "context" not in carried
    line = refused(2, "eval", "--ckpt", "run.npz", "--context", "0", cwd=trained)
    assert "must be greater than or equal to 1" in line


def test_the_own_text_is_recognised_where_it_lies_now(trained: Path, tmp_path: Path) -> None:
    moved = str(tmp_path / "moved.txt")
    Path(moved).write_text((trained / "text.txt").read_text())
    name = ["--ckpt", "run.npz", "--json", "--data", moved]
    own = json.loads(ok("eval", "--ckpt", "run.npz", "--json", cwd=trained))
    result = run("eval", *name, "--split", "val", cwd=trained)
    assert (json.loads(result.stdout), result.stderr) == (own, "")
    whole = run("eval", *name, cwd=trained)
    assert json.loads(whole.stdout)["characters"] == 20_000
    expected = f"note: this model was trained on {moved}, but for its last 10%; see --split\n"
    assert whole.stderr == expected
    for command in (["inspect"], ["report", "-o", str(tmp_path / "page.html")]):
        seen = run(*command, "--ckpt", "run.npz", "--text", moved, cwd=trained)
        assert f"note: this model was trained on {moved}, but for its last 10%\n" in seen.stderr
    (tmp_path / "moved.txt").write_text(english(500, seed=9))
    assert "moved.txt is another" in refused(2, "eval", *name, "--split", "val", cwd=trained)


def test_eval_reads_other_texts_and_pipes(trained: Path) -> None:
    text = english(500, seed=9)
    piped = ok("eval", "--ckpt", "run.npz", "--data", "-", "--json", cwd=trained, text=text)
    (trained / "other.txt").write_text(text)
    read = ok("eval", "--ckpt", "run.npz", "--data", "other.txt", "--json", cwd=trained)
    first, second = json.loads(piped), json.loads(read)
    assert first["nats_per_char"] == second["nats_per_char"]
    line = refused(1, "eval", "--ckpt", "run.npz", "--data", "-", cwd=trained, text="the é@é king")
    assert "'é' (U+00E9) at line 1, column 5" in line
    skip = ["eval", "--ckpt", "run.npz", "--data", "-", "--unknown", "skip", "--json"]
    figures = json.loads(ok(*skip, cwd=trained, text="the é@é king"))
    assert (figures["skipped"], figures["characters"]) == (3, 9)


def test_info_tells_what_a_checkpoint_holds(trained: Path) -> None:
    figures = json.loads(ok("info", "run.npz", "--json", cwd=trained))
    assert (figures["hidden_size"], figures["num_layers"], figures["step"]) == (16, 2, 40)
    assert figures["config"]["training"]["max_steps"] == 40
    assert "hidden size     16" in ok("info", "run.npz", cwd=trained)


def test_the_printed_config_is_one_that_train_takes(folder: Path) -> None:
    (folder / "all.yaml").write_text(ok("config", cwd=folder))
    command = ["train", "--config", "all.yaml", "--data", "text.txt", "--stop-after", "1"]
    ok(*command, "--quiet", cwd=folder)
    assert (folder / "run.npz").exists()


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "arguments", "expected"),
    [
        (2, ["train"], "no text given: use --data PATH, or data.path in the config"),
        (1, ["train", "--data", "none.txt"], "none.txt: No such file or directory"),
        (1, ["train", "--data", "empty.txt"], "the text is empty"),
        (1, ["train", "--data", "binary.txt"], "binary.txt:1: not UTF-8 text: byte 0xff"),
        (2, ["train", "--data", "text.txt", "--out", "run.txt"], "name ending in .npz"),
        (2, ["train", "--data", "text.txt", "--out", "no/run.npz"], "folder no does not exist"),
        (2, ["train", "--config", "none.yaml"], "none.yaml: No such file or directory"),
        (2, ["train", "--config", "bad.yaml"], "bad.yaml:3: training.learning_rate must be > 0"),
        (2, ["train", "--data", "text.txt", "--set", "model.hiden_size=3"], "did you mean"),
        (2, ["train", "--data", "text.txt", "--max-steps", "-1"], "--max-steps: training.max"),
        (2, ["train", "--resume", "--overwrite"], "exclude each other"),
        (2, ["train", "--no-such-option"], "--no-such-option"),
        (2, ["train", "--epochs", "3"], "of the config: --set training.epochs=VALUE"),
        (2, ["train", "--hidden-size=3"], "of the config: --set model.hidden_size=VALUE"),
        (2, ["sample"], "--ckpt"),
        (1, ["sample", "--ckpt", "none.npz"], "none.npz: No such file or directory"),
        (1, ["sample", "--ckpt", "text.txt"], "text.txt: not a usable checkpoint"),
        (2, ["sample", "--ckpt", "x.npz", "--temperature", "0"], "--temperature must be"),
        (2, ["sample", "--ckpt", "x.npz", "--top-p", "1.5"], "--top-p must be"),
        (2, ["eval", "--ckpt", "x.npz", "--split", "vla"], "vla"),
        (2, ["frobnicate"], "frobnicate"),
        (2, ["train", "--data", ""], "--data: data.path must not be empty"),
        (2, ["sample", "--ckpt", "x.npz", "--seed", "99999999999999999999"], "--seed"),
        (2, ["sample", "--ckpt", "x.npz", "--n", "99999999999999999999"], "--n"),
        (1, ["train", "--data", "loop.txt"], "loop.txt: Too many levels of symbolic links"),
        (2, ["train", "--data", "text.txt", "--set", 'output.checkpoint="\\0.npz"'], "null"),
        (2, ["train", "--set", 'data.path="\\0"'], "data.path must not hold a null character"),
    ],
)
def test_bad_requests_get_one_clear_line(
    folder: Path, code: int, arguments: Sequence[str], expected: str
) -> None:
    (folder / "empty.txt").touch()
    (folder / "binary.txt").write_bytes(b"ab\xff\xfe\n")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "bad.yaml").write_text("data: {path: text.txt}\ntraining:\n  learning_rate: -1\n")
    before = sorted(path.name for path in folder.iterdir())
    assert expected in refused(code, *arguments, cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_full_disk_behind_stdout_is_one_line(trained: Path) -> None:
    sample = ["sample", "--ckpt", "run.npz", "--seed", "1"]
    for command in (["config"], ["--help"], ["train", "--help"], ["--version"], sample):
        with Path("/dev/full").open("wb") as full:
            result = subprocess.run(
                [*CHARNN, *command], cwd=trained, stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert result.returncode == 1
        line = b"charnn: error: standard output: No space left on device\n"
        assert result.stderr == line


def test_a_run_under_nohup_outlives_its_terminal(folder: Path) -> None:
    command = "trap '' HUP; exec " + " ".join([*CHARNN, *TRAIN, "--max-steps=400"])
    with subprocess.Popen(command, shell=True, cwd=folder, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith(b"step 10/"):
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        process.stderr.read()
    assert process.returncode == 0
    assert charnn.load(folder / "run.npz").progress.step == 400


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_stop_no_training(folder: Path, closed: str) -> None:
    command = " ".join([*CHARNN, *TRAIN, "--threads", "2", closed])
    result = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert charnn.load(folder / "run.npz").progress.step == 40
    assert result.stdout == b""


def test_results_need_an_open_stdout(trained: Path) -> None:
    for command in ("inspect --ckpt run.npz", "eval --ckpt run.npz", "info run.npz", "config"):
        shell = " ".join([*CHARNN, command, ">&-"])
        result = subprocess.run(shell, shell=True, cwd=trained, capture_output=True, check=False)
        line = b"charnn: error: standard output is closed\n"
        assert (result.returncode, result.stderr) == (1, line)


def test_output_is_utf8_whatever_the_locale(folder: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    printed = subprocess.run(
        [*CHARNN, "config"], cwd=folder, env=environment, capture_output=True, check=True
    ).stdout
    assert "uniform (±1/√fan-in)" in printed.decode("utf-8")


def test_help_and_version(folder: Path) -> None:
    assert ok("--version", cwd=folder) == f"charnn {charnn.__version__}\n"
    for command in ("train", "sample", "eval", "info", "config"):
        assert "charnn " in ok(command, "--help", cwd=folder)
        assert command in ok("--help", cwd=folder)


def test_help_imports_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys, charnn.commands.app; print({'numpy', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    result: Any = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
