"""When a training loss that is finite tells of divergence all the same: it stays too high.

The loss is smoothed, and one wild window counts no more than a moderately bad one. Too high is
above uniform guessing, log K nats; or, once the model has learned something, nearer to uniform
guessing than to the best it has reached. The second asks for several streams: one or two may all
have come to a harder part of the text.
"""

from charnn.checkpoint.progress import Progress

_SMOOTHING = 0.98  # weight of the past


_PATIENCE = 200  # steps in a row for which the loss must be too high


_MARGIN = 1.1  # an untrained model is a little above uniform guessing


_LEARNED = 0.75  # of uniform guessing: below, something has been learned


_STREAMS = 8  # enough to be in all parts of the text at once


def watch(progress: Progress, loss: float, uniform: float, batch_size: int) -> str | None:
    """Take in a step's loss and return what is wrong, if the run has diverged.

    Args:
        progress: its `smoothed_loss`, `lowest_loss`, `steps_above_uniform` and `steps_above_best`
            are brought up to date.
        loss: of the step, nats per character, finite.
        uniform: the loss of uniform guessing, log K.
        batch_size: B, streams read side by side.
    """
    before = loss if progress.smoothed_loss is None else progress.smoothed_loss
    smoothed = before + (1 - _SMOOTHING) * (min(loss, 2 * max(before, uniform)) - before)
    lowest = smoothed if progress.lowest_loss is None else min(smoothed, progress.lowest_loss)
    hopeless = smoothed > max(_MARGIN * uniform, lowest)
    lost = (
        batch_size >= _STREAMS and lowest < _LEARNED * uniform and smoothed > (lowest + uniform) / 2
    )
    progress.smoothed_loss, progress.lowest_loss = smoothed, lowest
    progress.steps_above_uniform = progress.steps_above_uniform + 1 if hopeless else 0
    progress.steps_above_best = progress.steps_above_best + 1 if lost else 0
    if progress.steps_above_uniform >= _PATIENCE:
        limit = f"uniform guessing, {uniform:.3f}"
    elif progress.steps_above_best >= _PATIENCE:
        limit = f"its best, {lowest:.3f}"
    else:
        return None
    return f"for {_PATIENCE} steps the loss has stayed high, now {smoothed:.3f}, far above {limit}"


def is_suspect(progress: Progress) -> bool:
    """Whether the loss is too high now, though not for long yet: no state to go back to."""
    return progress.steps_above_uniform > 0 or progress.steps_above_best > 0
