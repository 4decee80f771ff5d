"""The Python examples of the README and docs/python.md, and uses of the public names."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charnn
from charnn.training.events import Event, Measured
from tests.helpers.places import ROOT
from tests.helpers.texts import english

PAGES = ("README.md", "docs/python.md")


def test_every_public_name_is_there_and_documented() -> None:
    for name in charnn.__all__:
        thing = getattr(charnn, name)
        assert name == "__version__" or thing.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = charnn.nothing


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, charnn; print({'numpy', 'pydantic', 'rich', 'typer'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


def test_train_sample_and_evaluate_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(
        "model: {hidden_size: 16}\ntraining: {max_steps: 30, eval_every: 10, seed: 1}\n"
        "output: {checkpoint: shakespeare.npz}\n"
    )
    config = charnn.load_config(Path("small.yaml"))
    corpus = charnn.Corpus.from_text(english(8000) + "To be, or not to b", val_fraction=0.1)
    events: list[Event] = []
    checkpoint = charnn.train(config, corpus, events.append)
    losses = [event.metrics.val_loss for event in events if isinstance(event, Measured)]
    assert len(losses) == 3
    exact = charnn.evaluate(checkpoint.model, corpus.split("val"))
    assert exact.nats_per_char == losses[-1]
    with pytest.raises(charnn.CharnnError, match=r"shakespeare\.npz exists"):
        charnn.train(config, corpus)
    charnn.train(config, corpus, overwrite=True)
    loaded = charnn.load("shakespeare.npz")
    np.testing.assert_array_equal(loaded.model.parameters.flat, checkpoint.model.parameters.flat)
    more = charnn.train(config, corpus, init=loaded, overwrite=True)
    assert (more.progress.val_loss or 9) < losses[-1]
    text = "".join(charnn.sample(loaded.model, loaded.vocabulary, 20, seed=1))
    assert len(text) == 20
    # The examples of the pages run on these files.
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert len(examples) == {"README.md": 1, "docs/python.md": 2}[page]
        for example in examples:
            exec(compile(example, page, "exec"), {})


def test_the_obvious_first_call_trains_and_validates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = english(6000)
    config = charnn.Config(
        training=charnn.TrainingConfig(max_steps=20), model=charnn.ModelConfig(hidden_size=8)
    )
    checkpoint = charnn.train(config, charnn.Corpus.from_text(text))
    assert checkpoint.config.data.val_fraction == 0.1
    assert checkpoint.progress.best_val_loss is not None
    assert len("".join(charnn.sample(checkpoint.model, checkpoint.vocabulary, 9))) == 9


def test_the_split_has_one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = charnn.Config(
        training=charnn.TrainingConfig(max_steps=2), model=charnn.ModelConfig(hidden_size=8)
    )
    corpus = charnn.Corpus.from_text(english(6000), val_fraction=0.2, test_fraction=0.1)
    data = charnn.train(config, corpus).config.data
    assert (data.val_fraction, data.test_fraction) == (0.2, 0.1)
    config = charnn.Config(data=charnn.DataConfig(val_fraction=0.3))
    with pytest.raises(charnn.CharnnError, match=r"val_fraction is 0\.3, but .* divided by 0\.2"):
        charnn.train(config, corpus, overwrite=True)
    without = charnn.Config(
        data=charnn.DataConfig(val_fraction=0.0), training=charnn.TrainingConfig(max_steps=2)
    )
    corpus = charnn.Corpus.from_text(english(6000))
    assert charnn.train(without, corpus, overwrite=True).progress.best_val_loss is None


def test_an_interrupt_saves_the_run_and_is_raised_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = charnn.Config(
        training=charnn.TrainingConfig(max_steps=500, seed=1),
        model=charnn.ModelConfig(hidden_size=8),
    )
    corpus = charnn.Corpus.from_text(english(6000))

    def stop(event: charnn.Event) -> None:
        if isinstance(event, charnn.Stepped) and event.step == 7:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        charnn.train(config, corpus, stop)
    saved = charnn.load("run.npz")
    assert saved.progress.step == 7
    *_, ended = charnn.Trainer(saved.config, corpus, resume=saved).run()
    assert ended == charnn.Ended("finished")
    whole = charnn.load("run.npz").model.parameters.flat
    again = charnn.train(config, corpus, overwrite=True)
    np.testing.assert_array_equal(whole, again.model.parameters.flat)


def test_an_empty_log_is_no_run_from_python_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.jsonl").touch()
    config = charnn.Config(
        training=charnn.TrainingConfig(max_steps=1), model=charnn.ModelConfig(hidden_size=8)
    )
    corpus = charnn.Corpus.from_text(english(6000))
    charnn.train(config, corpus)
    with pytest.raises(charnn.CharnnError, match=r"run\.npz exists; .* overwrite=True"):
        charnn.train(config, corpus)
