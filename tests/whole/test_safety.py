"""Nothing is lost, nothing hostile gets in: the campaigns in short, and the order of a save."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from charnn.checkpoint.checkpoint import load
from charnn.config.loading import load_config
from charnn.errors import CharnnError, ConfigError
from charnn.text.corpus import Corpus
from charnn.training.metrics import MetricsLog, exclusive
from charnn.training.outputs import Outputs
from charnn.training.trainer import Trainer
from tests.campaigns.fuzz import charnn
from tests.checkpoint.test_checkpoint import make
from tests.commands.test_app import TRAIN
from tests.helpers.commands import CHARNN, Terminal, on_a_terminal
from tests.helpers.faults import watching
from tests.helpers.places import ROOT
from tests.helpers.texts import english
from tests.training.test_metrics import metrics


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(english(20_000))
    return tmp_path


# --- the campaigns, in short ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "campaign",
    [
        "crash every --every 50",
        "crash disk --every 180",
        "crash signals --every 130",
        "crash kill 3",
        "crash kill 3 --workers",
        "crash signals --every 500 --workers",
        "fuzz checkpoints 2000 --every 10",
        "fuzz commands 450",
    ],
)
def test_a_short_campaign(campaign: str) -> None:
    words = ["-m", *f"tests.{campaign}".split()]
    result = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_what_the_campaigns_watch_for_is_found(tmp_path: Path) -> None:
    """A save that breaks its promise does not get through."""
    code = (
        "import sys, pathlib; import tests.campaigns.crash as crash\n"
        "from charnn.checkpoint import checkpoint\n"
        "def write(path, write):\n"
        "    with path.open('w+b') as file:\n"
        "        write(file)\n"
        "checkpoint.write_atomically = write\n"
        "sys.argv = ['crash', 'every', '--every', '50']\n"
        "crash.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "not a usable checkpoint" in result.stderr


# --- the order of things -------------------------------------------------------------------------


def operations(run: Iterator[tuple[str, str]]) -> list[str]:
    """Return each kind of operation once for as often as it comes in a row, temporaries by name."""
    named = (f"{name} {'temporary' if path.endswith('.tmp') else path}" for name, path in run)
    return [name for name, _ in groupby(named)]


def test_a_save_writes_flushes_reads_back_renames_and_flushes_the_folder(tmp_path: Path) -> None:
    done: list[tuple[str, str]] = []
    with watching(lambda operation, path: done.append((operation, path))):
        make().save(tmp_path / "run.npz")
    assert operations(iter(done)) == [
        "open temporary",
        "write temporary",
        "fsync temporary",
        "read temporary",
        "chmod temporary",
        "replace temporary",
        f"open {tmp_path}",
        f"fsync {tmp_path}",
    ]


def test_a_line_of_the_log_is_one_write(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    log = MetricsLog(path)
    log.append(metrics(1))
    log.close()
    done: list[tuple[str, str]] = []
    with watching(lambda operation, path: done.append((operation, path))):
        log = MetricsLog(path, 1)
        log.append(metrics(2))
        log.sync()
        log.close()
    # Each write is made in two halves here.
    assert [name for name, _ in done] == ["open", "truncate", "write", "write", "fsync"]


def test_a_line_that_does_not_fit_leaves_no_half_behind(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    halves = 0

    def full(operation: str, path: str) -> None:
        nonlocal halves
        halves += operation == "write"
        if operation == "write" and halves == 4:
            raise OSError(28, "No space left on device")

    with watching(full):
        log = MetricsLog(path)
        log.append(metrics(1))
        with pytest.raises(CharnnError, match=r"run\.jsonl: cannot be written: No space left"):
            log.append(metrics(2))
        log.close()
    assert len(path.read_text().splitlines()) == 1
    assert path.read_text().endswith("\n")


# --- what a run finds where it begins ------------------------------------------------------------


def test_what_a_killed_run_left_goes_with_the_next(folder: Path) -> None:
    left = [folder / ".run.npz.abc.tmp", folder / ".run.best.npz.x_y.tmp"]
    others = [folder / ".other.npz.abc.tmp", folder / "run.npz.tmp"]
    for path in left + others:
        path.touch()
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "1"], cwd=folder, check=True)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_an_empty_log_is_no_run(folder: Path) -> None:
    """What is there when a run was killed right after it took its lock."""
    (folder / "run.jsonl").touch()
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "1"], cwd=folder, check=True)


def test_files_that_appear_while_the_text_is_read_are_not_replaced(folder: Path) -> None:
    command = [part if part != "text.txt" else "-" for part in TRAIN]
    with subprocess.Popen(
        [*CHARNN, *command], cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as slow:
        time.sleep(1)  # it has looked for files by now, or will soon
        subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "1"], cwd=folder, check=True)
        before = (folder / "run.npz").read_bytes()
        _, said = slow.communicate(english(20_000))
    assert slow.returncode == 2
    assert "run.npz exists; go on with it by --resume" in said
    assert (folder / "run.npz").read_bytes() == before


def test_a_run_that_another_has_gone_on_with_is_not_set_back(folder: Path) -> None:
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--stop-after", "9"], cwd=folder, check=True)
    stale = load(folder / "run.npz")
    subprocess.run([*CHARNN, *TRAIN, "--quiet", "--resume"], cwd=folder, check=True)
    before = (folder / "run.npz").read_bytes()
    config = stale.config.with_values({"output.checkpoint": str(folder / "run.npz")})
    corpus = Corpus.from_text((folder / "text.txt").read_text(), val_fraction=0.1)
    with pytest.raises(CharnnError, match="another run has gone on with it"):
        list(Trainer(config, corpus, resume=stale).run())
    assert (folder / "run.npz").read_bytes() == before


def test_a_lock_keeps_others_out_and_is_gone_with_its_holder(folder: Path) -> None:
    log = Outputs(folder / "run.npz").log
    hold = (
        "import sys, pathlib, charnn.training.metrics\n"
        "with charnn.training.metrics.exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CharnnError, match="another run is writing here"), exclusive(log):
            pass
        holder.kill()
    with exclusive(log):
        pass


# --- interrupts ----------------------------------------------------------------------------------

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [TRAIN, ["eval", "--ckpt", "good.npz"]], ids=["train", "eval"])
def test_an_interrupt_while_the_text_is_read_leaves_nothing(
    tmp_path: Path, number: signal.Signals, command: list[str]
) -> None:
    make().save(tmp_path / "good.npz")
    arguments = [part if part != "text.txt" else "-" for part in command]
    arguments += [] if "--data" in arguments else ["--data", "-"]
    with subprocess.Popen(
        [*CHARNN, *arguments], cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until_it_reads(process.pid)
        process.send_signal(number)
        assert process.stderr
        assert process.stderr.read() == b""
    assert process.returncode in (128 + number, -number)
    assert [path.name for path in tmp_path.iterdir()] == ["good.npz"]


@pytest.mark.parametrize("command", [CHARNN, [str(Path(sys.executable).parent / "charnn")]])
@pytest.mark.parametrize("module", ["typer", "yaml", "numpy"])
def test_an_interrupt_while_python_imports_is_an_exit_code(
    folder: Path, command: list[str], module: str
) -> None:
    (folder / f"{module}.py").write_text("import os\nos.kill(os.getpid(), 2)\n")
    result = subprocess.run(
        [*command, *TRAIN],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (130, b"")
    assert not (folder / "run.npz").exists()


def wait_until_it_reads(process: int) -> None:
    """Wait until a process sleeps in a read of its standard input."""
    for _ in range(600):
        time.sleep(0.05)
        if Path(f"/proc/{process}/syscall").read_text().startswith("0 0x0 "):
            return
    raise TimeoutError


@pytest.mark.parametrize(("number", "times"), [(SIGNALS[0], 1), (SIGNALS[0], 2), (SIGNALS[2], 1)])
def test_an_interrupt_while_it_validates_saves_or_at_least_spoils_nothing(
    folder: Path, number: signal.Signals, times: int
) -> None:
    # Nine tenths of a longer text validate, after every step.
    (folder / "text.txt").write_text(english(200_000))
    settings = ["--set", "data.val_fraction=0.9", "--set", "training.eval_every=1"]
    command = [*CHARNN, *TRAIN, *settings, "--max-steps", "100000"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("step 2/" in line for line in process.stderr)
        for _ in range(times):
            process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert load(folder / "run.npz").progress.step >= (0 if times == 2 else 2)
    resume = [*CHARNN, "train", "--resume", "--out", "run.npz", "--stop-after", "1", "--quiet"]
    subprocess.run(resume, cwd=folder, check=True)
    assert not list(folder.glob(".*.tmp"))


def test_a_terminal_that_closes_while_the_text_is_read_ends_it(folder: Path) -> None:
    arguments = [part if part != "text.txt" else "-" for part in TRAIN]
    with Terminal(*arguments, cwd=folder, stdin=subprocess.PIPE) as terminal:
        wait_until_it_reads(terminal.process.pid)
        terminal.close()
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.wait() in (129, -signal.SIGHUP)
    assert [path.name for path in folder.iterdir()] == ["text.txt"]


# --- text is data --------------------------------------------------------------------------------

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r"


def test_no_error_shows_what_could_steer_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    make().save(folder / "good.npz")
    for arguments in (
        ["info", f"{ESCAPE}.npz"],
        ["train", "--data", ESCAPE],
        ["train", "--data", "text.txt", "--out", f"{ESCAPE}/run.npz"],
        ["train", f"--{ESCAPE}"],
        ["train", "--data", "text.txt", "--set", f"{ESCAPE}=1"],
        ["train", "--data", "text.txt", "--max-steps", ESCAPE],
        [ESCAPE],
        ["eval", "--ckpt", "good.npz", "--data", "text.txt"],
        ["sample", "--ckpt", "good.npz", "--prime", ESCAPE],
        ["sample", "--ckpt", "good.npz", "--stop", "a\nb\nc"],
        ["info", "a\nb\tc.npz"],
    ):
        code, _, line = charnn(arguments)
        assert code in (1, 2)
        assert line.endswith("\n")
        assert line[:-1].isprintable(), repr(line)
        assert line.startswith("charnn: error: ")


def test_tables_and_notes_show_escapes_and_json_stays_json(folder: Path) -> None:
    (folder / "text.txt").write_text(f"{ESCAPE}\x7fking\n" * 900)
    command = [part if part != "run.npz" else f"{ESCAPE}.npz" for part in TRAIN]
    for arguments in (
        command,
        ["info", f"{ESCAPE}.npz"],
        ["info", f"{ESCAPE}.npz", "--json"],
        ["eval", "--ckpt", f"{ESCAPE}.npz", "--data", "text.txt"],
    ):
        shown = on_a_terminal(*arguments, cwd=folder)
        for part in ("owned\x07", "\x1b[2J\x9b", "\x9b", "\x7f"):
            assert part not in shown, (arguments, part)


def test_drawn_text_goes_raw_into_a_pipe_and_escaped_to_a_terminal(folder: Path) -> None:
    (folder / "text.txt").write_text(f"{ESCAPE}king\n" * 900)
    subprocess.run([*CHARNN, *TRAIN, "--quiet"], cwd=folder, check=True)
    sample = ["sample", "--ckpt", "run.npz", "--n", "400", "--seed", "1", "--temperature", "2"]
    raw = subprocess.run([*CHARNN, *sample], cwd=folder, capture_output=True, check=True).stdout
    assert {"\x1b", "\x07", "\x9b"} <= set(raw.decode())
    shown = on_a_terminal(*sample, cwd=folder)
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert "\\x1b" in shown


# --- YAML is data --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("".join(f"a{number}: 1\n" for number in range(10_000)), "and 9,980 errors more"),
        ("model:\n" + "".join(f" a{number}: 1\n" for number in range(9_000)), "errors more"),
        (f"data: {{path: [{'[],' * 30_000}]}}", "errors more"),
        ("a: [" + "[" * 99_000, "nested too deeply"),
        ("- " * 40_000, "nested too deeply"),
        ("a: &a [x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(5000)), "aliases are not"),
        ("a: !!python/object/apply:os.system [echo]", "tags are not allowed"),
        ("!!map {}", "tags are not allowed"),
        ("model: !!binary aGVsbG8=", "tags are not allowed"),
        ("model: {hidden_size: ! 3}", "tags are not allowed"),
        ("? " * 40_000, "nested too deeply"),
        ("training: {max_steps: " + "9" * 90_000 + "}", "not valid YAML: Exceeds the limit"),
        ("a" * 1_000_000, "larger than 100,000 bytes"),
    ],
)
def test_a_config_that_means_harm_is_refused_soon(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert reason in str(caught.value).splitlines()[-1]
    assert time.process_time() - began < 10  # what it refuses would take minutes, or all memory


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: larger than 100,000 bytes"):
        load_config(Path("/dev/zero"))
