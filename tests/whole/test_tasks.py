"""The texts of known entropy have the entropy that they report."""

import math
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.places import script

tasks = script("data/tasks.py")
GRAMMARS = {
    "recall": tasks.recall(12),
    "brackets": tasks.brackets(),
    "reber": tasks.reber(),
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_probabilities_sum_to_one_and_arcs_lead_somewhere(name: str) -> None:
    for arcs in GRAMMARS[name].values():
        assert sum(arc.p for arc in arcs) == pytest.approx(1)
        assert len({arc.character for arc in arcs}) == len(arcs)  # so a text has one derivation
        assert all(arc.state in GRAMMARS[name] for arc in arcs)


@pytest.mark.parametrize("gap", [0, 1, 40])
def test_recall_has_the_entropy_of_its_parts(gap: int) -> None:
    automaton, ends = tasks.recall(gap), 1 / (gap + 1)
    of_ending = -math.log2(ends) * ends - (math.log2(1 - ends) * (1 - ends) if gap else 0)
    bits = 3 + (gap + 1) * of_ending + gap * math.log2(len(tasks.NOISE))
    assert tasks.entropy(automaton) == pytest.approx(bits / (gap + 4), rel=1e-9)
    text = "".join(character for character, _ in tasks.drawn(automaton, 200_000, 1))
    lines = text.splitlines()
    assert all(line[0] == line[-1] and line[-2] == "?" for line in lines)
    assert set(text) == {*tasks.LETTERS, *(tasks.NOISE if gap else ""), "?", "\n"}
    gaps = [len(line) - 3 for line in lines]
    error = math.sqrt(gap * (gap + 1) / len(lines))
    assert sum(gaps) / len(gaps) == pytest.approx(gap, abs=5 * error)


def test_reber_s_entropy_another_way() -> None:
    """Iterate backwards from the end: compute the expected characters and bits after each state."""
    automaton = GRAMMARS["reber"]
    n = dict.fromkeys(automaton, 0.0)
    bits = dict.fromkeys(automaton, 0.0)
    for _ in range(2000):
        for state, arcs in automaton.items():
            n[state] = sum(arc.p * (1 + (n[arc.state] if arc.state else 0)) for arc in arcs)
            bits[state] = sum(
                arc.p * (-math.log2(arc.p) + (bits[arc.state] if arc.state else 0)) for arc in arcs
            )
    assert tasks.entropy(automaton) == pytest.approx(bits[""] / n[""], rel=1e-9)
    assert tasks.entropy(automaton) == pytest.approx(2 / 3, rel=1e-9)


@pytest.mark.parametrize("name", GRAMMARS)
def test_the_bits_of_a_text_come_near_the_entropy(name: str) -> None:
    text, bits = zip(*tasks.drawn(GRAMMARS[name], 100_000, 3), strict=True)
    assert text[-1] == "\n"
    assert sum(bits) / len(bits) == pytest.approx(tasks.entropy(GRAMMARS[name]), abs=0.02)


def test_brackets_are_balanced_and_at_most_six_deep() -> None:
    text = "".join(character for character, _ in tasks.drawn(GRAMMARS["brackets"], 50_000, 1))
    depths: Counter[int] = Counter()
    for line in text.splitlines():
        open_: list[str] = []
        for character in line:
            if character in tasks.KINDS:
                open_.append(character)
            else:
                assert tasks.KINDS[open_.pop()] == character
            depths[len(open_)] += 1
        assert not open_
    assert max(depths) == 6


def test_the_command_writes_one_text_for_a_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "recall.txt"
    command = ["recall", str(out), "--gap", "0", "--characters", "900"]
    assert tasks.main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: 900 characters; entropy 0.7500 bits per character, ")
    first = out.read_text()
    assert tasks.main([*command, "--seed", "2"]) == 0
    assert out.read_text() != first
    assert tasks.main(command) == 0
    assert out.read_text() == first
    capsys.readouterr()
    assert tasks.main(["recall", str(out), "--gap", "-1"]) == 1
    assert tasks.main(["reber", str(tmp_path / "no" / "out.txt")]) == 1
    assert capsys.readouterr().err.count("error: ") == 2
