"""Small training runs: configs, corpora, and comparison of the files they write."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from charnn.checkpoint.checkpoint import load
from charnn.config.keys import Config
from charnn.config.loading import Override, load_config
from charnn.network.spec import Spec
from charnn.text.corpus import Corpus
from charnn.training.events import Ended, Reason
from charnn.training.metrics import Metrics
from charnn.training.shares import StepSpec
from charnn.training.trainer import Trainer
from tests.helpers.texts import english

TEXT = english(3000)


# 2700 characters of training text make 4 streams of 674 characters. An epoch has 34 windows of 20
# characters; the last window is shorter.
SMALL: dict[str, Any] = {
    "model.hidden_size": 12,
    "model.num_layers": 2,
    "model.dropout": 0.2,
    "training.batch_size": 4,
    "training.seq_length": 20,
    "training.max_steps": 60,
    "training.learning_rate": 0.01,
    "training.warmup_steps": 5,
    "training.clip_norm": 0.5,
    "training.weight_decay": 0.01,
    "training.ema_decay": 0.9,
    "training.eval_every": 7,
    "training.save_every": 9,
    "training.log_every": 4,
    "training.seed": 3,
}


def make_config(folder: Path, **changes: Any) -> Config:
    """Return SMALL with `section__key=value` changes and with run.npz in a folder as its output."""
    values = SMALL | {"output.checkpoint": str(folder / "run.npz")}
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(None, {key: Override(value, "test") for key, value in values.items()})


def make_corpus(config: Config, text: str = TEXT) -> Corpus:
    """Return the corpus of a text, split as the config requires."""
    return Corpus.from_text(text, val_fraction=config.data.val_fraction)


def finish(trainer: Trainer, **limits: Any) -> Reason:
    """Run to the end or to a limit; return why the run ended."""
    *_, last = trainer.run(**limits)
    assert isinstance(last, Ended)
    return last.reason


def train(folder: Path, **changes: Any) -> Trainer:
    """Run a whole training in a folder."""
    folder.mkdir(exist_ok=True)
    config = make_config(folder, **changes)
    trainer = Trainer(config, make_corpus(config))
    finish(trainer)
    return trainer


def resume(config: Config, text: str = TEXT) -> Trainer:
    """Return a trainer that resumes from the checkpoint of a config."""
    checkpoint = load(config.output.checkpoint)
    return Trainer(config, make_corpus(config, text), resume=checkpoint)


def arrays(path: Path) -> dict[str, Any]:
    """Return the members of a checkpoint, without its checksum and the paths of its outputs."""
    with np.load(path, allow_pickle=False) as file:
        members = {name: file[name] for name in file.files if name != "checksum"}
    config = json.loads(str(members["config"]))
    del config["output"]
    return members | {"config": np.array(str(config))}


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log without seconds and characters per second."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["chars_per_second"]
    return lines


def assert_same_run(one: Path, other: Path) -> None:
    """Check that the runs in two folders wrote the same numbers."""
    for name in ("run.npz", "run.best.npz"):
        first, second = arrays(one / name), arrays(other / name)
        assert first.keys() == second.keys()
        for member, array in first.items():
            np.testing.assert_array_equal(array, second[member], err_msg=f"{name}: {member}")
    assert log_lines(one / "run.jsonl") == log_lines(other / "run.jsonl")


# Neither two nor three workers can divide a batch of 17 streams evenly.
STEP = StepSpec(
    network=Spec(vocab_size=11, hidden_size=24, num_layers=2, dtype="float64"),
    seq_length=6,
    batch_size=17,
    dropout=0.25,
    seed=5,
    loop="fast",
    threads=1,
    workers=1,
)


def make_metrics(step: int) -> Metrics:
    """Return a line of a log whose numbers follow from its step."""
    return Metrics(
        step=step,
        epoch=step / 7,
        characters=step * 100,
        seconds=0.1 * step,
        train_loss=1 / (3 * step + 1),
        val_loss=None,
        learning_rate=2e-3,
        grad_norm=1e-9,
        clipped=0.5,
        chars_per_second=12345.678,
    )
