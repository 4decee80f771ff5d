"""A command line that the parser refuses gets the usual name of what was meant."""

from pathlib import Path

import pytest

from tests.helpers.in_process import ok_here, refused_here


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("generate", "use charnn sample"),
        ("resume run.npz", "use charnn train --resume"),
        ("mine.txt", "charnn train --data mine.txt"),
        ("run.npz", "charnn sample --ckpt run.npz"),
        ("sample --ckpt x.npz --length 5", "--length; use --n (see charnn sample --help)"),
        ("sample --ckpt x.npz --prompt a", "use --prime"),
        ("sample --ckpt x.npz -o a.txt", "write > FILE"),
        ("sample --ckpt x.npz -primetext a", "-primetext; use --prime"),
        ("eval --model x.npz", "use --ckpt"),
        ("plan --out mine.yaml", "write > FILE"),
        ("plan --n_layer 3", "--set model.num_layers=VALUE"),
        ("plot --ckpt run.npz", "charnn plot run.jsonl"),
        ("plot run.npz -o a.svg", "the log is run.jsonl"),
        ("plot run.best.npz -o a.svg", "the log is run.jsonl"),
        ("help generate", "use charnn sample"),
        ("gradcheck mine.py", "name your file with --mine"),
        ("train --gpu 0", "on the CPU only"),
        ("train --input text.txt", "use --data"),
        ("train -rnn_size 128", "-rnn_size; it is a key of the config: --set model.hidden_size"),
        ("train --model.cell=lstm", "--set model.cell=VALUE"),
        ("train --resume run.npz", "--resume takes no name"),
        ("train --resume --out gone.npz", "gone.npz does not exist yet: name the run to resume"),
        ("train --set model.cell lstm", "--set takes KEY=VALUE"),
        ("train --data text.txt --set model.type=lstm", "did you mean model.cell?"),
        ("eval --ckpt one", "did you mean one.npz?"),
    ],
)
def test_the_error_names_what_was_meant(folder: Path, words: str, expected: str) -> None:
    for name in ("run.npz", "run.best.npz"):
        (folder / name).write_bytes(b"PK\n")
    (folder / "one.npz").touch()
    code = 1 if words.startswith(("plot run", "eval --ckpt one")) else 2
    assert expected in refused_here(code, *words.split(), cwd=folder)


def test_other_errors_of_the_parser_stay(folder: Path) -> None:
    assert refused_here(2, "frobnicate", cwd=folder).endswith("(see charnn --help)")
    line = refused_here(2, "train", "--frobnicate", cwd=folder)
    assert "No such option: --frobnicate" in line
    assert "sample" in ok_here("--help", cwd=folder)
