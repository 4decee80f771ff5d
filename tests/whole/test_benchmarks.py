"""The benchmarks run without PyTorch and JAX, and refuse sides with different results."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.choosing import TIMED, chosen_keys, plans
from benchmarks.cluster import CASES, FITTED, RANKS, SUMMED, Compute, Model, tables
from benchmarks.measuring import Spread, Worker, quotient
from benchmarks.ngram import kneser_ney, witten_bell
from benchmarks.report import Table, shown
from benchmarks.row_ends import divided
from benchmarks.steps import _same
from benchmarks.workload import ALPHABET, Case, streams, text
from charnn.checkpoint.checkpoint import load
from charnn.config.loading import Override, load_config
from charnn.evaluation import evaluate
from charnn.machine import cores
from charnn.network.spec import Spec
from charnn.text.corpus import Corpus
from charnn.text.streams import Streams
from tests.helpers.places import ROOT
from tests.helpers.texts import english

pytestmark = pytest.mark.processes

# The script can import neither PyTorch nor JAX.
ALONE = """
import runpy, sys
sys.modules["torch"] = sys.modules["jax"] = None
runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
"""


def measured(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", ALONE, "--json", *arguments]
    printed = subprocess.check_output(command, cwd=ROOT, text=True, encoding="utf-8", timeout=120)
    record: dict[str, Any] = json.loads(printed)
    return record


def test_a_step_is_measured_beside_the_loop_and_the_machine() -> None:
    record = measured("step", "--case", "16,1,1,8", "--rounds", "5", "--seconds", "0.02")
    assert record["machine"]["PyTorch"] == record["machine"]["JAX"] == "not installed, left out"
    (row,) = record["tables"][0]["rows"]
    assert "PyTorch" not in row
    for name in ("charnn", "loop", "loop ÷", "sgemm GFLOP/s", "% of sgemm"):
        assert 0 < row[name]["low"] <= row[name]["median"] <= row[name]["high"]
    assert row["loop ÷"]["low"] <= row["loop"]["high"] / row["charnn"]["low"]


def test_corpora_are_measured_as_whole_processes() -> None:
    table = measured("corpora", "--megabytes", "3", "--rounds", "1")["tables"][0]
    small, large = table["rows"]
    assert large["seconds"]["median"] > 0.02
    assert 10 < small["peak MB"]["median"] < 1000
    assert "MB/s" in table["notes"][0]


def test_a_side_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    worker = Worker("with_charnn")
    try:
        first, second = (
            worker.prepare("training", checkpoint=str(tmp_path / f"{n}.npz"), case=Case(8, n, 2, 5))
            for n in (1, 2)
        )
        losses = first(1), first(2)
        again = worker.prepare(
            "training", checkpoint=str(tmp_path / "3.npz"), case=Case(8, 1, 2, 5)
        )
        _same("the same", again, losses)
        with pytest.raises(RuntimeError, match="another computes something else"):
            _same("another", second, losses)
        with pytest.raises(RuntimeError, match="with_charnn: AttributeError"):
            worker.prepare("nothing")
    finally:
        worker.stop()


def test_every_side_reads_what_charnn_reads() -> None:
    B, T = 4, 7
    data = streams(B, T)
    corpus = Corpus.from_text(text(50 * B * T + 1))
    assert corpus.vocabulary.characters == ALPHABET
    cut = Streams(corpus.ids, B, T)
    assert cut.steps_per_epoch == 50
    inputs, targets = np.empty((2, T, B), np.intp)
    resets = np.empty((T, B), bool)
    for step in range(50):
        cut.read(step, inputs, targets, resets)
        assert (inputs == data[step * T : (step + 1) * T]).all()
        assert (targets == data[step * T + 1 : (step + 1) * T + 1]).all()


def test_figures_are_shown_with_three_digits() -> None:
    spread = Spread.of([3.0, 1.0, 2.0])
    assert spread == Spread(2, 1, 3)
    assert spread.rate(6) == Spread(3, 2, 6)
    assert quotient([2, 9, 8], [1, 3, 2]) == Spread(3, 2, 4)
    assert [shown(x) for x in (0.01234, 1.234, 12.34, 123.4, 12345.6)] == [
        "0.012",
        "1.23",
        "12.3",
        "123",
        "12,346",
    ]
    table = Table("Title", [{"a": "x", "b": None, "c": spread}], ["Note."])
    assert table.markdown() == (
        "## Title\n\n| a | c |\n| --- | --- |\n| x | 2.00 (1.00–3.00) |\n\nNote.\n\n"
    )


def test_the_cost_model_finds_the_constants_that_made_the_figures() -> None:
    made = Model(Compute(1e-11, 1e-5, 3e-9), {n: [1e-5 * n, 2e-10 * n] for n in RANKS}, 1.0)
    records: dict[int, dict[str, Any]] = {}
    for n in {*RANKS, cores()}:
        latency, per_byte = made.sums.setdefault(n, [1e-5, 1e-9])
        steps = {}
        for case in FITTED if n == 1 else CASES:
            taken = [made.here(n, case)]
            others = ("alone", "alone, all cores", "larger", "alone, sgemm", "sgemm")
            steps[str(tuple(case))] = {"together": taken} | {name: [1.0] for name in others}
        records[n] = {"steps": steps, "sums": [latency + per_byte * size for size in SUMMED]}
    constants, _, compared, *predicted = tables(records)
    assert constants.rows[0]["value"] == "100 G"
    assert {row["off by"] for row in compared.rows} <= {"+0%", "-0%"}
    slow, fast = (table.rows[0]["2"] for table in predicted)
    assert isinstance(slow, float)
    assert isinstance(fast, float)
    assert 1 < slow < fast < 2


@pytest.mark.parametrize("model", [witten_bell, kneser_ney])
def test_an_n_gram_model_is_a_distribution(model: Any) -> None:
    rng = np.random.default_rng(1)
    train = rng.integers(4, size=300) * rng.integers(2, size=300)
    for start in (2, 250, 295):
        context = train[start : start + 5]
        p = [model(np.append(np.append(train, context), x), 300, 4)[-1] for x in range(4)]
        assert np.isclose(sum(p), 1)
        assert min(p) > 0


def test_an_n_gram_model_counts_as_by_hand() -> None:
    a, b, c = 0, 1, 2
    ids = np.array([a, b, a, c, a, b, a, b])
    # a came after three different (b, c and the beginning), b and c after one each. So n₁ = 2,
    # n₂ = 0, n₃ = 1, n₄ = 0 and Y = 1: the discounts are 1 for b and c, 3 for a.
    single_b = (1 - 1 + (3 + 1 + 1) / 3) / 5
    # Of the pairs, ab and ba came twice; ac, ca and an a in the beginning once. So n₁ = 3, n₂ = 2,
    # n₃ = 0 and Y = 3/7: the discount of ab is 2, that of ac 1 − 2 · 3/7 · 2/3 = 3/7.
    assert np.isclose(kneser_ney(ids, 7, 2)[0], (2 - 2 + (2 + 3 / 7) * single_b) / 3)


def test_witten_bell_counts_as_by_hand() -> None:
    a, b, c = 0, 1, 2
    ids = np.array([a, b, a, c, a, b, a, b])
    # The seven characters have three kinds, and b occurs twice. Three follow a: two kinds, b twice.
    single_b = (2 + 3 / 3) / (7 + 3)
    assert np.isclose(witten_bell(ids, 7, 2)[0], (2 + 2 * single_b) / (3 + 2))


def test_configs_compared_with_a_plan_do_equal_work() -> None:
    corpus = Corpus.from_text(english(60_000), val_fraction=0.1)
    work = []
    for name, keys in plans(corpus, 10.0):
        config = load_config(None, {key: Override(value, "") for key, value in keys.items()})
        model, steps = config.model, config.training.max_steps or 0
        spec = Spec.from_config(model, len(corpus.vocabulary), "float32")
        work.append(steps * spec.step_flop(64, 32))
        assert name == "chosen" or name in TIMED
        assert keys.keys() >= chosen_keys(corpus, 10.0).keys()
    assert len(work) == 9
    assert chosen_keys(corpus, 1e5) == chosen_keys(corpus, 1e6)  # the text is used up
    assert max(work) < 1.03 * min(work)


def test_row_ends_are_those_of_char_rnn() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 3 * 4 * 41 + 5)))
    train, val, length = divided(text, batch_size=3, seq_length=4)
    x = np.array(list(text[: 3 * 4 * 41])).reshape(3, -1)  # char-rnn's view of the data
    kept = 38 * 4  # 95 % of 41 windows, rounded down
    assert (train, val) == ("".join(x[:, :kept].ravel()), "".join(x[:, kept:].ravel()))
    assert length == 3 * 4
    with pytest.raises(ValueError, match="has 19 windows"):
        divided(text[: 3 * 4 * 19], batch_size=3, seq_length=4)


def test_row_ends_are_trained_and_evaluated(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(text(6000))
    (tmp_path / "small.yaml").write_text("model: {hidden_size: 8}\ntraining: {max_steps: 20}\n")
    command = [sys.executable, "-m", "benchmarks.row_ends", str(tmp_path / "text.txt")]
    command += [str(tmp_path / "out"), "--config", str(tmp_path / "small.yaml")]
    command += ["--batch-size", "5", "--seq-length", "10", "--set", "training.seed=1"]
    printed = subprocess.check_output(command, cwd=ROOT, text=True, stderr=subprocess.DEVNULL)
    found = re.search(r"\(B 5, T 10\): (\d\.\d{4}) nats/char over 299 characters$", printed.strip())
    assert found
    best = load(tmp_path / "out" / "run.best.npz")
    ids = best.vocabulary.encode((tmp_path / "out" / "val.txt").read_text())
    expected = evaluate(best.model, ids, context=60)  # six windows of ten characters a row
    assert found[1] == f"{expected.nats_per_char:.4f}"
    again = subprocess.check_output(command, cwd=ROOT, text=True, stderr=subprocess.DEVNULL)
    assert again == printed
