"""Character-level recurrent language models in pure NumPy.

Five lines from a checkpoint to its logits:

    import charnn
    checkpoint = charnn.load("run.npz")
    ids = checkpoint.vocabulary.encode("To be, or not to be")
    state = checkpoint.model.zero_state()
    o = checkpoint.model.logits(ids[:, None], state)  # (19, 1, K); state is now h(19)

The names below are imported when first used, so that `import charnn` stays instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from charnn.adaptation import adapt
    from charnn.checkpoint.checkpoint import Checkpoint, load
    from charnn.config.keys import Config, DataConfig, ModelConfig, OutputConfig, TrainingConfig
    from charnn.config.loading import load_config
    from charnn.errors import CharnnError
    from charnn.evaluation import Evaluation, evaluate
    from charnn.network.network import RNN
    from charnn.text.corpus import Corpus
    from charnn.text.reading import read_blocks, read_text
    from charnn.text.vocabulary import Vocabulary
    from charnn.training.events import (
        Ended,
        Evaluating,
        Event,
        Measured,
        RolledBack,
        Saved,
        Stepped,
    )
    from charnn.training.from_python import train
    from charnn.training.trainer import Trainer
    from charnn.writing import sample

_HOMES = {
    "CharnnError": "errors",
    "Checkpoint": "checkpoint.checkpoint",
    "Config": "config.keys",
    "Corpus": "text.corpus",
    "DataConfig": "config.keys",
    "Evaluation": "evaluation",
    "ModelConfig": "config.keys",
    "OutputConfig": "config.keys",
    "RNN": "network.network",
    "Trainer": "training.trainer",
    "TrainingConfig": "config.keys",
    "Vocabulary": "text.vocabulary",
    "adapt": "adaptation",
    "evaluate": "evaluation",
    "load": "checkpoint.checkpoint",
    "load_config": "config.loading",
    "read_blocks": "text.reading",
    "read_text": "text.reading",
    "sample": "writing",
    "train": "training.from_python",
    **dict.fromkeys(
        ("Ended", "Evaluating", "Event", "Measured", "RolledBack", "Saved", "Stepped"),
        "training.events",
    ),
}

__all__ = [
    "RNN",
    "CharnnError",
    "Checkpoint",
    "Config",
    "Corpus",
    "DataConfig",
    "Ended",
    "Evaluating",
    "Evaluation",
    "Event",
    "Measured",
    "ModelConfig",
    "OutputConfig",
    "RolledBack",
    "Saved",
    "Stepped",
    "Trainer",
    "TrainingConfig",
    "Vocabulary",
    "__version__",
    "adapt",
    "evaluate",
    "load",
    "load_config",
    "read_blocks",
    "read_text",
    "sample",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"charnn.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'charnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
