"""Chooses values for keys that were not given, by the text.

The rule depends on the length of the text and the allowed work of a run. It does not depend on the
machine or the time, so the same text gives the same values everywhere. docs/choosing.md shows the
measurements behind it; `python -m benchmarks.choosing` repeats them.

Work is the number of floating-point operations in the products with W and with the U above (see
`operations`). Two cores of a laptop do about 10¹¹ of them in a second.
"""

import math
from typing import Any, NamedTuple

from charnn.config.keys import Config, ModelConfig
from charnn.network.cells import cell_class
from charnn.text.streams import fitting_batch_size

# The possible sizes of vanilla and of gated networks.
_VANILLA = ((128, 2), (192, 2), (192, 3), (256, 3), (384, 3), (512, 3))
_GATED = ((128, 2), (192, 2), (256, 2), (320, 2), (512, 2))
_SHORT = 300_000  # characters; a run exhausts a shorter text soon
_FEWEST_STEPS, _MOST_STEPS = 100, 8000  # in a run without a given time
# Epochs, and the dropout and weight decay against overfitting from there on.
_REGULARISED = ((30, 0.2, 0.5), (12, 0.1, 0.5), (8, 0.1, 0.1), (0, 0.0, 0.1))


class Choice(NamedTuple):
    """The value of one key, and its reason.

    Attributes:
        key: section.name.
        value: as in the config.
        reason: a clause; keys with the same reason were chosen together.
    """

    key: str
    value: Any
    reason: str


def operations(cell: str, hidden_size: int, num_layers: int) -> int:
    """Return the operations for each character trained on, 6·G·(2L − 1)·H²."""
    return 6 * cell_class(cell).gates * (2 * num_layers - 1) * hidden_size**2


def usual_steps(characters: int) -> int:
    """Return the number of steps of 32 × 64 characters for a text if no time is given."""
    steps = 660 * (characters / 54_000) ** 0.68
    return _rounded(min(max(steps, _FEWEST_STEPS), _MOST_STEPS))


def usual_work(characters: int) -> float:
    """Return the operations of a run if no time is given."""
    size = (192, 3) if characters < _SHORT else (256, 3)
    return usual_steps(characters) * 32 * 64 * operations("rnn", *size)


def most_work(characters: int) -> float:
    """Return the operations above which more do not improve the model of a text."""
    return usual_work(characters) * (2 if characters < _SHORT else 10)


def size_for(cell: str, characters: int, work: float) -> tuple[int, int]:
    """Return the best (hidden_size, num_layers) for a number of operations.

    The best number of weights grows with the square root of the work, as for other networks
    (Hoffmann et al. 2022). A short text needs more weights, because it is read often.
    """
    best = 1.1e6 * math.sqrt(work / 6e12)
    if characters < _SHORT and work > 0.5 * usual_work(characters):
        best = max(best, 1.1e6)
    sizes = _VANILLA if cell_class(cell).gates == 1 else _GATED
    return min(sizes, key=lambda size: abs(math.log(operations(cell, *size) / best)))


def choose(
    config: Config, characters: int, work: float | None = None, steps: int | None = None
) -> list[Choice]:
    """Choose a value for each key that depends on the text and was not given.

    Given keys stay, and the others depend on them: the learning rate on the sizes, the dropout on
    the number of epochs. With another optimizer than Adam, its keys keep their defaults;
    with `loop: textbook`, all keys do.

    Args:
        config: of the run.
        characters: N, in the training text, with the ends of documents.
        work: operations of the whole run; None for `usual_work`.
        steps: of the run; None for as many as the work allows.
    """
    if config.training.loop == "textbook":
        return []
    given = {key for key, _ in config.given()}
    work = usual_work(characters) if work is None else work
    found: list[Choice] = []

    def take(reason: str, **values: Any) -> None:
        nonlocal config
        for name, value in values.items():
            key = f"{'model' if name in ModelConfig.model_fields else 'training'}.{name}"
            if key not in given:
                found.append(Choice(key, value, reason))
                config = config.with_values({key: value})

    H, L = size_for(config.model.cell, characters, work)
    take(f"for {characters:,} characters to learn from", hidden_size=H, num_layers=L)
    batch = fitting_batch_size(characters, 32, 64)
    take("fast on most processors", batch_size=batch, seq_length=64)
    reason = "more would gain little" if steps is None else "as many as the time allows"
    steps = _steps(config, characters) if steps is None else steps
    if not given & {"training.max_steps", "training.epochs"}:
        take(reason, max_steps=steps)
    epochs = steps * predicted(config, characters) / characters
    dropout, decay = next(rest for least, *rest in _REGULARISED if epochs >= least)
    take(f"the text is read {epochs:,.1f} times", dropout=dropout)
    if config.training.optimizer == "adam":
        take(
            f"for {config.model.hidden_size} units and {steps:,} steps",
            learning_rate=max(_learning_rate(config.model), config.training.min_learning_rate),
            warmup_steps=min(400, steps // 20),
        )
        take(f"the text is read {epochs:,.1f} times", weight_decay=decay)
        take("good on every text tried", clip_norm=1.0, ema_decay=0.99)
    return found


def predicted(config: Config, characters: int) -> int:
    """Return the number of characters that a step predicts."""
    training = config.training
    if training.seq_length == "full":
        return characters
    return min(characters, training.batch_size * training.seq_length)


def _steps(config: Config, characters: int) -> int:
    """Return the steps of a run without a given time."""
    training, each = config.training, predicted(config, characters)
    if training.max_steps is not None:
        return training.max_steps
    if "epochs" in training.model_fields_set:
        return max(1, round(training.epochs * characters / each))
    return max(1, _rounded(usual_steps(characters) * 32 * 64 / each))


def _learning_rate(model: ModelConfig) -> float:
    """Return the learning rate for a network. A wider network has a lower rate."""
    highest = 0.77 if model.cell == "rnn" else 1.28
    return float(f"{min(1e-2, highest / model.hidden_size):.1g}")


def _rounded(number: float) -> int:
    """Return a number rounded to two significant digits."""
    return int(float(f"{number:.2g}"))
