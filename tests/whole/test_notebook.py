"""The cells of docs/notebook.md show what the page says. Reprs of objects stay short."""

import inspect
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import pytest

import charnn
from charnn.checkpoint.progress import Progress
from charnn.config.section import Section
from charnn.network.network import Network
from charnn.showing import BOUNDARY
from tests.helpers.notebook import cells, run
from tests.helpers.places import ROOT

PAGE = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")


class Handle:
    """A stand-in for IPython's display handle. It counts the updates."""

    updates = 0

    def update(self, figure: Any) -> None:
        assert len(figure.axes[0].lines) == 2
        Handle.updates += 1


def test_every_cell_of_the_page_shows_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "tests" / "fixtures" / "village.txt", tmp_path)
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    stub: Any = ModuleType("IPython.display")  # the tests do not need IPython
    stub.display = lambda figure, display_id: Handle()
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    names: dict[str, Any] = {}
    found = [(cell.code, run(cell.code, names)) for cell in cells(PAGE)]
    assert found == cells(PAGE)
    assert len(found) > 10
    assert Handle.updates == 10


def large() -> dict[str, Any]:
    """Return objects with large contents."""
    characters = "".join(map(chr, range(0xE0000, 0xE1000))) + BOUNDARY
    vocabulary = charnn.Vocabulary(characters)
    network = Network(len(vocabulary), 3, 200, cell="lstm")
    paths = tuple(f"folder/{'long' * 50}/{number}.txt" for number in range(10_000))
    data = charnn.DataConfig(path=paths, separator="x" * 10_000, documents=f"text:{'y' * 10_000}")
    config = charnn.Config(data=data)
    progress = Progress(
        fingerprint="0" * 64, step=2**62, val_loss=1e9, best_val_loss=1.0, best_step=1
    )
    return {
        "vocabulary": vocabulary,
        "model": network,
        "parameters": network.parameters,
        "config": config,
        "checkpoint": charnn.Checkpoint(config, vocabulary, network, progress),
        "corpus": charnn.Corpus.from_text("ab\n" * 9000, documents="text:" + "\n" * 1000),
        "evaluation": charnn.Evaluation(1e300, 1, 10**12, 10**15),
    }


@pytest.mark.parametrize("name", large())
def test_a_repr_is_a_few_short_lines_whatever_the_object_holds(name: str) -> None:
    shown = repr(large()[name])
    assert "\n\n" not in shown
    assert len(shown.splitlines()) <= 4
    assert len(shown) < 1200
    assert shown.replace("\n", "").isprintable()
    assert "array" not in shown


def test_reprs_of_small_objects() -> None:
    vocabulary = charnn.Vocabulary("héllo\n \x1b")
    assert repr(vocabulary) == r"<Vocabulary: 7 characters, \n\x1b hloé>"
    network = charnn.RNN(7, 1000, 2)
    shown = "2 layers of 1,000 tanh units, 7 characters, 3,016,007 parameters, float32"
    assert repr(network) == f"<Network: {shown}>"
    documents = charnn.Corpus.from_text("ab\nba\n", documents="lines")
    assert repr(documents) == (
        "<Corpus: 7 characters, 3 different, with the ends of documents (lines)>"
    )
    progress = Progress(
        fingerprint="0" * 64, step=1200, val_loss=2.0, best_val_loss=1.5, best_step=9
    )
    checkpoint = charnn.Checkpoint(charnn.Config(), vocabulary, network, progress)
    assert repr(checkpoint).splitlines() == [
        "<Checkpoint: step 1,200, validation 2.0000 nats/char (2.885 bits), best 1.5000 at step 9, "
        "not resumable",
        f"  model: {shown}",
        r"  vocabulary: 7 characters, \n\x1b hloé>",
    ]


def test_an_evaluation_that_goes_on_says_how_far_it_is() -> None:
    assert repr(charnn.Evaluation(0.0, 0, 0, 9)) == "<Evaluation: 0 of 9 predictions>"
    assert str(charnn.Evaluation(3.0, 2, 4, 9)) == (
        "0.7500 nats/char (1.082 bits), perplexity 2.117, 50.0% correct, 4 of 9 predictions"
    )


@pytest.mark.parametrize(
    "config",
    [
        charnn.Config(),
        charnn.Config(
            model=charnn.ModelConfig(hidden_size=3),
            training=charnn.TrainingConfig(seq_length="full", clip_norm=None),
        ),
        charnn.Config(data=charnn.DataConfig(path=("a.txt", "b.txt"), separator="\n")),
    ],
)
def test_the_repr_of_a_config_makes_it_again(config: charnn.Config) -> None:
    names = {name: getattr(charnn, name) for name in charnn.__all__}
    assert eval(repr(config), names) == config
    assert str(config) == repr(config)


@pytest.mark.parametrize(
    "name", ["Config", "DataConfig", "ModelConfig", "TrainingConfig", "OutputConfig"]
)
def test_help_and_completion_have_every_key(name: str) -> None:
    section: type[Section] = getattr(charnn, name)
    signature = inspect.signature(section)
    assert list(signature.parameters) == list(section.model_fields)
    assert "Annotated" not in str(signature)
    described = (section.__doc__ or "").split("Attributes:\n")[1].splitlines()
    assert [line.split(":")[0].strip() for line in described] == list(section.model_fields)
    assert all(len(line.split(": ", 1)[1]) > 5 for line in described)
