"""`sample --novelty` and `eval --novelty` report what is copied."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import ok, on_a_terminal
from tests.helpers.copies import copied_runs
from tests.helpers.in_process import ok_here, run_here
from tests.helpers.texts import english

LINE = re.compile(
    r"novelty: (\d+\.\d)% of ([\d,]+) characters lie in copied runs of 20 or more; "
    r"the longest run has ([\d,]+): (.*)\n"
)

TEXT = english(5000)


TRAINING = TEXT[:4500]


SAMPLE = ["sample", "--ckpt", "run.npz", "--seed", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a run on it, and a run on the same text from a pipe."""
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
    """Return the values that the line on stderr must show for some texts."""
    inside, longest = copied_runs(texts, source)
    total = sum(map(len, texts))
    shown = longest.replace("\n", "\\n")
    return f"{inside / max(1, total):.1%}"[:-1], f"{total:,}", f"{len(longest):,}", shown


def said(result: Any) -> tuple[str, ...]:
    """Return the values in the one line on stderr."""
    assert result.returncode == 0
    match = LINE.fullmatch(result.stderr)
    assert match, result.stderr
    return match.groups()


def test_sample_says_on_stderr_what_it_copies(folder: Path) -> None:
    command = [*SAMPLE, "--n", "2000", "--temperature", "0.3"]
    result = run_here(*command, "--novelty", cwd=folder)
    assert result.stdout == ok_here(*command, cwd=folder)
    assert said(result) == line([result.stdout])
    assert float(said(result)[0]) > 0  # at this temperature the model does copy
    assert said(run_here(*SAMPLE, "--n", "0", "--novelty", cwd=folder)) == ("0.0", "0", "0", "")


def test_a_prime_and_what_is_between_texts_are_not_the_model_s(folder: Path) -> None:
    prime = TRAINING[:60]
    command = [*SAMPLE, "--n", "40", "--prime", prime, "--temperature", "0.3", "--novelty"]
    one = run_here(*command, cwd=folder)
    assert said(one) == line([one.stdout.removeprefix(prime)])
    several = run_here(*command, "--samples", "3", cwd=folder)
    drawn = [text.removeprefix(prime) for text in several.stdout.split("\n---\n")]
    assert [len(text) for text in drawn] == [40] * 3
    assert said(several) == line(drawn)


@pytest.mark.terminal
def test_on_a_terminal_the_line_stands_alone(folder: Path) -> None:
    screen = on_a_terminal(*SAMPLE, "--n", "50", "--novelty", cwd=folder)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen)
    assert plain[50] == "\n"
    assert LINE.fullmatch(plain.splitlines(keepends=True)[-1])


def test_eval_judges_any_text_also_from_a_pipe(folder: Path) -> None:
    text = "The king" + TRAINING[1000:1200] + "\n\nking king king"
    command = ["eval", "--ckpt", "run.npz", "--data", "-", "--novelty"]
    figures = json.loads(ok_here(*command, "--json", cwd=folder, text=text))
    inside, longest = copied_runs([text], TRAINING)
    assert figures["copied_share"] == pytest.approx(inside / len(text))
    assert (figures["longest_copy"], figures["copy"]) == (len(longest), longest)
    printed = ok_here(*command, cwd=folder, text=text)
    assert re.search(rf"^longest copy +{len(longest)}$", printed, re.MULTILINE)
    assert longest[:100].replace("\n", "\\n") in printed


def test_the_validation_text_is_compared_with_the_training_text_alone(folder: Path) -> None:
    figures = json.loads(ok_here("eval", "--ckpt", "run.npz", "--novelty", "--json", cwd=folder))
    inside, longest = copied_runs([TEXT[4500:]], TRAINING)
    assert figures["copied_share"] == pytest.approx(inside / 500)
    assert figures["copy"] == longest
    assert "copy" not in json.loads(ok_here("eval", "--ckpt", "run.npz", "--json", cwd=folder))


def test_the_training_text_may_have_moved_or_be_another(folder: Path) -> None:
    command = [*SAMPLE, "--n", "300", "--novelty"]
    here = said(run_here(*command, cwd=folder))
    moved = [*command, "--against", "moved/text.txt"]
    assert said(run_here(*moved, cwd=folder)) == here
    piped = run_here(*[part if part != "run.npz" else "piped.npz" for part in moved], cwd=folder)
    assert said(piped) == line([piped.stdout])
    (folder / "other.txt").write_text(TEXT[::-1])
    result = run_here(*command, "--against", "other.txt", cwd=folder)
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
        (2, [*piped, "--novelty"], "", "text from a pipe: name that text with --against"),
        (2, [*SAMPLE, "--against", "text.txt"], "", "--against is for --novelty and --new"),
        (2, ["eval", "--ckpt", "run.npz", "--against", "text.txt"], "", "is for --novelty"),
        (2, ["eval", "--ckpt", "run.npz", "--data", "text.txt", "--novelty", "--unknown", "skip"],
         "", "--novelty looks for exact copies; leave out --unknown skip"),
        (1, [*SAMPLE, "--novelty", "--against", "foreign.txt"], "",
         "foreign.txt: 20 characters are not in the vocabulary"),
        (1, [*SAMPLE, "--novelty", "--against", "no.txt"], "", "no.txt: No such file"),
        (1, other, "elsewhere", "not the text this model was trained on; name any text with"),
    ):  # fmt: skip
        result = run_here(*arguments, cwd=folder / where)
        assert (result.returncode, result.stdout) == (code, "")
        (only,) = result.stderr.splitlines()
        assert words in only
