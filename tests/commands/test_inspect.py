"""`charnn inspect`: its views as tables, as JSON and on a terminal."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import ok, on_a_terminal, refused, train_small
from tests.helpers.in_process import ok_here, run_here
from tests.helpers.texts import english


def looked_at(*arguments: str, cwd: Path, text: str | None = None) -> dict[str, Any]:
    """Return what `inspect` prints as JSON."""
    printed: dict[str, Any] = json.loads(
        ok_here("inspect", *arguments, "--json", cwd=cwd, text=text),
        parse_constant=pytest.fail,  # NaN is not JSON
    )
    return printed


# --- inspect -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one", "three", "chinese"])
def test_surprisals_sum_to_the_loss_of_eval(inside: Path, name: str) -> None:
    figures = json.loads(ok_here("eval", "--ckpt", f"{name}.npz", "--json", cwd=inside))
    seen = looked_at("--ckpt", f"{name}.npz", "--view", "surprise", cwd=inside)
    bits = [row["bits"] for row in seen["surprise"]]
    assert bits[0] is None
    assert seen["characters"] == seen["of"] == figures["characters"] == len(bits)
    assert sum(bits[1:]) / (len(bits) - 1) == pytest.approx(figures["bits_per_char"], abs=1e-6)
    assert seen["bits_per_char"] == pytest.approx(figures["bits_per_char"], abs=1e-6)
    most = [row["bits"] for row in seen["most_surprising"]]
    assert most == sorted(bits[1:], reverse=True)[:5]
    text = (inside / f"{name}.txt").read_text(encoding="utf-8")
    assert text.endswith("".join(row["character"] for row in seen["surprise"]))


@pytest.mark.parametrize("name", ["three", "chinese"])
def test_tables_are_tab_separated_with_a_row_for_each_character_or_lag(
    inside: Path, name: str
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
        printed = run_here(*command, cwd=inside)
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


def test_the_summary_is_three_tables(inside: Path) -> None:
    parts = ok_here("inspect", "--ckpt", "three.npz", "--top", "4", cwd=inside).split("\n\n")
    assert [part.splitlines()[0].split("\t")[0] for part in parts] == ["place", "unit", "layer"]
    assert [len(part.splitlines()) for part in parts] == [5, 5, 4]
    seen = looked_at("--ckpt", "three.npz", cwd=inside)
    assert list(seen)[4:] == ["most_surprising", "units", "layers"]
    for layer in seen["layers"]:
        assert layer["spectral_radius"] <= layer["largest_singular_value"] * (1 + 1e-9)
        assert layer["verdict"].split(":")[0] in ("vanishes", "holds", "explodes")


def test_expectations_are_probabilities_and_the_rank_is_of_the_true_character(inside: Path) -> None:
    arguments = ["--ckpt", "one.npz", "--view", "expectation", "--top", "3"]
    rows = looked_at(*arguments, cwd=inside)["expectation"]
    for row in rows[1:]:
        p = [row[f"probability_{number}"] for number in (1, 2, 3)]
        assert 1 >= p[0] >= p[1] >= p[2] > 0
        if row["rank"] <= 3:
            assert row[f"expected_{row['rank']}"] == row["character"]
            assert 2 ** -row["bits"] == pytest.approx(p[row["rank"] - 1], rel=1e-5)
    assert len({row["rank"] for row in rows}) > 5


def test_units_are_chosen_by_name_and_texts_come_from_pipes(inside: Path) -> None:
    arguments = ["--ckpt", "three.npz", "--view", "memory", "--unit", "2:15", "--unit", "0:3"]
    seen = looked_at(*arguments, "--data", "-", cwd=inside, text="The KING:\nsees.\n")
    assert (seen["text"], seen["characters"]) == ("standard input", 16)
    assert [unit["unit"] for unit in seen["units"]] == ["2:15", "0:3"]
    assert list(seen["memory"][0]) == ["place", "character", "2:15", "0:3"]
    assert all(-1 <= row["0:3"] <= 1 for row in seen["memory"])


def test_a_long_text_is_bounded_work_and_says_so(inside: Path) -> None:
    (inside / "long.txt").write_text(english(1_000_000))
    result = run_here("inspect", "--ckpt", "three.npz", "--data", "long.txt", cwd=inside)
    assert result.stderr == "long.txt: read the first 20,000 of 1,000,000 characters\n"


@pytest.mark.terminal
def test_on_a_terminal_there_are_colours_with_a_legend_and_no_control_characters(
    inside: Path, tmp_path: Path
) -> None:
    text = "\x1b[31mred\x07 [bold]alert[/bold]\u202e\n" * 100
    train_small(tmp_path, text, "bad")
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
    summary = on_a_terminal("inspect", "--ckpt", "three.npz", cwd=inside, NO_COLOR="1")
    for title in ("Surprise", "The most surprising characters", "Memory", "How far back"):
        assert title in summary
    assert not re.search(r"\x1b\[[0-9;]*[34]8[;m]", summary)


# --- a known memory ------------------------------------------------------------------------------


def test_a_known_memory_is_found_and_gradients_reach_beyond_it(tmp_path: Path) -> None:
    """A bracket closes after 8 letters. Inside, the same letters have other frequencies.

    A unit without memory, which knows only the last letter, would score 0.5.
    """
    draw, n = random.Random(1), 8
    parts: list[str] = []
    for _ in range(2500):
        parts += draw.choices("ab", [3, 1], k=draw.randint(2, 12))
        parts += ["(", *draw.choices("ab", [1, 3], k=n), ")"]
    settings = ["training.learning_rate=1e-2", "training.seq_length=32", "training.eval_every=500"]
    more = [part for setting in settings for part in ("--set", setting)]
    train_small(tmp_path, "".join(parts), "brackets", 1, *more, "--max-steps", "500")
    seen = looked_at("--ckpt", "brackets.npz", cwd=tmp_path)
    assert seen["units"][0]["feature"] == "inside brackets"
    assert abs(seen["units"][0]["correlation"]) > 0.8
    assert seen["layers"][0]["reach"] > n


def test_origins_are_shown_of_the_most_surprising_or_of_named_places(trained: Path) -> None:
    look = ["inspect", "--ckpt", "run.npz", "--view", "origins", "--json"]
    rows = json.loads(ok(*look, "--place", "100", "--place", "3", cwd=trained))["origins"]
    text = (trained / "text.txt").read_text()[-2000:]
    assert [row["back"] for row in rows] == [*range(1, 61), 1, 2, 3]
    assert all(row["origin"] == text[row["place"] - row["back"]] for row in rows)
    assert {(row["place"], row["character"]) for row in rows} == {(100, text[100]), (3, text[3])}
    assert all(row["gradient"] > 0 for row in rows)
    found = json.loads(ok(*look, "--top", "2", cwd=trained))["origins"]
    assert len({row["place"] for row in found}) == 2
    printed = ok("inspect", "--ckpt", "run.npz", "--view", "origins", cwd=trained).splitlines()
    assert printed[0].split("\t") == ["place", "character", "bits", "back", "origin", "gradient"]
    line = refused(2, *look, "--place", "0", cwd=trained)
    assert "--place 0: the text that was read has places 1 to 1999" in line
