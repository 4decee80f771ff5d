"""Everything that must be decided or checked before the first step of a run."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.config.idle import idle_settings
from charnn.config.keys import (
    ADDED_KEYS,
    CHOSEN_BY_THE_RUN,
    RESUMABLE,
    Config,
    DataConfig,
    TrainingConfig,
)
from charnn.draws import fresh_seed
from charnn.errors import CharnnError, ConfigError, RequestError
from charnn.machine import available_memory, cores
from charnn.network.spec import Spec
from charnn.ranks import Ranks
from charnn.showing import show_value
from charnn.text.corpus import Corpus
from charnn.text.finding import files_named
from charnn.text.streams import DocumentStreams, Streams, fitting_batch_size
from charnn.training.choosing import Choice, choose
from charnn.training.extension import changed_characters
from charnn.training.shares import StepSpec, worker_count

# The fewest and the most validations in a run. Ten give advice early. A short text is overfitted
# within a few epochs, so more validations find its best step.
_VALIDATIONS = 10, 40
_READ = 20  # characters read in training for each one read to validate
_MAX_EVAL_EVERY = 1000  # steps


def resumed_config(given: Config, stored: Config) -> Config:
    """Return the config of a resumed run: the stored one, with the given changes that are allowed.

    Raises:
        ConfigError: if given keys contradict the stored run; the message names each key.
    """
    changed = {}
    refused = []
    for key, value in given.given():
        section, _, name = key.partition(".")
        before = getattr(getattr(stored, section), name)
        if value == before or (key in CHOSEN_BY_THE_RUN and value is None):
            continue
        if key in RESUMABLE:
            changed[key] = value
        else:
            refused.append(
                f"{key} is {show_value(value)}, but the run to resume has {show_value(before)}"
            )
    if "training.epochs" in changed and "training.max_steps" not in changed:
        changed["training.max_steps"] = None  # the given key sets the length of the run
    if refused:
        raise ConfigError(
            "\n".join(
                f"{line}; leave it out, or start a new run from these parameters with --init"
                for line in refused
            )
        )
    return stored.with_values(changed)


def initial_config(given: Config, init: Checkpoint) -> Config:
    """Return the given config with the model sizes of the checkpoint that the run starts from.

    Raises:
        ConfigError: if a given key contradicts the checkpoint; the message names it.
    """
    sizes = {
        f"model.{name}": getattr(init.config.model, name)
        for name in ("cell", "hidden_size", "num_layers", "activation")
    }
    for key, value in given.given():
        if sizes.get(key, value) != value:
            raise ConfigError(
                f"{key} is {show_value(value)}, but the --init checkpoint has {sizes[key]}"
            )
    return given.with_values(sizes)


@dataclass(frozen=True)
class Preparation:
    """The decisions that `prepare` makes for a run.

    Attributes:
        config: the config as a checkpoint stores it.
        corpus: the text, divided by the config.
        streams: the training text, cut into as many streams as it can fill.
        total_steps: steps of the whole run, over all invocations.
        step: everything that worker processes need to compute a step.
        choices: the values of keys that were not given; none for a resumed run.
        warnings: messages that the user should see before training starts.
    """

    config: Config
    corpus: Corpus
    streams: Streams
    total_steps: int
    step: StepSpec
    choices: list[Choice]
    warnings: list[str]


def prepare(
    config: Config,
    corpus: Corpus,
    resume: Checkpoint | None,
    init: Checkpoint | None,
    ranks: Ranks,
) -> Preparation:
    """Make all decisions and checks before the first step of a run.

    The arguments and the errors are those of `Trainer`.
    """
    if resume:
        config = resumed_config(config, resume.config)
    path, warnings = config.output.checkpoint, []
    if resume and not corpus.has_fingerprint(resume.progress.fingerprint):
        raise CharnnError(
            f"the text is not the one {path} was trained on; "
            "restore it, or start a new run from these parameters with --init"
        )
    if not resume and "\r" in corpus.vocabulary.characters:
        warnings.append(
            "the text has \\r characters, as in Windows line ends; "
            "--set data.normalize_newlines=true reads line ends as \\n"
        )
    if not resume and "\0" in corpus.vocabulary.characters:
        warnings.append(
            "the text has NUL characters: it may be a binary file, or UTF-16 without a "
            "byte-order mark; convert UTF-16 with iconv -f UTF-16LE -t UTF-8 FILE"
        )
    if init and not resume:
        config = initial_config(config, init)
        warnings += changed_characters(init.vocabulary, corpus.vocabulary)
    config, corpus = _agreed_split(config, corpus)
    corpus.check_documents()
    choices = [] if resume else choose(config, training_characters(corpus))
    config = config.with_values({choice.key: choice.value for choice in choices})
    config = _settled(config, ranks)
    if not resume:
        if config.data.documents is not None and config.data.separator:
            warnings.append(
                "data.separator does nothing beside data.documents: a file's end ends a document"
            )
        config = config.with_values(ranks.first(lambda: _joins(config.data)))
        for name, leaked in zip(("val", "test"), corpus.leaked, strict=True):
            if leaked:
                warnings.append(
                    f"{leaked:,} of the documents in data.{name}_path are also in the training "
                    f"text; the {name} loss flatters the model"
                )
    training = config.training
    streams = _cut_streams(config, corpus, warnings)
    B = streams.batch_size
    if ranks.size > B:
        raise RequestError(
            f"{ranks.size} ranks cannot share a batch of {B}; start fewer, or raise "
            "training.batch_size"
        )
    step = step_spec(config, len(corpus.vocabulary), streams, ranks)
    _check_memory(step, ranks)
    total_steps = (
        training.epochs * streams.steps_per_epoch
        if training.max_steps is None
        else training.max_steps
    )
    if not resume:
        warnings += idle_settings(config, total_steps, len(corpus.split("val")) > 0)
    if training.eval_every is None:
        every = eval_every(total_steps, streams.characters(total_steps), len(corpus.split("val")))
        config = config.with_values({"training.eval_every": every})
    if resume:
        shape = step.network.state_shape(B)
        if resume.hidden_state is None or resume.hidden_state.shape != shape:
            raise CharnnError(f"{path} cannot be resumed; start from it with --init")
        if total_steps < resume.progress.step:
            raise RequestError(
                f"the run has made {resume.progress.step:,} steps already, and its plan would end "
                f"at {total_steps:,}; raise training.max_steps"
            )
    return Preparation(config, corpus, streams, total_steps, step, choices, warnings)


def _agreed_split(config: Config, corpus: Corpus) -> tuple[Config, Corpus]:
    """Return the config and the corpus with the same division: the corpus's, or the config's.

    Raises:
        ConfigError: if both divide the text, and differ.
        CorpusError: if the text is too short for its parts.
    """
    data = config.data
    divided: dict[str, Any] = {"data.documents": corpus.dividing}
    if corpus.val_fraction or corpus.test_fraction:
        divided["data.val_fraction"] = corpus.val_fraction
        divided["data.test_fraction"] = corpus.test_fraction
        divided["data.split_seed"] = corpus.split_seed
    else:
        corpus = corpus.divided(data.val_fraction, data.test_fraction, data.split_seed)
    for key, value in config.given():
        if divided.get(key, value) != value:
            if key == "data.documents" and corpus.dividing is None:
                raise ConfigError(
                    f"{key} is {show_value(value)}, but the corpus is one text; make it with "
                    f"Corpus.from_text(text, documents={value!r})"
                )
            raise ConfigError(
                f"{key} is {show_value(value)}, but the corpus was divided by "
                f"{show_value(divided[key])}; give it in one place only"
            )
    return config.with_values(divided), corpus


def _settled(config: Config, ranks: Ranks) -> Config:
    """Return the config as a checkpoint stores it: with a seed, and without the time limit.

    The time limit holds for one invocation only. Without a given seed, rank 0 draws one for all.
    """
    config = config.with_values({"training.time_limit": None})
    if config.training.seed is None:
        config = config.with_values({"training.seed": ranks.first(fresh_seed)})
    return config


def _joins(data: DataConfig) -> dict[str, str | None]:
    """Return how several files are joined. For one file, the key stays unset."""
    separator = {} if data.documents is None else {"data.separator": ADDED_KEYS["data.separator"]}
    several = any(
        len(files_named(paths, data.order or "natural")) > 1 for paths in data.texts.values()
    )
    if not several:
        return {key: ADDED_KEYS[key] for key in ("data.separator", "data.order")}
    return {"data.order": data.order or "natural"} | separator


def training_characters(corpus: Corpus) -> int:
    """Return N, the number of training characters of a corpus, with the ends of documents."""
    documents = corpus.training_documents
    return 1 + int(documents.lengths.sum()) if documents else len(corpus.split("train"))


def _cut_streams(config: Config, corpus: Corpus, warnings: list[str]) -> Streams:
    """Cut the training text into streams; a short text lowers the batch size."""
    training, documents = config.training, corpus.training_documents
    ids = corpus.ids if documents else corpus.split("train")
    N = training_characters(corpus)
    B = training.batch_size
    if training.seq_length == "full":
        B = min(B, N - 1)
        T = (N - 1) // B
    else:
        T = min(training.seq_length, N - 1)
        B = fitting_batch_size(N, B, T)
    if training.batch_size > B:
        wanted = training.batch_size * T + 1
        ends = " and ends of documents" if documents else ""
        warnings.append(
            f"the training text has {N:,} characters{ends}, fewer than batch_size "
            f"{training.batch_size} × seq_length {T} + 1 = {wanted:,}; using batch_size {B}"
        )
    if documents is None:
        return Streams(ids, B, T, training.drop_last)
    assert training.seed is not None
    return DocumentStreams(ids, B, T, training.drop_last, documents=documents, seed=training.seed)


def eval_every(steps: int, characters: int, validation_characters: int) -> int:
    """Return the steps between validations.

    Args:
        steps: of the run.
        characters: that the run reads.
        validation_characters: that each validation reads.
    """
    least, most = _VALIDATIONS
    cheap = characters // (_READ * max(1, validation_characters))
    return max(1, min(steps // max(least, min(cheap, most)), _MAX_EVAL_EVERY))


def available_cores(training: TrainingConfig, ranks: Ranks) -> int:
    """Return the number of processors for this rank."""
    return training.threads or max(1, cores() // ranks.sharing)


def step_spec(config: Config, vocab_size: int, streams: Streams, ranks: Ranks) -> StepSpec:
    """Return the description of a step, with the shares of ranks, worker processes and threads."""
    training, sizes = config.training, config.model
    assert training.seed is not None
    B, H = streams.batch_size, sizes.hidden_size
    total = available_cores(training, ranks)
    # In one process, BLAS chooses the number of threads. Several ranks on a machine must share.
    threads = training.threads if ranks.size == 1 else total
    workers = 1 if training.loop == "textbook" else worker_count(B // ranks.size, H, total)
    return StepSpec(
        network=Spec.from_config(sizes, vocab_size, training.dtype),
        seq_length=streams.seq_length,
        batch_size=B,
        dropout=sizes.dropout,
        seed=training.seed,
        loop=training.loop,
        threads=threads if workers == 1 else total // workers,
        workers=workers,
        rank=ranks.rank,
        ranks=ranks.size,
    )


def needed_memory(step: StepSpec) -> int:
    """Return the bytes that each rank allocates for buffers and parameters."""
    spec, B = step.network, -(-step.batch_size // step.ranks)
    buffers = spec.step_bytes(step.seq_length, B, dropout=step.dropout > 0)
    # θ, its mean and two slots. Each worker has a gradient, a copy of W in blocks, and sums for dU.
    copies = 4 + 2 * step.workers
    return buffers + copies * spec.num_parameters * np.dtype(spec.dtype).itemsize


def _check_memory(step: StepSpec, ranks: Ranks) -> None:
    """Check that all ranks on this machine fit in its memory.

    Raises:
        CharnnError: if they do not.
    """
    needed, available = needed_memory(step), available_memory() // ranks.on_node
    if needed > available:
        raise CharnnError(
            f"training needs about {needed / 1e9:,.1f} GB for T = {step.seq_length:,} × "
            f"B = {step.batch_size} and the model, and {available / 1e9:.1f} GB are available; "
            "lower training.seq_length, training.batch_size, model.hidden_size or model.num_layers"
        )
