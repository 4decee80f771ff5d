"""Values for the keys that nobody gave, chosen for the text.

One rule, from the length of the text and the work that a run may take. It does not depend on the
machine or the time, so the same text gives the same values everywhere. docs/choosing.md shows the
measurements behind it; `python -m benchmarks.choosing` repeats them.

Work is counted in floating-point operations of the products with W and with the U above (see
`operations`). Two cores of a laptop do some 10¹¹ of them in a second.
"""

import math
from typing import Any, NamedTuple

from charnn.config.keys import Config, ModelConfig
from charnn.network.cells import cell_class
from charnn.text.streams import fitting_batch_size

# The possible sizes of vanilla and of gated networks.
_VANILLA = ((128, 2), (192, 2), (192, 3), (256, 3), (384, 3), (512, 3))
_USUAL = (256, 3)  # if no time is given
_GATED = ((128, 2), (192, 2), (256, 2), (320, 2), (512, 2))
_GATES_PAY = 2e12  # operations from which a GRU reaches a lower loss than the vanilla cell
_GATES_NEVER_PAY = 9_000  # characters; on fewer, a GRU reaches no lower loss
_SHORT = 300_000  # characters; a run exhausts a shorter text soon
_FEWEST_STEPS, _MOST_STEPS, _MOST_EPOCHS = 100, 8000, 60  # of a plan without a given time
# Epochs, and from there on the dropout and the weight decay against overfitting.
_REGULARISED = ((45, 0.2, 0.6), (14, 0.0, 0.6), (0, 0.0, 0.1))
_REGULARISED_GATED = ((12, 0.3, 0.1), (6, 0.2, 0.1), (0, 0.0, 0.1))
_REGULARISED_SMALL = ((12, 0.3, 0.1), (0, 0.0, 0.1))  # gated, with few weights
_FEW_WEIGHTS = 0.3  # for each character of the text; so few do not memorise it soon
_SHORT_REGULARISED_GATED = 0.2, 0.6  # for any number of epochs


class Choice(NamedTuple):
    """The value of one key, and why.

    Attributes:
        key: section.name.
        value: as in the config.
        reason: a clause; keys with the same one were chosen together.
    """

    key: str
    value: Any
    reason: str


def operations(cell: str, hidden_size: int, num_layers: int) -> int:
    """Return the operations for each character trained on, 6·G·(2L − 1)·H²."""
    return 6 * cell_class(cell).gates * (2 * num_layers - 1) * hidden_size**2


def usual_steps(characters: int) -> int:
    """Return the number of steps of 32 × 64 characters for a text if no time is given."""
    most = min(_MOST_STEPS, _MOST_EPOCHS * characters / (32 * 64))
    return max(1, _rounded(min(max(_FEWEST_STEPS, _unlimited_steps(characters)), most)))


def _unlimited_steps(characters: int) -> float:
    """Return the steps for a text of any length."""
    return float(500 * (characters / 54_000) ** 0.77)


def usual_work(characters: int) -> float:
    """Return the operations of a plan if no time is given."""
    return usual_steps(characters) * 32 * 64 * operations("rnn", *_USUAL)


def most_work(cell: str, characters: int) -> float:
    """Return the operations after which more make the model of a text no better."""
    if characters < _SHORT:
        return usual_work(characters) * (2 if cell_class(cell).gates == 1 else 1)
    return 10 * _unlimited_steps(characters) * 32 * 64 * operations("rnn", *_USUAL)


def network_for(cell: str | None, characters: int, work: float) -> tuple[str, int, int]:
    """Return the best (cell, hidden_size, num_layers) for a number of operations.

    Args:
        cell: the cell, if it was given.
        characters: N, in the training text.
        work: operations of the whole plan.
    """
    if cell is None:
        pay = work >= min(_GATES_PAY, usual_work(characters)) and characters > _GATES_NEVER_PAY
        cell = "gru" if pay else "rnn"
    return cell, *size_for(cell, characters, work)


def size_for(cell: str, characters: int, work: float) -> tuple[int, int]:
    """Return the best (hidden_size, num_layers) for a number of operations.

    The best number of weights grows with the square root of the work, as for other networks
    (Hoffmann et al. 2022). A short text needs more weights than that, because it is read often.
    """
    best = 1.1e6 * math.sqrt(work / 6e12)
    if work > 0.5 * usual_work(characters):
        best = max(best, operations("rnn", *_USUAL))
    sizes = _VANILLA if cell_class(cell).gates == 1 else _GATED
    return min(sizes, key=lambda size: abs(math.log(operations(cell, *size) / best)))


def choose(
    config: Config, characters: int, work: float | None = None, steps: int | None = None
) -> list[Choice]:
    """Choose a value for each key that follows the text and was not given.

    Keys that were given stay, and the others follow them: the learning rate follows the sizes, the
    dropout the number of epochs. With another optimizer than Adam, its keys keep their defaults.

    Args:
        config: of the run.
        characters: N, in the training text, with the ends of documents.
        work: operations of the whole plan; None for `usual_work`.
        steps: of the plan; None for as many as the work allows.
    """
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
    if steps is None or given & {"training.max_steps", "training.epochs"}:
        steps, limited = _steps(config, characters), False
    else:
        limited = work < most_work(config.model.cell, characters)
    if "training.epochs" not in given:
        reason = "as many as the time allows" if limited else "more would gain little"
        take(reason, max_steps=steps)
    epochs = steps / steps_per_epoch(config, characters)
    dropout, decay = _against_overfitting(config.model, characters, epochs)
    reads = share_read(epochs)
    take(reads, dropout=dropout)
    if config.training.optimizer == "adam":
        take(
            f"for {config.model.hidden_size} units and {steps:,} steps",
            learning_rate=max(
                _learning_rate(config.model, steps), config.training.min_learning_rate
            ),
            warmup_steps=min(400, steps // 20),
        )
        take(reads, weight_decay=decay)
        take("good on every text tried", clip_norm=1.0, ema_decay=0.99)
    return found


def share_read(epochs: float) -> str:
    """Say in a clause how often the text is read, or what part of it."""
    if epochs < 1:
        return f"{100 * epochs:.3g}% of the text is read"
    return f"the text is read {epochs:,.1f} times"


def steps_per_epoch(config: Config, characters: int) -> int:
    """Return the steps in which the text is read once."""
    training = config.training
    if training.seq_length == "full":
        return 1
    return max(1, -(-((characters - 1) // training.batch_size) // training.seq_length))


def _steps(config: Config, characters: int) -> int:
    """Return the steps of a plan without a given time."""
    training = config.training
    if training.max_steps is not None:
        return training.max_steps
    if "epochs" in training.model_fields_set:
        return training.epochs * steps_per_epoch(config, characters)
    full = training.seq_length == "full"
    each = characters if full else training.batch_size * int(training.seq_length)
    return max(1, _rounded(usual_steps(characters) * 32 * 64 / each))


def _against_overfitting(model: ModelConfig, characters: int, epochs: float) -> tuple[float, float]:
    """Return the dropout and the weight decay."""
    weights = operations(model.cell, model.hidden_size, model.num_layers) / 6
    table: tuple[tuple[int, float, float], ...]
    if cell_class(model.cell).gates == 1:
        table = _REGULARISED
    elif characters < _SHORT:
        return _SHORT_REGULARISED_GATED
    elif weights < _FEW_WEIGHTS * characters:
        table = _REGULARISED_SMALL
    else:
        table = _REGULARISED_GATED
    return next((dropout, decay) for least, dropout, decay in table if epochs >= least)


def _learning_rate(model: ModelConfig, steps: int) -> float:
    """Return the learning rate: the wider the network and the longer the plan, the lower."""
    highest = 1.28 if cell_class(model.cell).gates > 1 else 1.0 if steps < 1000 else 0.77
    return float(f"{min(1e-2, highest / model.hidden_size):.1g}")


def _rounded(number: float) -> int:
    """Return a number with two digits that are not 0."""
    return int(float(f"{number:.2g}"))
