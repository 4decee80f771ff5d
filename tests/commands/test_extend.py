"""`charnn train --init --extend`: training goes on with a text of other characters."""

from pathlib import Path

import numpy as np
import pytest

import charnn
from charnn.showing import BOUNDARY
from tests.helpers.in_process import refused_here, run_here
from tests.helpers.texts import english

PLAYS = english(20_000)
OTHER = english(9_000, seed=1).replace("k", "κ").replace("?", "¿") + "é\n"
SHORT = ["--max-steps", "3", "--seed", "1", "--threads", "1"]


@pytest.fixture
def model(trained: Path, folder: Path) -> list[str]:
    """Arguments that train a model of plays further, on a text with other characters."""
    (folder / "other.txt").write_text(OTHER)
    init = ["--init", str(trained / "run.npz")]
    return ["train", *init, "--data", "other.txt", "--out", "new.npz", *SHORT]


def test_without_the_option_the_error_names_it(model: list[str], folder: Path) -> None:
    line = refused_here(1, *model, cwd=folder)
    assert "characters are not in the vocabulary (3 different): 'κ' (U+03BA) at line" in line
    assert line.endswith("; take them out of the text, or let the model learn them by --extend")
    assert not (folder / "new.npz").exists()


def test_with_it_the_model_learns_them(model: list[str], trained: Path, folder: Path) -> None:
    result = run_here(*model, "--extend", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[0] == (
        "warning: the model loses 2 characters that the text lacks: '?' (U+003F), 'k' (U+006B); "
        "3 characters are new to it: '¿' (U+00BF), 'é' (U+00E9), 'κ' (U+03BA)"
    )
    new, old = charnn.load(folder / "new.npz"), charnn.load(trained / "run.npz")
    assert set(new.vocabulary.characters) == set(OTHER)
    assert new.config.model.hidden_size == old.config.model.hidden_size
    assert run_here("sample", "--ckpt", "new.npz", "--n", "9", cwd=folder).returncode == 0
    assert run_here("eval", "--ckpt", "new.npz", cwd=folder).returncode == 0


def test_on_a_text_of_the_same_characters_it_does_nothing(model: list[str], folder: Path) -> None:
    (folder / "other.txt").write_text(PLAYS)
    parameters = []
    for more in ([], ["--extend", "--overwrite"]):
        result = run_here(*model, *more, cwd=folder)
        assert result.returncode == 0, result.stderr
        assert "warning" not in result.stderr
        parameters.append(charnn.load(folder / "new.npz").model.parameters.flat)
    np.testing.assert_array_equal(parameters[0], parameters[1])


def test_it_needs_a_model_to_go_on_with(folder: Path) -> None:
    line = refused_here(2, "train", "--extend", "--data", "text.txt", cwd=folder)
    assert line == "--extend needs --init, the model to start from"


def test_it_plays_no_part_when_a_run_is_resumed(model: list[str], folder: Path) -> None:
    more = ["--extend", "--resume"]
    begun = run_here(*model, *more, "--stop-after", "1", cwd=folder)
    assert "new.npz does not exist yet: starting a new run" in begun.stderr
    assert "new to it" in begun.stderr
    result = run_here(*model, *more, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "new to it" not in result.stderr
    assert charnn.load(folder / "new.npz").progress.step == 3


def test_plays_go_on_as_documents_and_back(model: list[str], folder: Path) -> None:
    documents = ["--set", "data.documents=blank-lines"]
    (folder / "other.txt").write_text(PLAYS)
    line = refused_here(1, *model, *documents, cwd=folder)
    assert "(1 different): ⟨end⟩ between documents; take them out" in line
    result = run_here(*model, *documents, "--extend", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "warning: 1 character is new to the model: ⟨end⟩\n" in result.stderr
    assert BOUNDARY in charnn.load(folder / "new.npz").vocabulary

    back = ["train", "--init", "new.npz", "--data", "text.txt", "--out", "back.npz", *SHORT]
    line = refused_here(1, *back, cwd=folder)
    assert "text.txt: the model knows ⟨end⟩" in line
    assert "--extend" in line
    result = run_here(*back, "--extend", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert BOUNDARY not in charnn.load(folder / "back.npz").vocabulary
