"""`charnn eval`: exact losses of any text."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

import charnn
from charnn.adaptation import RATE
from charnn.commands.options import ADAPT_RATE
from tests.helpers.commands import ok, refused
from tests.helpers.in_process import ok_here
from tests.helpers.textbook import loop
from tests.helpers.texts import english

PARAMETERS = ["U0", "W0", "b0", "U1", "W1", "b1", "V", "c"]


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


def test_eval_reads_other_texts_and_pipes(trained: Path, tmp_path: Path) -> None:
    text = english(500, seed=9)
    piped = ok("eval", "--ckpt", "run.npz", "--data", "-", "--json", cwd=trained, text=text)
    other = tmp_path / "other.txt"
    other.write_text(text)
    read = ok("eval", "--ckpt", "run.npz", "--data", str(other), "--json", cwd=trained)
    first, second = json.loads(piped), json.loads(read)
    assert first["nats_per_char"] == second["nats_per_char"]
    line = refused(1, "eval", "--ckpt", "run.npz", "--data", "-", cwd=trained, text="the é@é king")
    assert "'é' (U+00E9) at line 1, column 5" in line
    skip = ["eval", "--ckpt", "run.npz", "--data", "-", "--unknown", "skip", "--json"]
    figures = json.loads(ok(*skip, cwd=trained, text="the é@é king"))
    assert (figures["skipped"], figures["characters"]) == (3, 9)


def test_figures_of_a_model_that_is_sure_of_everything(tmp_path: Path) -> None:
    """The right model has loss zero, without a sign. The perplexity of the wrong one overflows."""
    (tmp_path / "text.txt").write_text("ab" * 600)
    train = ["train", "--data", "text.txt", "--out", "run.npz", "--max-steps", "0", "--quiet"]
    train += ["--set", "model.hidden_size=2", "--set", "model.num_layers=1"]
    ok_here(*train, cwd=tmp_path)
    checkpoint = charnn.load(tmp_path / "run.npz")
    parameters = checkpoint.model.parameters
    for sure, name in ((1000, "right"), (-1000, "wrong")):
        parameters.flat[:] = 0
        parameters["U0"][...] = 20 * np.eye(2)
        parameters["V"][...] = sure * np.eye(2)[::-1]
        checkpoint.save(tmp_path / f"{name}.npz")
        printed = ok_here("eval", "--ckpt", f"{name}.npz", cwd=tmp_path)
        figures = json.loads(ok_here("eval", "--ckpt", f"{name}.npz", "--json", cwd=tmp_path))
        if name == "right":
            assert "-0" not in printed
            assert str(figures["bits_per_char"]) == "0.0"
            seen = ["inspect", "--ckpt", f"{name}.npz", "--view", "surprise"]
            assert "-0" not in ok_here(*seen, cwd=tmp_path)
            assert "-0" not in ok_here(*seen, "--json", cwd=tmp_path)
        else:
            assert re.search(r"^perplexity +-$", printed, re.M)
            assert figures["perplexity"] is None
            assert figures["nats_per_char"] == pytest.approx(1000)


def test_a_model_of_one_text_scores_line_by_line(trained: Path) -> None:
    text = "the king\nthe queen of all\n"
    out = ok("eval", "--each", "--ckpt", "run.npz", "--data", "-", "--json", cwd=trained, text=text)
    checkpoint = charnn.load(trained / "run.npz")
    for line, document in zip(out.splitlines(), text.splitlines(), strict=True):
        ids = checkpoint.vocabulary.encode(f"\n{document}\n")
        score, found = charnn.evaluate(checkpoint.model, ids), json.loads(line)
        assert found["bits"] == pytest.approx(score.total_nats / np.log(2), abs=1e-3)
        assert found["characters"] == len(document)


def test_bits_per_byte_count_utf8(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("aé中😀" * 300, encoding="utf-8")
    train = ["train", "--data", "text.txt", "--out", "run.npz", "--max-steps", "2", "--quiet"]
    ok_here(*train, "--set", "model.hidden_size=2", cwd=tmp_path)
    read = ["eval", "--ckpt", "run.npz", "--data", "text.txt", "--json"]
    figures = json.loads(ok_here(*read, cwd=tmp_path))
    bits, size = figures["bits_per_char"] * 1199, 10 * 300 - 1
    assert figures["bits_per_byte"] == pytest.approx(bits / size, rel=1e-9)


def test_eval_adapts_to_what_it_has_scored(trained: Path) -> None:
    plain = json.loads(ok("eval", "--ckpt", "run.npz", "--json", cwd=trained))
    read = ["eval", "--ckpt", "run.npz", "--json", "--adapt"]
    figures = json.loads(ok(*read, cwd=trained))
    adapted = {name: figures.pop(name) for name in list(figures) if name.startswith("adapt")}
    assert figures == plain
    assert adapted["adapted_nats_per_char"] < plain["nats_per_char"]
    assert adapted["adapt_rate"] == 3e-4
    again = json.loads(ok(*read, "--adapt-rate", "0.0003", cwd=trained))
    assert again == figures | adapted
    other = json.loads(ok(*read, "--adapt-rate", "0.001", cwd=trained))
    assert other["adapted_bits_per_char"] != adapted["adapted_bits_per_char"]


def test_options_that_do_not_go_with_adapt(trained: Path) -> None:
    for options, words in (
        (["--adapt-rate", "1"], "--adapt-rate is for --adapt"),
        (["--adapt", "--adapt-rate", "0"], "--adapt-rate must be a number > 0, got 0"),
        (["--adapt", "--adapt-rate", "nan"], "--adapt-rate must be a number > 0, got nan"),
        (["--adapt", "--context", "9"], "--adapt carries the state on, so it excludes --context"),
        (["--adapt", "--each"], "--each excludes --novelty, --adapt and --context"),
    ):
        assert words in refused(2, "eval", "--ckpt", "run.npz", *options, cwd=trained)


def test_the_help_names_the_rate_that_is_used() -> None:
    assert ADAPT_RATE.show_default == f"{RATE:g}"
