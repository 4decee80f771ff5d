"""Every key of the config: its default, its bounds and its meaning.

This is the only place where a key is described. The commented config and the JSON Schema that
`charnn config` prints, the tables in docs/config.md and the error messages are made from it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from charnn.config.problems import explain_all
from charnn.config.section import Section, chosen
from charnn.config.values import (
    Cell,
    Count,
    Dividing,
    Init,
    Npz,
    Paths,
    Seconds,
    SeqLength,
    String,
    Threads,
    Whole,
    listed,
    normal_std,
)
from charnn.errors import ConfigError
from charnn.network.cells import CELLS, GATED

STORED = "stored"  # the context in which a checkpoint's config is validated


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # pydantic does not export it


@contextmanager
def _explained() -> Iterator[None]:
    """Explain what is wrong with a config made in Python, as with a file."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(explain_all(error, known_keys(), {}, None)) from None


class _Checked(ModelMetaclass):
    """Explains what is wrong with a call of a section's class."""

    def __call__(cls, *arguments: Any, **values: Any) -> Any:
        with _explained():
            return super().__call__(*arguments, **values)


class _Section(Section, metaclass=_Checked):
    @classmethod
    def model_validate(cls, *arguments: Any, **options: Any) -> Self:
        """Make a config, or a section, from a dict, checked like the arguments of the constructor.

        Raises:
            ConfigError: one line for each error.
        """
        with _explained():
            return super().model_validate(*arguments, **options)


class DataConfig(_Section):
    """The text and how it is divided."""

    path: Paths = Field(
        (), description="text to learn: files (also .gz, .xz, .bz2), folders of *.txt, globs"
    )
    val_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of the text for validation, after the training part"
    )
    test_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of the text for the final test, at the end of the text"
    )
    val_path: Paths | None = Field(
        None, description="separate text for validation, instead of val_fraction"
    )
    test_path: Paths | None = Field(
        None, description="separate text for the final test, instead of test_fraction"
    )
    separator: String | None = Field(
        None, description="text between two files; null = a newline if a file does not end with one"
    )
    order: Literal["natural", "name"] | None = Field(
        None, description="order of a folder's files: natural (2 before 10) or name; null = natural"
    )
    documents: Dividing | None = Field(
        None,
        description="divided into: lines, blank-lines, files or text:SEPARATOR; null = one text",
    )
    split_seed: Whole = Field(0, description="documents: seed of the random split")
    normalize_newlines: bool = Field(False, description="read \\r\\n and \\r as \\n")

    @model_validator(mode="after")
    def _leaves_text_to_train_on(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1:
            total = f"{self.val_fraction:g} + {self.test_fraction:g}"
            raise PydanticCustomError(
                "split", "val_fraction + test_fraction must be < 1, got {total}", {"total": total}
            )
        return self

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The paths of each text by dotted key: the text, and the validation and test texts."""
        own = {"data.val_path": self.val_path, "data.test_path": self.test_path}
        given = {key: paths for key, paths in own.items() if paths is not None}
        return {"data.path": self.path} | given

    @property
    def all_paths(self) -> tuple[str, ...]:
        """The paths of all texts in one tuple."""
        return tuple(path for paths in self.texts.values() for path in paths)

    def of(self, paths: Sequence[str], *, again: bool) -> Self:
        """Return a copy that names another text.

        Args:
            paths: its files.
            again: whether it is the text of this run at another place. Its files are then joined
                as before, and the validation and test texts are read, too, unless they came from a
                pipe.
        """
        changes: dict[str, Any] = {"path": tuple(paths)}
        if not again or "-" in self.all_paths[len(self.path) :]:
            changes |= {"val_path": None, "test_path": None}
        if not again:
            changes["order"] = None
            if self.separator == ADDED_KEYS["data.separator"]:
                changes["separator"] = None
        return self.model_copy(update=changes)


class ModelConfig(_Section):
    """The network."""

    cell: Cell = Field("rnn", description=f"recurrent cell: {listed(list(CELLS))}")
    hidden_size: Count = chosen(256, "H, number of units in each layer")
    num_layers: Count = chosen(1, "number of recurrent layers")
    activation: Literal["tanh", "relu"] = Field("tanh", description="f of cell rnn: tanh or relu")
    dropout: float = chosen(
        0.0, "share of each layer's outputs dropped, drawn anew for each window", ge=0, lt=1
    )
    init: Init = Field(
        "uniform",
        description="uniform (W on ±1/√H), normal(STD); orthogonal or identity for W, else uniform",
    )

    @model_validator(mode="after")
    def _activation_is_that_of_the_cell(self) -> Self:
        if self.activation != "tanh" and self.cell in GATED:
            raise PydanticCustomError(
                "activation",
                "activation {activation} is for cell rnn; {cell} has functions of its own",
                {"activation": self.activation, "cell": self.cell},
            )
        return self

    @property
    def init_std(self) -> float | None:
        """The standard deviation of `init: normal(STD)`, or None for the other kinds."""
        return normal_std(self.init)


class TrainingConfig(_Section):
    """The optimisation."""

    loop: Literal["fast", "textbook"] = Field(
        "fast", description="fast, or textbook: one character at a time, like min-char-rnn"
    )
    batch_size: Count = chosen(32, "B, number of parallel streams of text")
    seq_length: SeqLength = chosen(
        64, "T, characters in a window of back-propagation; full = the stream"
    )
    drop_last: bool = Field(
        False, description="skip the shorter last window of an epoch (like min-char-rnn)"
    )
    epochs: Count = chosen(50, "passes over the training text")
    max_steps: Whole | None = chosen(None, "steps of the whole run, instead of epochs")
    time_limit: Seconds | None = Field(
        None, description="stop this invocation after 90s, 10m, 1h30m or 2d; --resume continues"
    )
    optimizer: Literal["sgd", "adagrad", "rmsprop", "adam"] = Field(
        "adam", description="sgd, adagrad, rmsprop or adam"
    )
    learning_rate: float = chosen(2e-3, "the highest η of the schedule", gt=0)
    momentum: float = Field(
        0.9, ge=0, lt=1, description="sgd: share of the previous step that is added"
    )
    alpha: float = Field(0.99, ge=0, lt=1, description="rmsprop: decay of the mean square")
    beta1: float = Field(0.9, ge=0, lt=1, description="adam: decay of the mean")
    beta2: float = Field(0.999, ge=0, lt=1, description="adam: decay of the mean square")
    eps: float = Field(
        1e-8, gt=0, description="added to the divisor to keep it above 0 (adagrad: inside the root)"
    )
    schedule: Literal["constant", "cosine", "step"] = Field(
        "cosine", description="constant, cosine (to min_learning_rate) or step"
    )
    warmup_steps: Whole = chosen(0, "steps over which η rises from 0")
    min_learning_rate: float = Field(0.0, ge=0, description="cosine: η at the end of the run")
    step_size: Count = Field(1000, description="step: steps between two decays")
    gamma: float = Field(0.5, gt=0, le=1, description="step: factor of each decay")
    clip_norm: float | None = chosen(
        5.0, "largest norm of the gradient, over all parameters, or null", gt=0
    )
    clip_value: float | None = Field(
        None, gt=0, description="largest absolute value of a gradient element, or null"
    )
    loss_reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="gradient of the mean, or of the sum, of the losses of a step's characters",
    )
    weight_decay: float = chosen(0.0, "decoupled: each step shrinks U, W, V by η times this", ge=0)
    ema_decay: float = chosen(
        0.0,
        "decay of the mean of the parameters that is validated and saved; 0 = none",
        ge=0,
        lt=1,
    )
    eval_every: Count | None = Field(
        None,
        description="steps between validations; null = 10 to 40 times a run, at most 1000 steps",
    )
    save_every: Count = Field(500, description="steps between checkpoints")
    log_every: Count = Field(100, description="steps between lines of the metrics log")
    patience: Count | None = Field(
        None, description="stop after this many validations without a new best, or null"
    )
    on_divergence: Literal["rollback", "stop", "ignore"] = Field(
        "rollback",
        description="rollback (to the last save, halve η), stop, or ignore a high loss",
    )
    seed: Whole | None = Field(
        None, description="seed of all random draws; null = the run chooses and stores one"
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="float32 or float64")
    threads: Threads | None = Field(
        None, description="cores for each rank; null = all (the last bits depend on it)"
    )

    @model_validator(mode="after")
    def _rate_falls(self, info: ValidationInfo) -> Self:
        # Earlier versions accepted such a pair, so a stored config may have it.
        chosen = "learning_rate" not in self.model_fields_set
        if self.min_learning_rate > self.learning_rate and not chosen and info.context != STORED:
            raise PydanticCustomError(
                "rates",
                "min_learning_rate must be <= learning_rate {highest}, got {lowest}",
                {"highest": f"{self.learning_rate:g}", "lowest": f"{self.min_learning_rate:g}"},
            )
        return self


class OutputConfig(_Section):
    """The files to write. The metrics log is beside the checkpoint and ends in .jsonl."""

    checkpoint: Npz = Field(
        "run.npz",
        description="the checkpoint, NAME.npz",
        json_schema_extra={"pattern": r"^(?!.*\.best\.npz$).*\.npz$"},
    )
    keep_best: bool = Field(
        True, description="also keep the checkpoint of the best validation, NAME.best.npz"
    )


_NEXT_SECTION = ",\n       "


class Config(_Section, title="charnn config"):
    """A complete, valid config. Every key has a default."""

    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    output: OutputConfig = Field(default_factory=OutputConfig)

    def __repr__(self) -> str:
        return f"Config({self.__repr_str__(_NEXT_SECTION)})"

    def with_values(self, values: Mapping[str, Any]) -> "Config":
        """Return a copy with other values, by dotted key. They are not checked."""
        changed: Config = self
        for key, value in values.items():
            section, _, name = key.partition(".")
            part = getattr(changed, section).model_copy(update={name: value})
            changed = changed.model_copy(update={section: part})
        return changed

    def given(self) -> Iterator[tuple[str, Any]]:
        """Yield (dotted key, value) for every key that was given explicitly."""
        for section, model in section_models().items():
            part = getattr(self, section)
            for name in model.model_fields:
                if name in part.model_fields_set:
                    yield f"{section}.{name}", getattr(part, name)


# Keys that may change when a run is resumed. They extend the run or do not affect its numbers.
RESUMABLE = frozenset(
    {
        "data.path",
        "data.val_path",
        "data.test_path",
        "training.epochs",
        "training.max_steps",
        "training.time_limit",
        "training.eval_every",
        "training.save_every",
        "training.log_every",
        "training.patience",
        "training.on_divergence",
        "training.threads",
        "output.checkpoint",
        "output.keep_best",
    }
)


# Keys that earlier versions did not have, each with the value that gives their behaviour. Stored
# configs leave out a key with this value, so their bytes are those of earlier versions. Where a
# stored config lacks the key, it has this value, whatever today's default is.
ADDED_KEYS: dict[str, Any] = {
    "data.val_path": None,
    "data.test_path": None,
    "data.separator": "",
    "data.order": "name",
    "data.documents": None,
    "data.split_seed": 0,
    "model.cell": "rnn",
}
# Null in these keys lets the run choose the value when it begins.
CHOSEN_BY_THE_RUN = frozenset(
    {"data.separator", "data.order", "training.seed", "training.eval_every"}
)


def known_keys() -> dict[str, list[str]]:
    """Return the names of the keys of each section, in order."""
    return {name: list(part.model_fields) for name, part in section_models().items()}


def all_keys() -> list[str]:
    """Return section.key of every key, in order."""
    return [f"{name}.{key}" for name, part in known_keys().items() for key in part]


def section_models() -> dict[str, type[_Section]]:
    """Return the class of each section by its name, in order."""
    return {
        "data": DataConfig,
        "model": ModelConfig,
        "training": TrainingConfig,
        "output": OutputConfig,
    }
