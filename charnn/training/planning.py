"""Plans a run for a given time: measures this machine, then chooses like a run without a plan."""

import math
from dataclasses import dataclass

from charnn.baselines import counting_bits
from charnn.config.keys import Config
from charnn.ranks import ALONE
from charnn.text.corpus import Corpus
from charnn.training.choosing import (
    Choice,
    choose,
    most_work,
    network_for,
    operations,
    usual_work,
)
from charnn.training.costs import seconds_per_validation, validations_left
from charnn.training.preparation import needed_memory, step_spec, training_characters
from charnn.training.trainer import Trainer

_BETTER = "reaches the lowest loss in this time (docs/choosing.md)"
_GUESS = 1e11  # floating-point operations a second, before a network is measured
_START = 1.0  # seconds before the first step and after the last
_VALIDATING = 0.25  # share of the time that validations may take
_COUNTED = 1_000_000  # validation characters for the pair counts
# Characters of the training text, and the range of the validation loss from there on, as shares of
# the loss of pair counts, from the texts of docs/choosing.md.
_REACHED = ((400_000, (0.48, 0.65)), (0, (0.45, 1.05)))
_FASTER = 0.05  # the loss falls with this power of the work
_VALIDATIONS = 10  # at least, or one every 1,000 steps; more of them read little (`eval_every`)


@dataclass(frozen=True)
class Plan:
    """A config for a run of a given time.

    Attributes:
        config: the keys that were given and those that were chosen.
        choices: the keys that were not given.
        characters: N, in the training text.
        epochs: how often the run reads the training text.
        seconds: the time of the run, without reading the text.
        speed: operations a second in training; see `charnn.training.choosing`.
        memory: bytes for buffers and parameters.
        exhausted: whether the run cannot use all of the given time on this text.
        expected: the range of the validation loss, in nats per character; None without a
            validation text.
    """

    config: Config
    choices: list[Choice]
    characters: int
    epochs: float
    seconds: float
    speed: float
    memory: int
    exhausted: bool
    expected: tuple[float, float] | None


def plan(config: Config, corpus: Corpus, seconds: float) -> Plan:
    """Choose the config for a run of a given time on this machine.

    Args:
        config: its given keys stay as they are.
        corpus: the text, not divided yet.
        seconds: the time of the run, without reading the text.

    Raises:
        CharnnError: as `Trainer` does.
    """
    N, work = _characters(config, corpus), seconds * _GUESS
    model = {key for key, _ in config.given()} & {"model.cell", "model.activation"}
    cell = config.model.cell if model else None
    measured: dict[tuple[str, int, int], tuple[int, float, float, float]] = {}
    while (network := network_for(cell, N, work)) not in measured:
        config = config.with_values({"model.cell": network[0]})
        trainer = Trainer(_chosen(config, choose(config, N, work)), corpus)
        step, validation = trainer.seconds_per_step(), seconds_per_validation(trainer)
        last = seconds_per_validation(trainer, exact=True)
        measured[network] = _operations(trainer), step, validation, last
        work = min(seconds * _operations(trainer) / step, most_work(network[0], N))
    each, step, validation, last = measured[network]  # perhaps not the one measured last
    speed = each / step
    config = config.with_values({"model.cell": network[0]})
    config, read = _validating_less(config, (_VALIDATIONS - 1) * validation + last, seconds)
    validation, last = read * validation, read * last
    N = _characters(config, corpus)
    most = most_work(config.model.cell, N)
    exhausted = seconds * speed > most
    left = seconds - _START - (last - validation)
    steps = max(1, int(most / each)) if exhausted else _fitting_steps(left, step, validation)
    choices = choose(config, N, work, steps)
    if cell is None:
        choices.insert(0, Choice("model.cell", network[0], _BETTER))
    config = _chosen(config, choices)
    trainer = Trainer(config, corpus)
    spec = step_spec(trainer.config, len(corpus.vocabulary), trainer.streams, ALONE)
    return Plan(
        config,
        choices,
        N,
        trainer.total_steps / trainer.streams.steps_per_epoch,
        _START + trainer.total_steps * step + (validations_left(trainer) - 1) * validation + last,
        speed,
        needed_memory(spec),
        exhausted,
        _expected(trainer.corpus, N, work),
    )


def _expected(corpus: Corpus, characters: int, work: float) -> tuple[float, float] | None:
    """Return the range of the validation loss, in nats per character."""
    ids = corpus.split("val")[:_COUNTED]
    if len(ids) < 2:
        return None
    pairs = counting_bits(ids, len(corpus.vocabulary))[1] * math.log(2)
    low, high = next(shares for least, shares in _REACHED if characters >= least)
    less = max(1.0, usual_work(characters) / work) ** _FASTER
    return low * pairs, high * pairs * less


def _characters(config: Config, corpus: Corpus) -> int:
    """Return N of a corpus, divided by the config."""
    data = config.data
    return training_characters(
        corpus.divided(data.val_fraction, data.test_fraction, data.split_seed)
    )


def _operations(trainer: Trainer) -> int:
    """Return the operations of a step."""
    model, streams = trainer.config.model, trainer.streams
    each = operations(model.cell, model.hidden_size, model.num_layers)
    return each * streams.batch_size * streams.seq_length


def _chosen(config: Config, choices: list[Choice]) -> Config:
    return config.with_values({choice.key: choice.value for choice in choices})


def _validating_less(config: Config, validating: float, seconds: float) -> tuple[Config, float]:
    """Return a config whose validations fit in the time, and the share that each still reads.

    The end of a long validation text is as good a sample as the whole.

    Args:
        config: of the plan.
        validating: the seconds of all its validations.
        seconds: of the whole run.
    """
    share = _VALIDATING * seconds / validating if validating else 1
    given = {key for key, _ in config.given()}
    if share >= 1 or given & {"data.val_fraction", "data.val_path"}:
        return config, 1.0
    fraction = float(f"{config.data.val_fraction * share:.1g}")
    share = fraction / config.data.val_fraction
    return config.with_values({"data.val_fraction": fraction}), share


def _fitting_steps(seconds: float, step: float, validation: float) -> int:
    """Return the number of steps that fit in the time, including validations."""
    steps = (seconds - _VALIDATIONS * validation) / step
    if steps > 1000 * _VALIDATIONS:
        steps = seconds / (step + validation / 1000)
    return max(1, int(steps))
