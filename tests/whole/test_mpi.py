"""Several ranks compute the same numbers, print each message once and end together."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.commands import CHARNN, ok, run
from tests.helpers.processes import alive, children
from tests.helpers.runs import arrays, log_lines
from tests.helpers.texts import english

pytestmark = pytest.mark.mpi

MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
RUN = ["train", "--data", "text.txt", "--seed", "5", "--threads", "1"]
# Neither three nor four ranks can divide ten streams evenly.
SETTINGS = {
    "model.hidden_size": 12,
    "model.num_layers": 2,
    "model.dropout": 0.2,
    "training.dtype": "float64",
    "training.batch_size": 10,
    "training.seq_length": 8,
    "training.clip_norm": 0.3,
    "training.ema_decay": 0.9,
    "training.max_steps": 500,
    "training.eval_every": 250,
    "training.log_every": 50,
}
RUN += [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]


def ranks(
    n: int, *arguments: str, cwd: Path, program: list[str] = CHARNN, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as n ranks to its end."""
    return subprocess.run(
        [MPIEXEC, "-n", str(n), *program, *arguments],
        cwd=cwd,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, and alone.npz, the run of a single process on it."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "text.txt").write_text(english(30_000))
    ok(*RUN, "--out", "alone.npz", cwd=folder)
    return folder


def assert_same_run(folder: Path, name: str, alone: str = "alone.npz") -> None:
    """Compare a run with that of one process, up to the order of summation."""
    for suffix in (".npz", ".best.npz"):
        expected, found = (arrays((folder / n).with_suffix(suffix)) for n in (alone, name))
        for member, array in expected.items():
            if array.dtype.kind == "f":
                scale = np.abs(array).max()
                assert np.abs(found[member] - array).max() <= 1e-6 * scale, member
    logs = (log_lines((folder / n).with_suffix(".jsonl")) for n in (alone, name))
    for expected, found in zip(*logs, strict=True):
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert found[key] == (value if value is None else pytest.approx(value, rel=1e-6)), key


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 4])
def test_any_number_of_ranks_makes_the_same_run(folder: Path, n: int) -> None:
    name = f"{n}.npz"
    result = ranks(n, *RUN, "--out", name, cwd=folder)
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert f"ranks: {n}, {n} on this machine" in lines
    assert len(lines) == len(set(lines))
    assert_same_run(folder, name)
    if n == 4:
        first = (folder / name).read_bytes()
        assert ranks(n, *RUN, "--out", name, "--overwrite", cwd=folder).returncode == 0
        assert (folder / name).read_bytes() == first


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_two_ranks_make_the_same_run_with_gates(folder: Path, cell: str) -> None:
    settings = ["--set", f"model.cell={cell}", "--max-steps", "200"]
    ok(*RUN, *settings, "--out", f"{cell}.npz", cwd=folder)
    result = ranks(2, *RUN, *settings, "--out", f"{cell}-2.npz", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert_same_run(folder, f"{cell}-2.npz", f"{cell}.npz")


def test_what_some_ranks_begin_others_finish(folder: Path) -> None:
    out = ["--out", "resumed.npz", "--resume"]
    for n in (2, 4):
        result = ranks(n, *RUN, *out, "--stop-after", "150", cwd=folder)
        assert result.returncode == 0, result.stderr
        assert "continue with: charnn train --resume --out resumed.npz" in result.stderr
    ok("train", *out, cwd=folder)
    assert_same_run(folder, "resumed.npz")
    assert "nats per char" in ok("eval", "--ckpt", "resumed.best.npz", cwd=folder)


def test_a_rank_without_a_share_of_the_validation_prints_no_error(folder: Path) -> None:
    # The first rank reads such a short validation text in one piece.
    short = ["--set", "data.val_fraction=0.01", "--max-steps", "5", "--out", "dry.npz"]
    result = ranks(2, *RUN, *short, "--dry-run", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "# validations       1, about " in result.stdout


def test_two_ranks_read_a_text_in_files_and_one_to_validate(folder: Path) -> None:
    for name, text in (("1.txt", english(12_000)), ("2.txt", english(9_000, seed=1))):
        (folder / name).write_text(text)
    own = ["--data", "1.txt", "--data", "2.txt", "--set", "data.val_path=text.txt"]
    few = [*RUN, *own, "--max-steps", "60"]
    ok(*few, "--out", "own.npz", cwd=folder)
    result = ranks(2, *few, "--out", "own-2.npz", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert_same_run(folder, "own-2.npz", "own.npz")


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_two_ranks_make_the_same_run_on_documents(folder: Path, cell: str) -> None:
    lines = ["--set", "data.documents=lines", "--set", f"model.cell={cell}", "--max-steps", "300"]
    alone, both = f"lines-{cell}.npz", f"lines-{cell}-2.npz"
    ok(*RUN, *lines, "--out", alone, cwd=folder)
    result = ranks(2, *RUN, *lines, "--out", both, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert_same_run(folder, both, alone)


def test_workers_of_ranks_and_a_text_from_a_pipe(folder: Path) -> None:
    text = (folder / "text.txt").read_text()
    sizes = ["--set", "model.hidden_size=128", "--set", "training.batch_size=16"]
    few = [*RUN, *sizes, "--max-steps", "5", "--threads", "2", "--data", "-"]
    ok(*few, "--out", "piped.npz", cwd=folder, text=text)
    result = ranks(2, *few, "--out", "piped2.npz", cwd=folder, text=text)
    assert result.returncode == 0, result.stderr
    one, two = (arrays(folder / name) for name in ("piped.npz", "piped2.npz"))
    assert str(one["progress"])[:80] == str(two["progress"])[:80]  # the fingerprint
    np.testing.assert_allclose(two["W0"], one["W0"], rtol=0, atol=1e-9)


def test_all_ranks_go_back_when_a_run_diverges(folder: Path) -> None:
    wild = [*RUN, "--max-steps", "40", "--set", "training.save_every=10"]
    wild += ["--set", "model.activation=relu", "--set", "training.learning_rate=1e80"]
    wild += ["--set", "training.optimizer=sgd", "--set", "training.clip_norm=null"]
    alone = run(*wild, "--out", "wild.npz", cwd=folder)
    assert alone.returncode == 1
    assert "as 4 times before" in alone.stderr
    result = ranks(2, *wild, "--out", "wild.npz", "--overwrite", cwd=folder)
    assert (result.returncode, result.stderr) == (
        1,
        alone.stderr.replace("seed 5\n", "seed 5\nranks: 2, 2 on this machine\n"),
    )


# --- the text ------------------------------------------------------------------------------------


READ = """
import random
from pathlib import Path
from charnn import ranks as mpi
from charnn.text import blocks, fingerprint, reading
from charnn.text.corpus import Corpus
from charnn.text.encoding import UnknownCharactersError
from charnn.text.vocabulary import Vocabulary
from charnn.text.reading import read_blocks
fingerprint.FINGERPRINT_BLOCK = reading.FINGERPRINT_BLOCK = 16
blocks.BLOCK = 5
ranks, path = mpi.join(), Path("text")
for number in range(12):
    if ranks.rank == 0:
        draw = random.Random(number)
        known = ["a", "b", "é", "€", "😀", chr(200 + number)]
        text = "".join(draw.choices(known, k=5 * number + 2))
        path.write_text(text + "".join(map(chr, range(0x4E00, 0x4E00 + 100 * (number % 4)))))
    ranks.gather(None)
    part = "".join(read_blocks(["text"], ranks=ranks))
    alone, merged = Corpus.from_text(path.read_text()), Corpus.from_text(part, ranks=ranks)
    assert merged.vocabulary == alone.vocabulary
    assert merged.ids.dtype == alone.ids.dtype and (merged.ids == alone.ids).all()
    assert merged.fingerprint == alone.fingerprint
    told = []
    for text, of in ((path.read_text(), mpi.ALONE), (part, ranks)):
        try:
            Corpus.from_text(text, vocabulary=Vocabulary("ab"), ranks=of)
        except UnknownCharactersError as error:
            told.append(str(error))
    assert len(told) in (0, 2) and told[:1] == told[1:], told
    parts = ranks.gather(len(part))
assert all(parts) and told
"""


def test_ranks_put_the_text_together_as_one_reads_it(tmp_path: Path) -> None:
    result = ranks(3, cwd=tmp_path, program=[sys.executable, "-c", READ])
    assert result.returncode == 0, result.stderr


def test_a_bad_byte_that_only_one_rank_sees_is_told_as_alone(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"So far so good.\n" * (17 << 16) + b"caf\xe9\n")
    bad = ["train", "--data", "long.txt", "--out", "bad.npz"]
    alone, both = run(*bad, cwd=tmp_path), ranks(2, *bad, cwd=tmp_path)
    assert "long.txt:1114113: not UTF-8 text: byte 0xe9 at offset 17,825,795" in alone.stderr
    assert (both.returncode, both.stderr) == (1, alone.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["long.txt"]


# --- each message once, one end for all ----------------------------------------------------------


def errors(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines that report an error."""
    return [line for line in result.stderr.splitlines() if line.startswith("charnn: error:")]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sample", "--ckpt", "alone.npz"], 2, "only train runs under MPI"),
        (["train", "--nonsense"], 2, "No such option: --nonsense"),
        ([*RUN, "--out", "x.npz", "--set", "training.batch_size=1"], 2, "2 ranks cannot share"),
    ],
)
def test_a_wrong_request_is_answered_once(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    result = ranks(2, *arguments, cwd=folder)
    (line,) = errors(result)
    assert message in line
    assert (result.returncode, result.stdout, result.stderr) == (code, "", line + "\n")


def test_without_mpi4py_a_line_says_how_to_get_it(folder: Path) -> None:
    hidden = (
        "import sys; sys.modules['mpi4py'] = None; from charnn.commands.app import main; main()"
    )
    result = ranks(2, *RUN, cwd=folder, program=[sys.executable, "-c", hidden])
    (line,) = errors(result)
    assert line.endswith("pip install 'charnn[mpi]'")
    assert (result.returncode, result.stderr) == (1, line + "\n")


def test_a_run_alone_has_nothing_of_mpi(folder: Path) -> None:
    code = (
        "import sys\nfrom charnn.commands.app import main\n"
        "try:\n main()\nfinally:\n assert not any('mpi4py' in name for name in sys.modules)"
    )
    command = [sys.executable, "-c", code, *RUN, "--max-steps", "1", "--out", "plain.npz"]
    # A Slurm job sets these variables even if its command starts without srun.
    slurm = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}
    subprocess.run(command, cwd=folder, env=os.environ | slurm, check=True, timeout=60)


FAIL = """
import sys
from charnn import ranks as mpi
from charnn.checkpoint import checkpoint
from charnn.training import shares
from charnn.errors import CharnnError
rank, what = mpi.launched().rank, sys.argv.pop(1)
work = shares.Share.work
def failing(share):
    work(share)
    if rank == 1 and share.job[0] == 3:
        raise CharnnError("a worker has died") if what == "error" else ValueError("a mistake")
def full(*arguments):
    raise OSError(28, "No space left on device")
if what == "disk":
    checkpoint.write_atomically = full
else:
    shares.Share.work = failing
from charnn.commands.app import main
main()
"""


@pytest.mark.parametrize(
    ("what", "n", "message"),
    [
        ("error", 4, "charnn: error: a worker has died"),
        ("disk", 2, "charnn: error: x.npz: cannot be written: No space left on device"),
        ("mistake", 2, "ValueError: a mistake"),
    ],
)
def test_what_goes_wrong_on_one_rank_ends_all(
    folder: Path, what: str, n: int, message: str
) -> None:
    program = [sys.executable, "-c", FAIL, what]
    result = ranks(n, *RUN, "--out", "x.npz", "--overwrite", cwd=folder, program=program)
    assert result.returncode == 1
    assert result.stderr.splitlines().count(message) == 1
    if what != "mistake":
        assert result.stderr.endswith(f"{message}\n")


@contextmanager
def running(folder: Path, out: str) -> Iterator[tuple[Any, list[int]]]:
    """Start a long run of two ranks; after 250 steps, yield it and its ranks."""
    command = [MPIEXEC, "-n", "2", *CHARNN, *RUN, "--out", out, "--overwrite"]
    command += ["--max-steps", "1000000", "--set", "training.save_every=100"]
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("step 250/"):
            assert process.poll() is None
        (proxy,) = children(process.pid)
        yield process, children(proxy)
    finally:
        process.kill()
        process.communicate()


def assert_gone(processes: list[int]) -> None:
    until = time.monotonic() + 10
    while any(map(alive, processes)):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_job_and_the_checkpoint_is_whole(folder: Path, victim: int) -> None:
    with running(folder, "killed.npz") as (process, workers):
        os.kill(workers[victim], signal.SIGKILL)
        process.wait(timeout=10)
        assert_gone(workers)
    assert process.returncode not in (0, None)
    found = re.search(r"^step +(\d+)", ok("info", "--ckpt", "killed.npz", cwd=folder), re.MULTILINE)
    assert found
    assert int(found[1]) >= 200
    assert int(found[1]) % 100 == 0


@pytest.mark.parametrize(("number", "to"), [(signal.SIGINT, "all"), (signal.SIGTERM, "one")])
def test_an_interrupt_of_all_or_one_saves_and_ends_all(folder: Path, number: int, to: str) -> None:
    with running(folder, "ended.npz") as (process, workers):
        os.kill(process.pid if to == "all" else workers[1], number)
        _, stderr = process.communicate(timeout=20)
        assert_gone(workers)
    assert process.returncode == 128 + number
    assert stderr.count("interrupted:") == 1
    assert "continue with: charnn train --resume --out ended.npz" in stderr
    step = re.search(r"ended.npz: step ([0-9,]+) of", stderr)
    assert step
    assert f"{step[1]}\n" in ok("info", "--ckpt", "ended.npz", cwd=folder)
