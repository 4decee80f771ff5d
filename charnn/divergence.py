"""When a training loss that is finite tells of divergence all the same: it stays too high.

The loss is smoothed, and one wild window counts no more than a moderately bad one. Too high is
above uniform guessing, log K nats; or, once the model has learned something, nearer to uniform
guessing than to the best it has reached. A text may have parts that are much harder than others,
so the second counts only if it lasts a whole epoch.
"""

from charnn.checkpoint import Progress

_SMOOTHING = 0.98  # weight of the past
_PATIENCE = 200  # steps for which the loss must be too high without getting any lower
_MARGIN = 1.1  # an untrained model is a little above uniform guessing
_LEARNED = 0.75  # of uniform guessing: below, something has been learned


def watch(progress: Progress, loss: float, uniform: float, epoch: int) -> str | None:
    """Take in a step's loss and return what is wrong, if the run has diverged.

    Args:
        progress: its `smoothed_loss`, `lowest_loss`, `steps_above_uniform` and `steps_above_best`
            are brought up to date.
        loss: of the step, nats per character, finite.
        uniform: the loss of uniform guessing, log K.
        epoch: steps in an epoch.
    """
    before = loss if progress.smoothed_loss is None else progress.smoothed_loss
    smoothed = before + (1 - _SMOOTHING) * (min(loss, 2 * max(before, uniform)) - before)
    lowest = smoothed if progress.lowest_loss is None else min(smoothed, progress.lowest_loss)
    falls = smoothed == lowest
    hopeless = not falls and smoothed > _MARGIN * uniform
    lost = lowest < _LEARNED * uniform and smoothed > (lowest + uniform) / 2
    progress.smoothed_loss, progress.lowest_loss = smoothed, lowest
    progress.steps_above_uniform = progress.steps_above_uniform + 1 if hopeless else 0
    progress.steps_above_best = progress.steps_above_best + 1 if lost else 0
    for steps, enough, what in (
        (progress.steps_above_uniform, _PATIENCE, f"uniform guessing, {uniform:.3f}"),
        (progress.steps_above_best, max(_PATIENCE, epoch), f"its best, {lowest:.3f}"),
    ):
        if steps >= enough:
            return f"for {steps:,} steps the loss has stayed at {smoothed:.3f}, far above {what}"
    return None
