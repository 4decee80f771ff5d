"""`charnn gradcheck` compares our gradients with differences, and a student's with ours."""

import json
from pathlib import Path

import pytest

from tests.helpers.commands import ok, refused, run
from tests.helpers.places import ROOT

STUDENT = """
import numpy as np


def backward(parameters, inputs, targets, state):
    U, W, b, V, c = (parameters[name] for name in "UWbVc")
    h, y = {-1: state[0]}, {}
    for t in range(len(inputs)):
        h[t] = np.tanh(U[:, inputs[t]] + W @ h[t - 1] + b)
        e = np.exp(V @ h[t] + c)
        y[t] = e / e.sum()
    dU, dW, db, dV, dc = (np.zeros_like(array) for array in (U, W, b, V, c))
    later = np.zeros_like(b)
    for t in reversed(range(len(inputs))):
        do = y[t].copy()
        do[targets[t]] -= 1
        dh = V.T @ do + later
        da = (1 - h[t] ** 2) * dh
        dV += np.outer(do, h[t])
        dc += do
        db += da
        dU[:, inputs[t]] += da
        dW += np.outer(da, h[t - 1])
        later = W.T @ da
    return {"dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc}
"""


@pytest.mark.parametrize("loop", ["fast", "textbook"])
@pytest.mark.parametrize("layers", ["1", "3"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_all_cells_agree_with_differences(
    cell: str, layers: str, loop: str, tmp_path: Path
) -> None:
    keys = {"model.cell": cell, "model.num_layers": layers, "training.loop": loop}
    command = ["gradcheck", "--json", *(f"--set={key}={value}" for key, value in keys.items())]
    found = json.loads(ok(*command, cwd=tmp_path))
    assert found["agree"]
    names = {row["parameter"] for row in found["gradients"]}
    assert names >= {"U0", "W0", "b0", "V", "c", f"W{int(layers) - 1}"}
    assert all(row["difference"] < 1e-6 and row["norm"] > 0 for row in found["gradients"])


def test_relu_and_the_table(tmp_path: Path) -> None:
    printed = ok("gradcheck", "--set", "model.activation=relu", cwd=tmp_path).splitlines()
    assert printed[0].split() == [
        "shape",
        "norm",
        "difference",
        "worst",
        "element",
        "found",
        "right",
    ]
    assert [line.split()[0] for line in printed[1:]] == ["dU0", "dW0", "db0", "dV", "dc"]


def test_what_the_file_prints_goes_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        STUDENT.replace("    dU, dW", "    print('here')\n    dU, dW")
    )
    result = run("gradcheck", "--mine", "mine.py", "--json", cwd=tmp_path)
    assert json.loads(result.stdout)["agree"]
    assert result.stderr == "here\n"


def test_a_right_file_passes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(STUDENT)
    found = json.loads(ok("gradcheck", "--mine", "mine.py", "--json", cwd=tmp_path))
    assert found["agree"]
    assert {row["hint"] for row in found["gradients"]} == {None}


SLIPS = {
    "da added to dV": (
        "dV += np.outer(do, h[t])",
        "dV += np.outer(do, h[t]) + da",
        {"V": "da(t) is added to it"},
    ),
    "da in place of do": (
        "dV += np.outer(do, h[t])",
        "dV += np.outer(da, h[t])",
        {"V": "da(t) is added to it"},
    ),
    "da added as a column": (
        "dV += np.outer(do, h[t])",
        "dV += np.outer(do, h[t]) + da[:, None]",
        {"V": "da(t) is added"},
    ),
    "dc added to itself": (
        "dc += do",
        "dc += dc + do",
        {"c": "it is added to itself at each step"},
    ),
    "db forgotten": ("db += da", "pass", {"b": "nothing, or only itself, is added to db0"}),
    "dc added to itself alone": ("dc += do", "dc += dc", {"c": "or only itself"}),
    "dc added to itself after": (
        "dc += do",
        "dc += do; dc += dc",
        {"c": "it is added to itself at each step, after the term"},
    ),
    "the loss left out": (
        "dh = V.T @ do + later",
        "dh = later",
        dict.fromkeys("UWb", "is Vᵀ do(t) in dh(t)?"),
    ),
    "V for its transpose": (
        "dh = V.T @ do + later",
        "dh = V @ do + later",
        dict.fromkeys("UWb", "should get Vᵀ do(t)"),
    ),
    "1 - h": ("(1 - h[t] ** 2)", "(1 - h[t])", dict.fromkeys("UWb", "not 1 − h(t)")),
    "tanh twice": (
        "(1 - h[t] ** 2)",
        "(1 - np.tanh(h[t]) ** 2)",
        dict.fromkeys("UWb", "h(t) is tanh a(t) already"),
    ),
    "the slope before": (
        "(1 - h[t] ** 2)",
        "(1 - h[t - 1] ** 2)",
        dict.fromkeys("UWb", "it takes the slope at h(t−1)"),
    ),
    "every later step": (
        "later = W.T @ da",
        "later = later + W.T @ da",
        dict.fromkeys("UWb", "of all later steps"),
    ),
    "the state left out": (
        "{-1: state[0]}",
        "{-1: 0 * state[0]}",
        dict.fromkeys("UWbVc", "h(0) = 0"),
    ),
    "twice": ('"dc": dc', '"dc": 2 * dc', {"c": "it is twice what it should be"}),
    "the slope": ("da = (1 - h[t] ** 2) * dh", "da = dh", dict.fromkeys("UWb", "1 − h(t)²")),
    "the step after": (
        "later = W.T @ da",
        "pass",
        dict.fromkeys("UWb", "Wᵀ da(t+1), the part from"),
    ),
    "h(t) in dW": (
        "dW += np.outer(da, h[t - 1])",
        "dW += np.outer(da, h[t])",
        {"W": "it takes h(t), and should take h(t−1)"},
    ),
    "W for its transpose": (
        "later = W.T @ da",
        "later = W @ da",
        dict.fromkeys("UWb", "should get Wᵀ da(t+1)"),
    ),
    "the slope on the way": (
        "later = W.T @ da",
        "later = W.T @ dh",
        dict.fromkeys("UWb", "should get Wᵀ da(t+1): the slope"),
    ),
    "h(t-1) in dV": (
        "dV += np.outer(do, h[t])",
        "dV += np.outer(do, h[t - 1])",
        {"V": "it takes h(t−1), and should take h(t)"},
    ),
    "= for +=": ("dW += np", "dW = np", {"W": "use += instead of ="}),
    "a wrong sign": ('"dc": dc', '"dc": -dc', {"c": "it has the wrong sign"}),
    "a mean": ('"dU": dU', '"dU": dU / len(inputs)', {"U": "it is the mean over the steps"}),
    "a transpose": ('"dV": dV', '"dV": dV.T', {"V": "it is transposed"}),
    "not a number": ('"dc": dc', '"dc": dc * np.nan', {"c": "not finite"}),
    "something else": ('"dc": dc', '"dc": dc + 0.5', {"c": "no slip that is known here"}),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_named(slip: str, tmp_path: Path) -> None:
    right, wrong, expected = SLIPS[slip]
    assert STUDENT.count(right) == 1
    (tmp_path / "mine.py").write_text(STUDENT.replace(right, wrong))
    result = run("gradcheck", "--mine", "mine.py", "--json", cwd=tmp_path)
    assert result.returncode == 1
    hints = {row["parameter"][0]: row["hint"] for row in json.loads(result.stdout)["gradients"]}
    assert {name for name, hint in hints.items() if hint} == expected.keys()
    for name, words in expected.items():
        assert words in hints[name]
    assert result.stderr.startswith("charnn: error: wrong: d")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "mine.py: No such file"),
        ("x = 1\0", "mine.py"),
        ("open('absent.txt')", "mine.py:1: FileNotFoundError: [Errno 2] No such file"),
        ("x = 1", "mine.py: no function backward in it"),
        ("import sys\nsys.exit()", "mine.py:2: SystemExit"),
        ("def backward(:", "mine.py:1: invalid syntax"),
        ("\ndef backward(*_):\n    return 1 / 0", "mine.py:3: ZeroDivisionError"),
        ("def backward(*_):\n    return 3", "must return a dict, got int"),
        ("def backward(*_):\n    return {}", "backward returns no gradient named dU"),
        (STUDENT.replace('"dc": dc', '"dc": "x"'), "dc is not an array of numbers"),
        (STUDENT.replace('"dc": dc', '"dc": dc[1:]'), "dc has the shape (5,), expected (6,)"),
        (STUDENT.replace("(V @ h[t] + c)", "(V @ h[t] + c[1:])"), "mine.py:10: ValueError"),
    ],
)
def test_files_that_fail_are_one_line(content: str | None, line: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    assert line in refused(1, "gradcheck", "--mine", "mine.py", cwd=tmp_path)


def test_a_gradient_for_every_name_it_was_given_passes(tmp_path: Path) -> None:
    ending = """    found = {"U": dU, "W": dW, "b": db, "V": dV, "c": dc}
    return {"d" + name: found.get(name, 0 * array) for name, array in parameters.items()}
"""
    (tmp_path / "mine.py").write_text(STUDENT[: STUDENT.index("    return {")] + ending)
    ok("gradcheck", "--mine", "mine.py", cwd=tmp_path)


def test_other_names_and_other_cells(tmp_path: Path) -> None:
    columns = STUDENT.replace('"dc": dc', '"c": dc[:, None]').replace('"dW"', '"W0"')
    (tmp_path / "mine.py").write_text(columns)
    ok("gradcheck", "--mine", "mine.py", cwd=tmp_path)
    gru = ["gradcheck", "--mine", "mine.py", "--set", "model.cell=gru"]
    assert "mine.py:" in refused(1, *gru, cwd=tmp_path)
    big = ["gradcheck", "--set", "model.hidden_size=300"]
    assert "parameters take too long" in refused(2, *big, cwd=tmp_path)
    for key, words in {
        "model.hidden_size=1000000000": "parameters take too long",
        "model.num_layers=1000000000": "parameters take too long",
        "training.batch_size=1000000000": "8,000,000,000 characters take too long",
        "training.learning_rate=1": "training.learning_rate is not for gradcheck; it takes",
        "model.hiden_size=1": "did you mean",
    }.items():
        assert words in refused(2, "gradcheck", "--set", key, cwd=tmp_path)
    full = ["gradcheck", "--set", "training.seq_length=full"]
    assert "must be a number here" in refused(2, *full, cwd=tmp_path)


def test_the_page_on_the_equations_shows_what_it_prints(tmp_path: Path) -> None:
    slips = STUDENT.replace("db += da", "pass").replace("(da, h[t - 1])", "(da, h[t])")
    (tmp_path / "homework.py").write_text(slips)
    result = run("gradcheck", "--mine", "homework.py", cwd=tmp_path)
    page = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")
    shown = page.partition("gradcheck --mine homework.py\n")[2].partition("```")[0].splitlines()
    *lines, error = [*result.stdout.splitlines(), result.stderr.rstrip()]
    assert error == shown.pop()
    assert [line.split()[:4] for line in lines] == [line.split()[:4] for line in shown]
    assert [line for line in lines if line[0] == " "] == [line for line in shown if line[0] == " "]
