"""TODO."""

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.config.keys import RESUMABLE, Config
from charnn.errors import ConfigError
from charnn.showing import show_value


def resumed_config(given: Config, stored: Config) -> Config:
    """Return the config a run goes on with: the stored one, and what may change of the given one.

    Raises:
        ConfigError: naming each given key that contradicts the stored run.
    """
    changed = {}
    refused = []
    for key, value in given.given():
        section, _, name = key.partition(".")
        before = getattr(getattr(stored, section), name)
        # The stored seed was chosen where none was given.
        if value == before or (key == "training.seed" and value is None):
            continue
        if key in RESUMABLE:
            changed[key] = value
        else:
            refused.append(
                f"{key} is {show_value(value)}, but the run to resume has {show_value(before)}"
            )
    if refused:
        raise ConfigError(
            "\n".join(
                f"{line}; leave it out, or start a new run, from these parameters by --init"
                for line in refused
            )
        )
    return stored.with_values(changed)


def initial_config(given: Config, init: Checkpoint) -> Config:
    """Return a config whose model has the sizes of the checkpoint it starts from.

    Raises:
        ConfigError: naming each given key that contradicts the checkpoint.
    """
    sizes = {
        f"model.{name}": getattr(init.config.model, name)
        for name in ("hidden_size", "num_layers", "activation")
    }
    for key, value in given.given():
        if sizes.get(key, value) != value:
            raise ConfigError(
                f"{key} is {show_value(value)}, but the --init checkpoint has {sizes[key]}"
            )
    return given.with_values(sizes)
