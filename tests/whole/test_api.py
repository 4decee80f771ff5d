"""The Python examples of the README, and the public names used as in a notebook."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charnn
from charnn.training.events import Event, Measured
from tests.helpers.places import ROOT
from tests.helpers.texts import english

README = (ROOT / "README.md").read_text(encoding="utf-8")


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
    text = "".join(charnn.sample(loaded.model, loaded.vocabulary, 20, seed=1))
    assert len(text) == 20
    # The README's own examples run on these files.
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
