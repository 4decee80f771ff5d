"""`charnn sample` prints the text on stdout and everything else on stderr."""

import math
from pathlib import Path

import numpy as np

import charnn
from charnn.writing import preview
from tests.helpers.commands import ok, refused, run

PARAMETERS = ["U0", "W0", "b0", "U1", "W1", "b1", "V", "c"]


def test_sample_prints_exactly_n_characters_and_one_seed_gives_one_text(trained: Path) -> None:
    one = run("sample", "--ckpt", "run.npz", "--n", "500", "--seed", "7", cwd=trained)
    assert (len(one.stdout), one.stderr) == (500, "")
    assert ok("sample", "--ckpt", "run.npz", "--n", "500", "--seed", "7", cwd=trained) == one.stdout
    assert ok("sample", "--ckpt", "run.npz", "--n", "500", "--seed", "8", cwd=trained) != one.stdout


def test_a_seed_nobody_gave_goes_to_stderr_and_repeats_the_text(trained: Path) -> None:
    first = run("sample", "--ckpt", "run.npz", "--n", "80", cwd=trained)
    name, seed = first.stderr.split()
    assert name == "seed"
    again = ok("sample", "--ckpt", "run.npz", "--n", "80", "--seed", seed, cwd=trained)
    assert again == first.stdout


def test_the_prime_may_be_left_out_and_unknown_characters_of_it(trained: Path) -> None:
    command = ["sample", "--ckpt", "run.npz", "--n", "30", "--seed", "1"]
    printed = ok(*command, "--prime", "The king", cwd=trained)
    assert ok(*command, "--prime", "The king", "--no-prime", cwd=trained) == printed[8:]
    line = refused(1, *command, "--prime", "The ☃king", cwd=trained)
    assert line.endswith("leave them out by --unknown skip")
    found = ok(*command, "--prime", "The ☃king", "--unknown", "skip", cwd=trained)
    assert found == printed


def test_the_prime_is_printed_first_and_not_counted(trained: Path) -> None:
    printed = ok("sample", "--ckpt", "run.npz", "--n", "9", "--prime", "The king", cwd=trained)
    assert printed.startswith("The king")
    assert len(printed) == len("The king") + 9
    arguments = ["sample", "--ckpt", "run.npz", "--n", "9", "--prime-file", "-"]
    assert ok(*arguments, cwd=trained, text="river").startswith("river")


def test_many_samples_are_separated_and_follow_the_softmax(trained: Path) -> None:
    """Compare 4,000 first characters with ŷ, computed here from the file, by chi-square."""
    command = ["sample", "--ckpt", "run.npz", "--n", "1", "--samples", "4000", "--seed", "5"]
    texts = ok(*command, "--prime", "The ", cwd=trained).split("\n---\n")
    assert len(texts) == 4000
    with np.load(trained / "run.npz") as file:
        p = {name: file[name] for name in PARAMETERS}
        points = file["vocabulary"].tolist()
    h = [np.zeros(16), np.zeros(16)]
    for character in "The ":
        x = np.eye(len(points))[points.index(ord(character))]
        for layer in (0, 1):
            h[layer] = np.tanh(p[f"U{layer}"] @ x + p[f"W{layer}"] @ h[layer] + p[f"b{layer}"])
            x = h[layer]
    y = np.exp(p["V"] @ x + p["c"])
    expected = 4000 * y / y.sum()
    drawn = np.bincount([points.index(ord(text[4])) for text in texts], minlength=len(points))
    common = expected >= 5
    assert common.sum() > 20
    observed = np.append(drawn[common], drawn[~common].sum())
    expected = np.append(expected[common], expected[~common].sum() + 1e-9)
    chi_square = ((observed - expected) ** 2 / expected).sum()
    freedom = len(observed) - 1
    # This is five standard deviations above the mean of the chi-square distribution.
    assert chi_square < freedom + 5 * math.sqrt(2 * freedom)


def test_a_model_that_overflows_is_said_to(folder: Path) -> None:
    relu = ["--set", "model.activation=relu", "--set", "model.hidden_size=4"]
    out = ["--data", "text.txt", "--out", "relu.npz"]
    ok("train", *out, *relu, "--stop-after", "0", "--set", "training.eval_every=50", cwd=folder)
    checkpoint = charnn.load(folder / "relu.npz")
    checkpoint.model.parameters["W0"][...] = 2 * np.eye(4)
    checkpoint.model.parameters["b0"][...] = 1
    checkpoint.save(folder / "relu.npz")
    for options in ([], ["--top-k", "3"], ["--greedy"], ["--samples", "3"]):
        result = run(
            "sample", "--ckpt", "relu.npz", "--n", "300", "--seed", "1", *options, cwd=folder
        )
        assert result.returncode == 1
        line = "charnn: error: the next character cannot be drawn: the model overflows\n"
        assert result.stderr == line
    assert preview(checkpoint.model, checkpoint.vocabulary, seed=1)


def test_sample_adapts_to_a_text_to_begin_with(trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("queen of the queen and " * 100)
    draw = ["sample", "--ckpt", "run.npz", "--n", "400", "--seed", "1", "--prime-file", str(page)]
    before = (trained / "run.npz").read_bytes()
    plain = ok(*draw, "--no-prime", cwd=trained)
    adapted = ok(*draw, "--no-prime", "--adapt", "--adapt-rate", "0.01", cwd=trained)
    assert adapted.count("queen") > 5 + plain.count("queen")
    whole = ok(*draw, "--adapt", "--adapt-rate", "0.01", cwd=trained)
    assert whole == page.read_text() + adapted
    assert (trained / "run.npz").read_bytes() == before


def test_adapt_needs_something_to_learn_from(trained: Path) -> None:
    line = refused(2, "sample", "--ckpt", "run.npz", "--adapt", cwd=trained)
    assert "--adapt needs a text to learn from; give it with --prime-file" in line
    line = refused(2, "sample", "--ckpt", "run.npz", "--adapt-rate", "1", cwd=trained)
    assert "--adapt-rate is for --adapt" in line
    assert ok("sample", "--ckpt", "run.npz", "--n", "5", "--adapt", "--prime", "t", cwd=trained)
    piped = ["sample", "--ckpt", "run.npz", "--n", "5", "--adapt", "--prime-file", "-"]
    assert len(ok(*piped, cwd=trained, text="")) == 5
