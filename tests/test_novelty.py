"""What a text copies, against a search of every run; and as a shell asks for it."""

import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn import novelty
from charnn.novelty import RUN, copies
from tests.helpers.commands import ok, on_a_terminal, run
from tests.helpers.texts import english

# --- against every run ---------------------------------------------------------------------------


def expected(texts: list[str], source: str) -> tuple[int, str]:
    """Return how many characters lie in copied runs, and the first longest run."""
    inside, longest = 0, ""
    for text in texts:
        copied = set[int]()
        for start in range(len(text)):
            for end in range(start + len(longest) + 1, len(text) + 1):
                if text[start:end] not in source:
                    break
                longest = text[start:end]
            if start + RUN <= len(text) and text[start : start + RUN] in source:
                copied.update(range(start, start + RUN))
        inside += len(copied)
    return inside, longest


def found(
    texts: list[str], source: str, dtype: type[np.unsignedinteger[Any]] = np.uint16
) -> tuple[int, str]:
    *encoded, read = [np.array([*map(ord, text)], dtype) for text in (*texts, source)]
    result = copies(encoded, read)
    assert result.characters == sum(map(len, texts))
    assert result.share == result.inside / max(1, result.characters)
    assert result.longest.dtype == dtype
    return result.inside, "".join(map(chr, result.longest))


@st.composite
def texts_and_source(draw: st.DrawFn) -> tuple[list[str], str]:
    """A source of few or many characters, and texts that are put together from bits of it."""
    alphabet = draw(st.sampled_from(["a", "ab", "abcdefgh", "\x00ÿ\uffff"]))
    source = draw(st.text(alphabet, max_size=30)) * draw(st.integers(1, 8))
    source += draw(st.text(alphabet, max_size=60))
    places = st.integers(0, len(source))
    copied = st.tuples(places, places).map(lambda ends: source[min(ends) : max(ends)])
    parts = st.lists(copied | st.text(alphabet + "z", max_size=5), max_size=5)
    return draw(st.lists(parts.map("".join), max_size=3)), source


@given(texts_and_source(), st.sampled_from([1, 7, 1 << 20]))
def test_copies_are_those_of_a_plain_search(given: tuple[list[str], str], block: int) -> None:
    with patch.object(novelty, "_BLOCK", block):
        assert found(*given) == expected(*given)


def test_a_known_copy_is_found_to_the_character() -> None:
    source = english(30_000)
    text = "zz" + source[5000:5033] + "zz" + source[100:119] + "zz" + source[9000:9020]
    inside, longest = found([text], source, np.uint8)
    assert (inside, longest) == (33 + 20, source[5000:5033])


def test_a_run_ends_with_its_text() -> None:
    source = english(1000)
    assert found([source[:15], source[15:30]], source) == (0, source[:15])
    assert found([source[:30]], source) == (30, source[:30])


def test_a_text_that_is_all_copied_or_repeats_itself() -> None:
    source = english(50_000, seed=1)
    assert found([source], source) == (len(source), source)
    assert found(["a" * 3000], "a" * 2000) == (3000, "a" * 2000)


def test_a_run_may_lie_across_blocks_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "_BLOCK", 1000)
    source = english(5000)
    for start in (940, 990, 999, 1000, 3999):
        text = "Z" + source[start : start + 60]
        assert found([text], source) == expected([text], source)


# --- as a shell asks for it ----------------------------------------------------------------------

LINE = re.compile(
    r"novelty: (\d+\.\d)% of ([\d,]+) characters lie in copied runs of 20 or more; "
    r"the longest run has ([\d,]+): (.*)\n"
)
TEXT = english(5000)
TRAINING = TEXT[:4500]
SAMPLE = ["sample", "--ckpt", "run.npz", "--seed", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, a run that has read it, and one that has read it from a pipe."""
    folder = tmp_path_factory.mktemp("novelty")
    (folder / "text.txt").write_text(TEXT)
    (folder / "moved").mkdir()
    (folder / "moved" / "text.txt").write_text(TEXT)
    for path, out, steps in (("text.txt", "run.npz", "300"), ("-", "piped.npz", "1")):
        train = ["train", "--data", path, "--out", out, "--max-steps", steps, "--quiet"]
        train += ["--seed", "1", "--set", "model.hidden_size=64"]
        ok(*train, "--set", "training.learning_rate=1e-2", cwd=folder, text=TEXT)
    return folder


def line(texts: list[str], source: str = TRAINING) -> tuple[str, str, str, str]:
    """Return what the line on stderr must say of some texts."""
    inside, longest = expected(texts, source)
    total = sum(map(len, texts))
    shown = longest.replace("\n", "\\n")
    return f"{100 * inside / max(1, total):.1f}", f"{total:,}", f"{len(longest):,}", shown


def said(result: Any) -> tuple[str, ...]:
    """Return what the one line on stderr says."""
    assert result.returncode == 0
    match = LINE.fullmatch(result.stderr)
    assert match, result.stderr
    return match.groups()


def test_sample_says_on_stderr_what_it_copies(folder: Path) -> None:
    command = [*SAMPLE, "--n", "2000", "--temperature", "0.3"]
    result = run(*command, "--novelty", cwd=folder)
    assert result.stdout == ok(*command, cwd=folder)
    assert said(result) == line([result.stdout])
    assert float(said(result)[0]) > 0  # so cold that it does copy
    assert said(run(*SAMPLE, "--n", "0", "--novelty", cwd=folder)) == ("0.0", "0", "0", "")


def test_a_prime_and_what_is_between_texts_are_not_the_model_s(folder: Path) -> None:
    prime = TRAINING[:60]
    command = [*SAMPLE, "--n", "40", "--prime", prime, "--temperature", "0.3", "--novelty"]
    one = run(*command, cwd=folder)
    assert said(one) == line([one.stdout.removeprefix(prime)])
    several = run(*command, "--samples", "3", cwd=folder)
    drawn = [text.removeprefix(prime) for text in several.stdout.split("\n---\n")]
    assert [len(text) for text in drawn] == [40] * 3
    assert said(several) == line(drawn)


def test_on_a_terminal_the_line_stands_alone(folder: Path) -> None:
    screen = on_a_terminal(*SAMPLE, "--n", "50", "--novelty", cwd=folder)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen)
    assert plain[50] == "\n"
    assert LINE.fullmatch(plain.splitlines(keepends=True)[-1])


def test_eval_judges_any_text_also_from_a_pipe(folder: Path) -> None:
    text = "The king" + TRAINING[1000:1200] + "\n\nking king king"
    command = ["eval", "--ckpt", "run.npz", "--data", "-", "--novelty"]
    figures = json.loads(ok(*command, "--json", cwd=folder, text=text))
    inside, longest = expected([text], TRAINING)
    assert figures["copied_share"] == pytest.approx(inside / len(text))
    assert (figures["longest_copy"], figures["copy"]) == (len(longest), longest)
    printed = ok(*command, cwd=folder, text=text)
    assert re.search(rf"^longest copy +{len(longest)}$", printed, re.MULTILINE)
    assert longest[:100].replace("\n", "\\n") in printed


def test_the_validation_text_is_compared_with_the_training_text_alone(folder: Path) -> None:
    figures = json.loads(ok("eval", "--ckpt", "run.npz", "--novelty", "--json", cwd=folder))
    inside, longest = expected([TEXT[4500:]], TRAINING)
    assert figures["copied_share"] == pytest.approx(inside / 500)
    assert figures["copy"] == longest
    assert "copy" not in json.loads(ok("eval", "--ckpt", "run.npz", "--json", cwd=folder))


def test_the_training_text_may_have_moved_or_be_another(folder: Path) -> None:
    command = [*SAMPLE, "--n", "300", "--novelty"]
    here = said(run(*command, cwd=folder))
    moved = [*command, "--against", "moved/text.txt"]
    assert said(run(*moved, cwd=folder)) == here
    piped = run(*[part if part != "run.npz" else "piped.npz" for part in moved], cwd=folder)
    assert said(piped) == line([piped.stdout])
    (folder / "other.txt").write_text(TEXT[::-1])
    result = run(*command, "--against", "other.txt", cwd=folder)
    warning, rest = result.stderr.split("\n", 1)
    assert warning == ("other.txt: not the text this model was trained on; compared with all of it")
    match = LINE.fullmatch(rest)
    assert match
    assert match.groups() == line([result.stdout], TEXT[::-1])


def test_what_cannot_be_compared_is_refused_before_anything_is_drawn(folder: Path) -> None:
    piped = [part if part != "run.npz" else "piped.npz" for part in SAMPLE]
    (folder / "foreign.txt").write_text("naïve\n" * 20)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "text.txt").write_text(TEXT.upper().lower())
    other = ["sample", "--ckpt", "../run.npz", "--novelty"]
    for code, arguments, where, words in (
        (2, [*piped, "--novelty"], "", "trained on standard input: name that text with --against"),
        (2, [*SAMPLE, "--against", "text.txt"], "", "--against is for --novelty"),
        (2, ["eval", "--ckpt", "run.npz", "--against", "text.txt"], "", "is for --novelty"),
        (2, ["eval", "--ckpt", "run.npz", "--data", "text.txt", "--novelty", "--unknown", "skip"],
         "", "--novelty looks for exact copies; leave out --unknown skip"),
        (1, [*SAMPLE, "--novelty", "--against", "foreign.txt"], "",
         "foreign.txt: 20 characters are not in the vocabulary"),
        (1, [*SAMPLE, "--novelty", "--against", "no.txt"], "", "no.txt: No such file"),
        (1, other, "elsewhere", "not the text this model was trained on; name any text with"),
    ):  # fmt: skip
        result = run(*arguments, cwd=folder / where)
        assert (result.returncode, result.stdout) == (code, "")
        (only,) = result.stderr.splitlines()
        assert words in only
