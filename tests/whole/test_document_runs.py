"""Runs on documents: gradients, resuming, drawing, scoring and mistakes of users."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charnn
from charnn.evaluation import evaluate, evaluating
from charnn.network.bptt import BPTT
from charnn.network.network import Network
from charnn.sampling import Sampling
from charnn.showing import BOUNDARY
from charnn.text.documents import Documents
from charnn.text.streams import DocumentStreams
from charnn.training.shares import StepSpec
from charnn.training.workers import Workers
from charnn.writing import write
from tests.helpers.commands import ok, refused, run
from tests.helpers.runs import assert_same_run

NAMES = [f"{a}{b}{c}" for a in "abcdefghij" for b in "klmno" for c in ("", "p", "pq", "rst")]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with names.txt and a run on it, n.npz."""
    folder = tmp_path_factory.mktemp("named")
    (folder / "names.txt").write_text("\n".join([*NAMES, NAMES[0]]) + "\n")
    train(folder, "n.npz", "--max-steps", "60")
    return folder


def train(folder: Path, out: str, *more: str, text: str = "names.txt") -> None:
    settings = {
        "data.documents": "lines", "model.hidden_size": 16, "training.batch_size": 8,
        "training.seq_length": 5, "training.learning_rate": 0.02, "training.save_every": 7,
    }  # fmt: skip
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    ok("train", "--data", text, "--out", out, "--seed", "1", *sets, *more, cwd=folder)


# --- the loss and its gradient -------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_gradient_is_the_sum_of_those_of_each_document(cell: str, workers: int) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 8, 60)
    parts = [np.append(rng.integers(1, 7, n - 1), 0) for n in lengths]
    ids = np.concatenate([[0], *parts]).astype(np.uint8)
    B, T = 8, 100  # a window is a whole stream, so that only the streams cut documents
    streams = DocumentStreams(ids, B, T, documents=Documents.found(ids, 0), seed=5)
    T = streams.stream_length
    streams = replace(streams, seq_length=T)
    model = Network(7, 6, 2, dtype=np.float64, cell=cell)
    model.initialize("uniform", seed=1)
    spec = StepSpec(model.spec, T, B, 0.0, 1, "fast", 1, workers)
    inputs, targets = np.empty((2, T, B), np.intp)
    streams.read(0, inputs, targets, np.empty((T, B), bool))
    expected, loss = np.zeros(model.num_parameters), 0.0
    for b in range(B):
        begins = [0, *np.flatnonzero(inputs[1:, b] == 0) + 1, T]
        for start, stop in pairwise(begins):
            alone = BPTT(model, stop - start, 1)
            x, y = (part[start:stop, [b]] for part in (inputs, targets))
            loss += alone(x, y, model.zero_state())
            expected += np.concatenate([g.ravel() for g in alone.gradients.values()])
    with Workers(model, spec) as shared:
        nats, count, _ = shared.step(streams, 0, mean=False)
        assert count == T * B
        assert nats == pytest.approx(loss, rel=1e-12)
        assert np.abs(shared.gradient - expected).max() <= 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_loss_is_that_of_each_document_from_the_zero_state(cell: str) -> None:
    rng = np.random.default_rng(2)
    parts = [np.append(rng.integers(1, 7, n), 0) for n in rng.integers(0, 30, 300)]
    ids = np.concatenate([[0], *parts]).astype(np.uint8)
    model = Network(7, 6, 2, dtype=np.float64, cell=cell)
    model.initialize("uniform", seed=1, std=None)
    each = [evaluate(model, np.append([0], part).astype(np.uint8)) for part in parts]
    nats = sum(score.total_nats for score in each)
    for options in ({}, {"threads": 2}, {"segments": 10**6, "warmup": 40}):
        *_, found = evaluating(model, ids, boundary=0, **options)  # type: ignore[arg-type]
        assert found.predictions == len(ids) - 1
        assert found.total_nats == pytest.approx(nats, rel=1e-9)
        assert found.correct == sum(score.correct for score in each)
    by_threes = [evaluate(model, np.append([0], p).astype(np.uint8), context=3) for p in parts]
    found = evaluate(model, ids, boundary=0, context=3)
    assert found.total_nats == pytest.approx(sum(s.total_nats for s in by_threes), rel=1e-9)


# --- commands ------------------------------------------------------------------------------------


def test_a_run_stopped_anywhere_goes_on_with_the_same_documents(
    named: Path, tmp_path: Path
) -> None:
    for folder, stop in ((tmp_path / "whole", "60"), (tmp_path / "stopped", "23")):
        folder.mkdir()
        shutil.copy(named / "names.txt", folder)
        train(folder, "run.npz", "--max-steps", "60", "--stop-after", stop)
    ok("train", "--out", "run.npz", "--resume", cwd=tmp_path / "stopped")
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_eval_counts_the_end_as_a_prediction(named: Path) -> None:
    figures = json.loads(ok("eval", "--ckpt", "n.npz", "--json", cwd=named))
    log = [json.loads(line) for line in (named / "n.jsonl").read_text().splitlines()]
    assert log[-1]["val_loss"] == pytest.approx(figures["nats_per_char"], rel=1e-12)
    assert figures["documents"] == 20
    bits = figures["bits_per_char"] * (figures["characters"] + 20)
    assert figures["bits_per_document"] == pytest.approx(bits / 20)
    everything = json.loads(ok("eval", "--ckpt", "n.npz", "--split", "all", "--json", cwd=named))
    assert everything["documents"] == 201
    assert everything["characters"] == sum(map(len, [*NAMES, NAMES[0]]))


def test_novelty_counts_the_documents_of_the_training_text(named: Path) -> None:
    text = f"{NAMES[1]}\nabcdef\n{NAMES[1]}\n{NAMES[2]}\n"
    against = ["--novelty", "--against", "names.txt", "--json"]
    scored = ok("eval", "--ckpt", "n.npz", "--data", "-", *against, cwd=named, text=text)
    figures: Any = json.loads(scored)
    assert figures["documents"] == 4
    assert figures["copied_documents"] == 3


def test_samples_are_whole_documents_one_a_line(named: Path) -> None:
    drawn = ok("sample", "--ckpt", "n.npz", "--samples", "150", "--seed", "3", cwd=named)
    assert BOUNDARY not in drawn
    lines = drawn.split("\n")
    assert len(lines) == 151
    assert lines.pop() == ""
    first = ok("sample", "--ckpt", "n.npz", "--seed", "3", cwd=named)
    assert first == lines[0] + "\n"
    fewer = ok("sample", "--ckpt", "n.npz", "--samples", "70", "--seed", "3", cwd=named)
    assert fewer.split("\n")[:-1] == lines[:70]
    short = ok("sample", "--ckpt", "n.npz", "--samples", "9", "--n", "2", "--prime", "ak",
               "--seed", "3", cwd=named)  # fmt: skip
    assert all(line.startswith("ak") and len(line) <= 4 for line in short.split("\n")[:-1])


def test_unique_and_new_documents_are_neither_repeated_nor_in_the_text(named: Path) -> None:
    result = run("sample", "--ckpt", "n.npz", "--samples", "40", "--unique", "--new", "--seed", "1",
                 "--novelty", cwd=named)  # fmt: skip
    assert result.returncode == 0
    lines = result.stdout.split("\n")[:-1]
    assert len(set(lines)) == len(lines) == 40
    assert not set(lines) & set(NAMES)
    assert "documents drawn:" in result.stderr
    assert "novelty: 0 of 40 documents (0.0%) are in the training text" in result.stderr
    # Greedy draws always give the same document.
    result = run("sample", "--ckpt", "n.npz", "--samples", "2", "--unique", "--greedy", cwd=named)
    assert result.returncode == 1
    assert "only 1 of 2 documents were found" in result.stderr
    assert result.stdout.count("\n") == 1


def test_drawn_ends_and_first_characters_follow_the_model(named: Path) -> None:
    checkpoint = charnn.load(named / "n.npz")
    known, model = checkpoint.vocabulary, checkpoint.model
    pieces = list(write(model, known, 30, Sampling(), seed=4, samples=4000, documents="lines"))
    drawn = pieces[1::2]
    assert len(drawn) == 4000
    with np.errstate(over="ignore"):
        o = model.logits(np.array([[known.boundary]]), model.zero_state())[0, 0].astype(float)
    p = np.exp(o - o.max())
    p /= p.sum()
    first = [text[:1] or BOUNDARY for text in drawn]
    counts = np.array([first.count(character) for character in known.characters])
    statistic = ((counts - 4000 * p) ** 2 / (4000 * p)).sum()
    assert statistic < 45.3  # 20 degrees of freedom exceed this once in 1000
    after = [text[1:2] or BOUNDARY for text in drawn if text[:1] == "a"]
    ids = np.array([[known.boundary], [known.encode("a")[0]]])
    o = model.logits(ids, model.zero_state())[1, 0].astype(float)
    p = np.exp(o - o.max()) / np.exp(o - o.max()).sum()
    counts = np.array([after.count(character) for character in known.characters])
    large = p * len(after) >= 5
    rest = counts[~large].sum() - len(after) * p[~large].sum()
    statistic = ((counts - len(after) * p)[large] ** 2 / (len(after) * p[large])).sum()
    assert statistic + rest**2 / max(1, len(after) * p[~large].sum()) < 45.3


def test_new_documents_may_be_compared_with_a_text_that_is_named(named: Path) -> None:
    words = ["sample", "--ckpt", "n.npz", "--samples", "5", "--seed", "1"]
    drawn = ok(*words, cwd=named).splitlines()
    (named / "seen.txt").write_text("\n".join(drawn) + "\n")
    new = ok(*words, "--new", "--against", "seen.txt", cwd=named).splitlines()
    assert len(new) == 5
    assert not set(new) & set(drawn)


def test_each_document_of_a_file_with_windows_line_ends(tmp_path: Path) -> None:
    for name, text in (("a.txt", "one\ntwo\n"), ("b.txt", "two\none\n")):
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode() * 20)
    sets = ["data.documents=files", "data.normalize_newlines=true", "model.hidden_size=4"]
    sets += ["data.val_fraction=0"]
    train = ["train", "--data", "a.txt", "--data", "b.txt", "--out", "n.npz", "--max-steps", "2"]
    ok(*train, *(part for key in sets for part in ("--set", key)), cwd=tmp_path)
    scores = ok("eval", "--each", "--ckpt", "n.npz", "--data", "a.txt", "--json", cwd=tmp_path)
    assert len(scores.splitlines()) == 1


def test_two_models_score_the_same_characters(named: Path) -> None:
    other = ["train", "--data", "few.txt", "--out", "few.npz", "--max-steps", "2"]
    (named / "few.txt").write_text("ab\nba\n" * 20)
    sets = ["data.documents=lines", "model.hidden_size=4", "data.val_fraction=0"]
    ok(*other, *(part for key in sets for part in ("--set", key)), cwd=named)
    each = ["eval", "--each", "--ckpt", "n.npz", "--ckpt", "few.npz", "--data", "-"]
    line = ok(*each, "--unknown", "skip", "--json", cwd=named, text="bako\n")
    assert [one["characters"] for one in json.loads(line)["models"].values()] == [2, 2]
    assert "standard input, read by few.npz: " in refused(1, *each, cwd=named, text="bako\n")


def test_each_document_gets_a_score(named: Path) -> None:
    checkpoint = charnn.load(named / "n.npz")
    text = "ako\n\nzebra\nbk\n"
    arguments = ["eval", "--each", "--ckpt", "n.npz", "--data", "-", "--unknown", "skip"]
    lines = ok(*arguments, "--json", cwd=named, text=text).splitlines()
    found = [json.loads(line) for line in lines]
    assert [(one["document"], one["text"]) for one in found] == [
        (1, "ako"),
        (2, "zebra"),
        (3, "bk"),
    ]
    for one, known in zip(found, ("ako", "ebra", "bk"), strict=True):  # z is unknown
        ids = checkpoint.vocabulary.encode(BOUNDARY + known + BOUNDARY)
        expected = evaluate(checkpoint.model, ids)
        assert one["characters"] == len(known)
        assert one["bits"] == pytest.approx(expected.bits_per_char * (len(ids) - 1), abs=1e-3)
    table = ok(*arguments, cwd=named, text=text).splitlines()
    assert table[0].split("\t")[0] == "document"
    assert len(table) == 4
    two = ok(*arguments, "--ckpt", "n.best.npz", "--json", cwd=named, text=text).splitlines()
    for line in two:
        one = json.loads(line)
        bits = {path: model["bits"] for path, model in one["models"].items()}
        assert set(bits) == {"n.npz", "n.best.npz"}
        assert bits[one["likeliest"]] == min(bits.values())
    line = refused(2, "eval", "--ckpt", "n.npz", "--ckpt", "n.npz", cwd=named)
    assert "several --ckpt are for --each" in line


# --- texts of other shapes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "text"),
    [
        ("lines", "a\n" * 40),
        ("lines", "ab\r\n" * 20 + "ba\r\n" * 20),
        ("lines", "x" * 5000 + "\n" + "yx\n" * 30),
        ("blank-lines", "to be\nor not\n\n" * 30 + "that\n"),
        ("text:%", "to be%or not%" * 20 + "that"),
    ],
)
def test_unlike_texts_train_and_sample(tmp_path: Path, documents: str, text: str) -> None:
    (tmp_path / "t.txt").write_bytes(text.encode())
    sets = ["--set", f"data.documents={documents}", "--set", "data.val_fraction=0"]
    train(tmp_path, "t.npz", *sets, "--max-steps", "4", text="t.txt")
    drawn = ok("sample", "--ckpt", "t.npz", "--samples", "3", "--n", "20", cwd=tmp_path)
    assert drawn
    assert "\r" not in drawn


def test_a_folder_of_files_is_a_document_each(tmp_path: Path) -> None:
    (tmp_path / "poems").mkdir()
    for number in range(300):
        (tmp_path / "poems" / f"{number}.txt").write_text(f"poem {number}\nends\n")
    train(tmp_path, "p.npz", "--set", "data.documents=files", "--max-steps", "4", text="poems")
    figures: Any = json.loads(ok("eval", "--ckpt", "p.npz", "--split", "all", "--json",
                                 cwd=tmp_path))  # fmt: skip
    assert figures["documents"] == 300
    drawn = ok("sample", "--ckpt", "p.npz", "--samples", "3", "--n", "20", cwd=tmp_path)
    assert drawn.count("\n---\n") == 2


def test_repeated_and_empty_documents_are_counted_and_said(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("one\n\ntwo\nthree\n\n\none\n" + "four\n" * 16)
    (tmp_path / "v.txt").write_text("two\nfive\nfour\n")
    lines = ["--set", "data.documents=lines", "--max-steps", "1", "--out", "t.npz"]
    said = run("train", "--data", "t.txt", *lines, cwd=tmp_path).stderr
    assert "text: 78 characters, 9 different\ndocuments: 20; " in said
    assert "; 16 repeated; 3 empty ones left out\n" in said
    own = ["--set", "data.val_path=v.txt", "--dry-run"]
    result = run("train", "--data", "t.txt", *lines[:-1], "own.npz", *own, cwd=tmp_path)
    assert "# documents          23; 3 for validation; 18 repeated; 3 empty ones" in result.stdout
    assert "2 of the documents in data.val_path are also in the training text" in result.stderr


@pytest.mark.parametrize(
    ("documents", "text", "message"),
    [
        (
            "text:%%",
            "one long text\n",
            "does not occur; leave data.documents out, or name another sep",
        ),
        ("blank-lines", "one\nlong text\n", "because the separator does not occur; leave"),
        ("lines", "\n\n", "the text has no document; all are empty"),
        ("files", "one\n", "the text has 1 document; leave data.documents out, or name more files"),
        ("line", "one\n", "data.documents must be lines, blank-lines, files or text:SEPARATOR"),
    ],
)
def test_a_text_that_is_not_divided_is_an_error(
    tmp_path: Path, documents: str, text: str, message: str
) -> None:
    (tmp_path / "t.txt").write_text(text)
    for fraction in ("0", "0.1"):
        result = run("train", "--data", "t.txt", "--set", f"data.documents={documents}",
                     "--set", f"data.val_fraction={fraction}", cwd=tmp_path)  # fmt: skip
        assert result.returncode in (1, 2)
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
