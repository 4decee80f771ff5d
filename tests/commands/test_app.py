"""The command line: help, version, and one clear line for each bad request."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import charnn
from charnn.commands.options import keys_beginning
from tests.helpers.commands import CHARNN, ok
from tests.helpers.in_process import ok_here, refused_here
from tests.helpers.places import ROOT


@pytest.mark.parametrize(
    ("code", "arguments", "expected"),
    [
        (2, ["train"], "no text given: use --data PATH, or data.path in the config"),
        (1, ["train", "--data", "none.txt"], "none.txt: No such file or directory"),
        (1, ["train", "--data", "empty.txt"], "the text is empty"),
        (1, ["train", "--data", "binary.txt"], "binary.txt:1: not UTF-8 text: byte 0xff"),
        (2, ["train", "--data", "text.txt", "--out", "run.txt"], "name ending in .npz"),
        (2, ["train", "--data", "text.txt", "--out", "no/run.npz"], "folder no does not exist"),
        (2, ["train", "--config", "none.yaml"], "none.yaml: No such file or directory"),
        (2, ["train", "--config", "bad.yaml"], "bad.yaml:3: training.learning_rate must be > 0"),
        (2, ["train", "--data", "text.txt", "--set", "model.hiden_size=3"], "did you mean"),
        (2, ["train", "--data", "text.txt", "--max-steps", "-1"], "--max-steps: training.max"),
        (2, ["train", "--resume", "--overwrite"], "exclude each other"),
        (2, ["train", "--no-such-option"], "--no-such-option"),
        (2, ["train", "--epochs", "3"], "of the config: --set training.epochs=VALUE"),
        (2, ["train", "--hidden-size=3"], "of the config: --set model.hidden_size=VALUE"),
        (2, ["sample"], "no checkpoint given: use --ckpt FILE.npz"),
        (2, ["sample", "x.npz"], "no checkpoint given: use --ckpt x.npz"),
        (2, ["train", "text.txt"], "put --data before each text"),
        (1, ["sample", "--ckpt", "none.npz"], "none.npz: No such file or directory"),
        (1, ["sample", "--ckpt", "text.txt"], "text.txt: not a usable checkpoint"),
        (2, ["sample", "--ckpt", "x.npz", "--temperature", "0"], "--temperature must be"),
        (2, ["sample", "--ckpt", "x.npz", "--top-p", "1.5"], "--top-p must be"),
        (2, ["eval", "--ckpt", "x.npz", "--split", "vla"], "vla"),
        (2, ["frobnicate"], "frobnicate"),
        (2, ["train", "--data", ""], "--data: data.path must not be empty"),
        (2, ["sample", "--ckpt", "x.npz", "--seed", "99999999999999999999"], "--seed"),
        (2, ["sample", "--ckpt", "x.npz", "--n", "99999999999999999999"], "--n"),
        (1, ["train", "--data", "loop.txt"], "loop.txt: Too many levels of symbolic links"),
        (2, ["train", "--data", "text.txt", "--set", 'output.checkpoint="\\0.npz"'], "null"),
        (2, ["train", "--set", 'data.path="\\0"'], "data.path must not contain a null character"),
    ],
)
def test_bad_requests_get_one_clear_line(
    folder: Path, code: int, arguments: Sequence[str], expected: str
) -> None:
    (folder / "empty.txt").touch()
    (folder / "binary.txt").write_bytes(b"ab\xff\xfe\n")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "bad.yaml").write_text("data: {path: text.txt}\ntraining:\n  learning_rate: -1\n")
    before = sorted(path.name for path in folder.iterdir())
    assert expected in refused_here(code, *arguments, cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_help_and_version(folder: Path) -> None:
    assert ok("--version", cwd=folder) == f"charnn {charnn.__version__}\n"
    for command in ("train", "sample", "eval", "info", "config"):
        assert "charnn " in ok(command, "--help", cwd=folder)
        assert command in ok("--help", cwd=folder)


def test_help_imports_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys, charnn.commands.app; print({'numpy', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    result: Any = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


@pytest.mark.parametrize(
    ("code", "arguments", "expected"),
    [
        (2, ["inspect", "--ckpt", "one.npz", "--unit", "3"], "--unit takes LAYER:INDEX, as in 0:1"),
        (2, ["inspect", "--ckpt", "one.npz", "--unit", "1:0"], "layers 0 to 0, units 0 to 15"),
        (2, ["inspect", "--ckpt", "one.npz", "--view", "soul"], "--view"),
        (1, ["inspect", "--ckpt", "one.npz", "--data", "none.txt"], "none.txt: No such file"),
        (1, ["inspect", "--ckpt", "one.npz", "--data", "chinese.txt"], "by --unknown skip"),
        (2, ["plot", "-o", "a.png"], "RUN.jsonl"),
        (2, ["plot", "one.jsonl", "-o", "a.pdf"], "a name ending in .png or .svg, got a.pdf"),
        (2, ["plot", "one.jsonl", "-o", "no/a.png"], "no/a.png: the folder no does not exist"),
        (1, ["plot", "none.jsonl", "-o", "a.png"], "none.jsonl: No such file or directory"),
        (1, ["plot", "one.txt", "-o", "a.png"], "one.txt:1: not a line of a metrics log"),
        (1, ["plot", "empty.jsonl", "-o", "a.png"], "empty.jsonl: no metrics in it yet"),
        (2, ["report", "--ckpt", "one.npz", "-o", "one.npz"], "a name ending in .html"),
        (2, ["report", "--ckpt", "one.npz", "--data", "a.html", "-o", "a.html"], "but is read"),
        (1, ["report", "--ckpt", "none.npz", "-o", "a.html"], "none.npz: No such file"),
    ],
)
def test_bad_requests_to_inspect_plot_and_report_get_one_clear_line(
    inside: Path, code: int, arguments: list[str], expected: str
) -> None:
    (inside / "empty.jsonl").touch()
    assert expected in refused_here(code, *arguments, cwd=inside)


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("matplotlib", "plot", ["plot", "one.jsonl", "-o", "none.png"]),
        ("jinja2", "report", ["report", "--ckpt", "one.npz", "-o", "none.html"]),
        ("jinja2", "report", ["export", "--ckpt", "one.npz", "-o", "none.html"]),
        ("safetensors", "safetensors", ["export", "--ckpt", "one.npz", "-o", "m.safetensors"]),
        ("safetensors", "safetensors", ["import", "m.safetensors", "-o", "none.npz"]),
    ],
)
def test_a_missing_extra_is_named(
    inside: Path, package: str, extra: str, arguments: list[str]
) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; from charnn.commands.app import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=inside, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("charnn: error: ")
    assert result.stderr.endswith(f"is not installed: pip install 'charnn[{extra}]'\n")
    assert len(result.stderr.splitlines()) == 1
    assert not (inside / arguments[-1]).exists()


def test_help_is_a_command_too(tmp_path: Path) -> None:
    for words in ([], ["train"]):
        assert ok_here("help", *words, cwd=tmp_path) == ok_here(*words, "--help", cwd=tmp_path)


def test_a_folder_that_was_deleted_is_named_as_the_cause(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone} && {' '.join(CHARNN)} config"
    result = subprocess.run(
        command, shell=True, cwd=gone, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("charnn: error: the current folder does not exist any more")


def test_set_completes_keys() -> None:
    assert keys_beginning("model.h") == ["model.hidden_size="]
    assert "training.learning_rate=" in keys_beginning("training.")


@pytest.mark.parametrize(
    "words",
    [
        ["info", "--ckpt", ""],
        ["eval", "--ckpt", ""],
        ["train", "--config", ""],
        ["train", "--data", "text.txt", "--init", ""],
        ["plot", "", "--out", "a.svg"],
    ],
)
def test_an_empty_name_is_said_to_be_empty(words: list[str], tmp_path: Path) -> None:
    line = refused_here(2, *words, cwd=tmp_path)
    assert "the name of a file is empty" in line
    assert f"(see charnn {words[0]} --help)" in line


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["train", "--data"], "Option '--data' requires an argument."),
        (["train", "--seed", "x"], "Invalid value for '--seed': must be a valid integer"),
        (
            ["train", "--lr", "3"],
            "No such option: --lr; it is a key of the config: --set training.learning_rate=VALUE",
        ),
        (
            ["train", "--data", b"\xfe.txt".decode(errors="surrogateescape")],
            "must be text in UTF-8",
        ),
    ],
)
def test_what_the_parser_refuses_is_said_in_our_words(
    words: list[str], reason: str, tmp_path: Path
) -> None:
    assert reason in refused_here(2, *words, cwd=tmp_path)


@pytest.mark.parametrize("key", ["model.num_layers", "model.hidden_size", "training.batch_size"])
def test_a_size_beyond_all_memory_is_refused_at_once(key: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 100)
    huge = ["train", "--data", "text.txt", "--set", f"{key}=9e18"]
    if key == "training.batch_size":  # the run lowers it to what the text can fill
        huge += ["--max-steps", "1", "--set", "model.hidden_size=2"]
        assert ok_here(*huge, cwd=tmp_path) == ""
    else:
        assert "GB are available; lower" in refused_here(1, *huge, cwd=tmp_path)
