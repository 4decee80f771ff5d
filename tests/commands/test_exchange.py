"""`charnn export` and `charnn import`: a model moves to PyTorch and back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.helpers.commands import ok, refused, run


@pytest.fixture(scope="module")
def model(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with run.npz, and with model.npz, which was exported and imported."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("exchange") / "run")
    ok("export", "--ckpt", "run.npz", "-o", "model.safetensors", cwd=folder)
    result = run("import", "model.safetensors", "-o", "model.npz", cwd=folder)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "model.npz: 2 layers of 16 tanh units, 52 characters\n"
    return folder


def test_a_model_that_came_back_does_what_it_did(model: Path) -> None:
    draw = ["--n", "200", "--seed", "1"]
    before = ok("sample", "--ckpt", "run.npz", *draw, cwd=model)
    assert ok("sample", "--ckpt", "model.npz", *draw, cwd=model) == before
    read = ["--data", "text.txt", "--json"]
    figures = ok("eval", "--ckpt", "model.npz", *read, cwd=model)
    assert figures == ok("eval", "--ckpt", "run.npz", *read, cwd=model)
    ok("inspect", "--ckpt", "model.npz", "--data", "text.txt", "--n", "50", cwd=model)
    start = ["--init", "model.npz", "--data", "text.txt", "--out", "on.npz", "--overwrite"]
    ok("train", *start, "--max-steps", "2", "--quiet", cwd=model)


def test_it_says_that_it_came_without_its_text(model: Path) -> None:
    held = json.loads(ok("info", "--ckpt", "model.npz", "--json", cwd=model))
    assert held["corpus_sha256"] is None
    assert held["config"]["data"]["path"] == []
    for command in (["eval"], ["inspect"], ["sample", "--novelty"]):
        line = refused(2, command[0], "--ckpt", "model.npz", *command[1:], cwd=model)
        assert "this model was imported without its text; name a text with --" in line
    line = refused(1, "train", "--resume", "--out", "model.npz", cwd=model)
    assert "model.npz cannot be resumed; start from it with --init" in line


def test_export_and_import_refuse_before_any_work(model: Path) -> None:
    line = refused(2, "export", "--ckpt", "run.npz", "-o", "model.bin", cwd=model)
    assert "--out takes a name ending in .safetensors or .html, got model.bin" in line
    line = refused(2, "export", "--ckpt", "run.npz", "-o", "model.safetensors", cwd=model)
    assert "exists" in line
    line = refused(2, "import", "model.safetensors", "-o", "model.npz", cwd=model)
    assert "exists" in line
    line = refused(1, "import", "text.txt", "-o", "new.npz", cwd=model)
    assert "text.txt: not a safetensors file" in line
    assert not (model / "new.npz").exists()


def test_export_writes_a_page(trained: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "page.html")
    command = ["export", "--ckpt", "run.npz", "-o", out]
    assert ok(*command, cwd=trained) == ""
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>run.npz</h1>" in page
    assert '"dtype": "float16"' in page
    assert refused(2, *command, cwd=trained) == f"{out} exists; replace it by --overwrite"
    ok(*command, "--overwrite", "--dtype", "float32", cwd=trained)
    larger = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"dtype": "float32"' in larger
    assert len(larger) > len(page)


def test_export_refuses_a_page_that_cannot_be(trained: Path) -> None:
    line = refused(2, "export", "--ckpt", "run.npz", "-o", "a.safetensors", "--dtype", "float16",
                   cwd=trained)  # fmt: skip
    assert line == "--dtype is for a page: -o FILE.html"
    command = ["export", "--ckpt", "run.npz", "-o", "a.html"]
    assert "float64" in refused(2, *command, "--dtype", "float64", cwd=trained)
    line = refused(1, "export", "--ckpt", "text.txt", "-o", "a.html", cwd=trained)
    assert line.startswith("text.txt: ")
    assert not (trained / "a.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("v.txt", "c\ra", "\rac"),
        ("v.json", '["c", "\\n", "a"]', "\nac"),
        ("v.json", '"c\\na"', "\nac"),
        ("v.json", '{"c": 0, "a": 2, "\\n": 1}', "\nac"),
        ("v.json", '{"c": 0, "a": 2}', "the ids must be 0, 1, 2"),
        ("v.json", '["ab", "c", "d"]', "expected single characters"),
        ("v.json", "{", "not valid JSON"),
        ("v.json", "[" * 10_000, "not valid JSON"),
        ("v.txt", "ab", "the vocabulary has 2 characters, the model 3"),
        ("none.txt", None, "none.txt: No such file"),
    ],
)
def test_vocabularies_by_option(
    name: str, content: str | None, expected: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    shapes = {"rnn.weight_ih_l0": (4, 3), "rnn.weight_hh_l0": (4, 4), "fc.weight": (3, 4)}
    tensors = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    save_file(tensors, tmp_path / "m.safetensors")
    if content is not None:
        (tmp_path / name).write_text(content, newline="")
    command = ["import", "m.safetensors", "-o", "m.npz", "--vocabulary", name]
    if len(expected) > 3:
        assert expected in refused(2, *command, cwd=tmp_path)
        return
    ok(*command, cwd=tmp_path)
    held = json.loads(ok("info", "--ckpt", "m.npz", "--json", cwd=tmp_path))
    assert held["vocabulary"] == expected
