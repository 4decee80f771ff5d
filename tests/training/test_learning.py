"""Training also learns at a high rate, on a text that is not prose."""

from pathlib import Path

import numpy as np

from charnn.config.keys import Config
from charnn.config.loading import Override, load_config
from charnn.text.corpus import Corpus
from charnn.training.events import Stepped
from charnn.training.trainer import Trainer

HEADERS = sorted(Path(np.get_include(), "numpy").glob("*.h"))
SETTINGS = {
    "model.hidden_size": 64,
    "model.num_layers": 3,
    "training.batch_size": 16,
    "training.seq_length": 32,
    "training.learning_rate": 0.02,
    "training.warmup_steps": 50,
    "training.clip_norm": 1.0,
    "training.max_steps": 120,
    "training.seed": 1,
    "training.threads": 1,
}


def prepared(folder: Path) -> Trainer:
    """Return a trainer for three layers on C code, with a high learning rate."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in HEADERS)[100_000:130_000]
    values = SETTINGS | {"output.checkpoint": str(folder / "run.npz")}
    config: Config = load_config(None, {k: Override(v, "test") for k, v in values.items()})
    return Trainer(config, Corpus.from_text(code, val_fraction=0.1))


def last_loss(trainer: Trainer) -> float:
    """Train; return the mean loss of the last 20 steps."""
    losses = [event.loss for event in trainer.run() if isinstance(event, Stepped)]
    return float(np.mean(losses[-20:]))


def test_three_layers_learn_c_code(tmp_path: Path) -> None:
    assert last_loss(prepared(tmp_path)) < 2.3


def test_the_same_run_fails_if_u_starts_small(tmp_path: Path) -> None:
    trainer = prepared(tmp_path)
    for name, U in trainer.model.parameters.items():
        if name[0] == "U":
            U /= np.sqrt(3 * (trainer.model.vocab_size if name == "U0" else 1))
    assert last_loss(trainer) > 3
