"""Finds given settings that have no effect, for a warning before a run begins."""

from collections.abc import Iterator

from charnn.config.keys import Config

# Keys of a section that have an effect only with some values of another key.
_ACT_WITH: dict[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("optimizer", ("sgd",)),
    "alpha": ("optimizer", ("rmsprop",)),
    "beta1": ("optimizer", ("adam",)),
    "beta2": ("optimizer", ("adam",)),
    "eps": ("optimizer", ("adagrad", "rmsprop", "adam")),
    "min_learning_rate": ("schedule", ("cosine",)),
    "step_size": ("schedule", ("step",)),
    "gamma": ("schedule", ("step",)),
}


def idle_settings(config: Config, total_steps: int, validates: bool) -> Iterator[str]:
    """Yield a warning for each key whose value has no effect in a run.

    A key with its default value is not mentioned, because a config may list every key.

    Args:
        config: of the run.
        total_steps: of the plan.
        validates: whether there is a text to validate on.
    """
    training, data = config.training, config.data
    for split in ("val", "test"):
        fraction = f"{split}_fraction"
        given = getattr(data, fraction) != type(data).model_fields[fraction].default
        if given and getattr(data, f"{split}_path") is not None:
            yield f"data.{fraction} does nothing beside data.{split}_path"
    if data.documents is None and data.split_seed:
        yield "data.split_seed does nothing without data.documents"
    fields = type(training).model_fields
    changed = {name for name in fields if getattr(training, name) != fields[name].default}
    for name, (other, values) in _ACT_WITH.items():
        chosen = getattr(training, other)
        if name in changed and chosen not in values:
            yield (
                f"training.{name} does nothing with {other} {chosen}; it is for {', '.join(values)}"
            )
    if "epochs" in changed and training.max_steps is not None:
        yield f"training.epochs does nothing beside training.max_steps {training.max_steps:,}"
    if training.patience is not None and not validates:
        yield "training.patience does nothing without a text to validate on"
    if total_steps == 0:
        return
    if total_steps <= training.warmup_steps:
        yield (
            f"training.warmup_steps {training.warmup_steps:,} is not below the "
            f"{total_steps:,} steps of the run: the learning rate never reaches its peak"
        )
    elif training.schedule == "step" and total_steps <= (
        training.warmup_steps + training.step_size
    ):
        yield (
            f"training.step_size {training.step_size:,} leaves no decay within the "
            f"{total_steps:,} steps of the run: the learning rate never falls"
        )
