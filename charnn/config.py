"""YAML to a validated, frozen `Config`: every key, its default, its bounds and its meaning.

This file is the only place where a key is described; the commented config and the JSON Schema that
`charnn config` prints, the tables in docs/config.md and the error messages come from it.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from charnn.errors import ConfigError

# --- value types ---------------------------------------------------------------------------------


def _whole(value: Any) -> Any:
    """Read 1e4 as the whole number it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _paths(value: Any) -> Any:
    """Read one path as a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _seq_length(value: Any) -> Any:
    value = _whole(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value == "full" or (is_whole and 1 <= value < 2**63):
        return value
    raise PydanticCustomError("seq_length", "must be a whole number >= 1, or full")


_AMOUNT = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_TIME = re.compile(f"(?:{_AMOUNT}h)?(?:{_AMOUNT}m)?(?:{_AMOUNT}s?)?")


def _seconds(value: Any) -> Any:
    """Read 90, 90s, 10m or 1h30m as seconds."""
    if isinstance(value, str):
        match = _TIME.fullmatch(value.strip())
        if match and any(match.groups()):
            hours, minutes, seconds = (float(part or 0) for part in match.groups())
            value = 3600 * hours + 60 * minutes + seconds
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12:
        return float(value)
    raise PydanticCustomError("seconds", "must be a time > 0 like 90s, 10m or 1h30m")


_INITS = ("uniform", "orthogonal", "identity")
_NORMAL_INIT = re.compile(r"normal\(((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\)")


def _init(value: Any) -> Any:
    match = _NORMAL_INIT.fullmatch(value) if isinstance(value, str) else None
    if value in _INITS or (match and math.isfinite(float(match[1]))):
        return value
    raise PydanticCustomError("init", "must be uniform, orthogonal, identity or normal(STD)")


def _utf8(value: str) -> str:
    """Refuse what JSON, or no file name, can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("utf8", "must be text in UTF-8") from None
    if "\0" in value:
        raise PydanticCustomError("null", "must not hold a null character")
    return value


def _npz(value: str) -> str:
    if value.endswith(".npz") and not value.endswith(".best.npz"):
        return value
    raise PydanticCustomError("npz", "must be a name ending in .npz (not .best.npz)")


Text = Annotated[str, Field(min_length=1), AfterValidator(_utf8)]
Npz = Annotated[Text, AfterValidator(_npz)]
# The bounds stand before the validator: the schema of a key that may be null lacks them otherwise.
Whole = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_whole)]
Count = Annotated[int, Field(ge=1, lt=2**63), BeforeValidator(_whole)]
Threads = Annotated[int, Field(ge=1, le=1024), BeforeValidator(_whole)]
Paths = Annotated[
    tuple[Text, ...],
    BeforeValidator(_paths),
    PlainSerializer(list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
SeqLength = Annotated[
    int | Literal["full"],
    BeforeValidator(_seq_length),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "exclusiveMaximum": 2**63},
                {"const": "full"},
            ]
        }
    ),
]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {
                    "type": "string",
                    "pattern": f"^(?=.*[1-9]){_TIME.pattern}$",
                    "examples": ["90s", "10m", "1h30m"],
                },
            ]
        }
    ),
]
Init = Annotated[
    str,
    BeforeValidator(_init),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(_INITS)},
                {
                    "type": "string",
                    "pattern": f"^{_NORMAL_INIT.pattern}$",
                    "examples": ["normal(0.01)"],
                },
            ]
        }
    ),
]


# --- the sections --------------------------------------------------------------------------------


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        # In a file, a section (or everything) may be left empty.
        json_schema_extra={"type": ["object", "null"]},
    )


class DataConfig(_Section):
    """The text and how it is divided."""

    path: Paths = Field((), description="text to learn: files (also .gz), folders of *.txt, globs")
    val_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of the text that validates, taken after the training"
    )
    test_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of the text kept for a final test, taken at the end"
    )
    normalize_newlines: bool = Field(False, description="read \\r\\n and \\r as \\n")

    @model_validator(mode="after")
    def _leaves_text_to_train_on(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1:
            total = f"{self.val_fraction:g} + {self.test_fraction:g}"
            raise PydanticCustomError(
                "split", "val_fraction + test_fraction must be < 1, got {total}", {"total": total}
            )
        return self


class ModelConfig(_Section):
    """The network."""

    hidden_size: Count = Field(256, description="H, units in each layer")
    num_layers: Count = Field(1, description="recurrent layers")
    activation: Literal["tanh", "relu"] = Field("tanh", description="f: tanh or relu")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of each layer's outputs dropped, window by window"
    )
    init: Init = Field(
        "uniform",
        description="uniform (±1/√fan-in), normal(STD); orthogonal or identity for W, else uniform",
    )

    @property
    def init_std(self) -> float | None:
        """The standard deviation of `init: normal(STD)`, or None for the other kinds."""
        match = _NORMAL_INIT.fullmatch(self.init)
        return float(match[1]) if match else None


class TrainingConfig(_Section):
    """The optimisation."""

    loop: Literal["fast", "textbook"] = Field(
        "fast", description="fast, or textbook: one character at a time, as min-char-rnn does"
    )
    batch_size: Count = Field(32, description="B, parallel streams the text is cut into")
    seq_length: SeqLength = Field(
        64, description="T, characters between truncations; full = the whole stream"
    )
    drop_last: bool = Field(
        False, description="leave out an epoch's last, shorter window (as min-char-rnn does)"
    )
    epochs: Count = Field(50, description="passes over the training text")
    max_steps: Whole | None = Field(None, description="steps of the whole plan, instead of epochs")
    time_limit: Seconds | None = Field(
        None, description="stop this invocation after 90s, 10m or 1h30m, to be resumed"
    )
    optimizer: Literal["sgd", "adagrad", "rmsprop", "adam"] = Field(
        "adam", description="sgd, adagrad, rmsprop or adam"
    )
    learning_rate: float = Field(2e-3, gt=0, description="η at its highest")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: share of the last step kept")
    alpha: float = Field(0.99, ge=0, lt=1, description="rmsprop: decay of the mean square")
    beta1: float = Field(0.9, ge=0, lt=1, description="adam: decay of the mean")
    beta2: float = Field(0.999, ge=0, lt=1, description="adam: decay of the mean square")
    eps: float = Field(
        1e-8, gt=0, description="keeps the divisor above 0 (adagrad: inside the root)"
    )
    schedule: Literal["constant", "cosine", "step"] = Field(
        "cosine", description="constant, cosine (to min_learning_rate) or step"
    )
    warmup_steps: Whole = Field(0, description="steps over which η rises from 0")
    min_learning_rate: float = Field(0.0, ge=0, description="cosine: η at the end of the plan")
    step_size: Count = Field(1000, description="step: steps between two decays")
    gamma: float = Field(0.5, gt=0, le=1, description="step: factor of each decay")
    clip_norm: float | None = Field(
        5.0, gt=0, description="longest gradient (norm over all parameters), or null"
    )
    clip_value: float | None = Field(
        None, gt=0, description="largest gradient element, either sign, or null"
    )
    loss_reduction: Literal["mean", "sum"] = Field(
        "mean", description="the gradient is of the mean, or the sum, over a step's characters"
    )
    weight_decay: float = Field(
        0.0, ge=0, description="decoupled: U, W, V shrink by η times this each step"
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="validate, save and sample a running mean of the parameters (0: themselves)",
    )
    eval_every: Count = Field(250, description="steps between validations")
    save_every: Count = Field(500, description="steps between checkpoints")
    log_every: Count = Field(100, description="steps between lines of the metrics log")
    patience: Count | None = Field(
        None, description="end after this many validations without a new best, or null"
    )
    on_divergence: Literal["rollback", "stop", "ignore"] = Field(
        "rollback",
        description="rollback (to the last save, η halved), stop, or ignore a high loss",
    )
    seed: Whole | None = Field(
        None, description="seed of all random draws; null = choose, show and store"
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="float32 or float64")
    threads: Threads | None = Field(
        None, description="cores to use, of each rank; null = all (bits depend on it)"
    )


class OutputConfig(_Section):
    """The files written; the metrics log lies beside the checkpoint, ending in .jsonl."""

    checkpoint: Npz = Field(
        "run.npz",
        description="the checkpoint, NAME.npz",
        json_schema_extra={"pattern": r"^(?!.*\.best\.npz$).*\.npz$"},
    )
    keep_best: bool = Field(True, description="also keep the best validation's, NAME.best.npz")


class Config(_Section, title="charnn config"):
    """A whole, valid configuration; every key has a default."""

    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    output: OutputConfig = Field(default_factory=OutputConfig)

    def with_values(self, values: Mapping[str, Any]) -> "Config":
        """Return a copy in which the dotted keys of `values` are replaced by valid values."""
        changed: Config = self
        for key, value in values.items():
            section, _, name = key.partition(".")
            part = getattr(changed, section).model_copy(update={name: value})
            changed = changed.model_copy(update={section: part})
        return changed

    def given(self) -> Iterator[tuple[str, Any]]:
        """Yield (dotted key, value) of every key that was written down, not left at its default."""
        for section, model in section_models().items():
            part = getattr(self, section)
            for name in model.model_fields:
                if name in part.model_fields_set:
                    yield f"{section}.{name}", getattr(part, name)


# Keys that may differ when a run is resumed: they extend the plan or leave the numbers alone.
RESUMABLE = frozenset(
    {
        "data.path",
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

# --- reading -------------------------------------------------------------------------------------

_MAX_BYTES = 100_000
_MAX_DEPTH = 20
_MAX_ERRORS = 20  # that are told; more say no more


class _Loader(yaml.SafeLoader):
    """Plain data only: no aliases, no tags, keys as they are written."""

    depth = 0

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Keep every key as it is written: 5, null and << are unknown keys like any other."""
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                mark = key.start_mark
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=mark)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        event = cast(Any, self).peek_event()
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases are not allowed here; quote a value that begins with *"
        elif getattr(event, "tag", None) is not None:
            problem = "tags are not allowed here; quote a value that begins with !"
        elif self.depth > _MAX_DEPTH:
            problem = "nested too deeply"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# Numbers are those of YAML 1.2: 2e-3 is one, 010 is ten, and 1:30 and dates are text.
_NUMBERS = {
    "int": r"[-+]?[0-9][0-9_]*\Z",
    "float": r"[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z"
    r"|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z",
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":bool", ":null"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern in _NUMBERS.items():
    _tag = f"tag:yaml.org,2002:{_kind}"
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list("-+.0123456789"))
_Loader.add_constructor(
    "tag:yaml.org,2002:int", lambda loader, node: int(node.value.replace("_", ""))
)


class Override(NamedTuple):
    """A value given on the command line: what, and the option that gave it, for messages."""

    value: Any
    place: str


def parse_override(text: str) -> tuple[str, Override]:
    """Read one `--set section.key=value`; the value is YAML.

    Raises:
        ConfigError: if the text has no `=`, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {shown(text)}: write it as section.key=value")
    try:
        return key.strip(), Override(yaml.load(value, _Loader), "--set")
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {shown(text)}: {_yaml_problem(error)}") from None


def load_config(
    path: Path | None = None, overrides: Mapping[str, Override] | None = None
) -> Config:
    """Read a YAML file (or nothing), lay `overrides` over it by dotted key, and validate.

    Raises:
        ConfigError: one line for each error: `file:line: section.key must …, got …`.
    """
    tree: dict[str, Any] = {}
    places: dict[tuple[str, ...], str] = {}
    if path is not None:
        tree = _read_yaml(path, places)
    for key, override in (overrides or {}).items():
        section, _, name = key.partition(".")
        keys = (section, name) if name else (section,)
        places.pop(keys, None)  # it is said last now
        places[keys] = override.place
        part = tree.setdefault(section, {})
        if not name:
            tree[section] = override.value
        elif isinstance(part, dict):
            part[name] = override.value
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        order, ranks = list(places), _ranks(places)
        last = len(order)
        errors = sorted(error.errors(), key=lambda found: ranks.get(_keys(found, order), last))
        lines = [_explain(found, places, path) for found in errors[:_MAX_ERRORS]]
        if len(errors) > _MAX_ERRORS:
            lines.append(f"and {len(errors) - _MAX_ERRORS:,} errors more")
        raise ConfigError("\n".join(lines)) from None


def parse_config_json(text: str) -> Config:
    """Read the config stored in a checkpoint.

    Raises:
        ConfigError: if it is not a valid config.
    """
    try:
        return Config.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(_explain(first, {}, None)) from None


def _read_yaml(path: Path, places: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """Read a file to a dictionary and note in `places` the line of each key."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_BYTES:,} bytes; is this a config?")
    try:
        loader: Any = _Loader(text)
        node = loader.get_single_node()
        tree = {} if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: {_yaml_problem(error)}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}:1: expected sections data, model, training, output")
    _note_lines(node, (), path, places)
    # A section with every key commented out is an empty section.
    return {name: {} if part is None else part for name, part in tree.items()}


def _note_lines(
    node: yaml.Node | None, keys: tuple[str, ...], path: Path, places: dict[tuple[str, ...], str]
) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        here = (*keys, str(key_node.value))
        place = f"{path}:{key_node.start_mark.line + 1}"
        if here in places:
            raise ConfigError(f"{place}: {'.'.join(here)} is given twice")
        places[here] = place
        _note_lines(value_node, here, path, places)


def _yaml_problem(error: Exception) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if "scanning an alias" in str(getattr(error, "context", "")):
        problem = "quote a value that begins with *"
    return f"not valid YAML: {problem}"


# --- error messages ------------------------------------------------------------------------------

_REASONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda ctx: f"must be > {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"must be >= {ctx['ge']:g}",
    "less_than": lambda ctx: f"must be < {ctx['lt']:.19g}",
    "less_than_equal": lambda ctx: f"must be <= {ctx['le']:g}",
    "literal_error": lambda ctx: f"must be {ctx['expected']}".replace("'", ""),
    "int_type": lambda ctx: "must be a whole number",
    "float_type": lambda ctx: "must be a number",
    "finite_number": lambda ctx: "must be a finite number",
    "bool_type": lambda ctx: "must be true or false",
    "string_type": lambda ctx: "must be text",
    "string_too_short": lambda ctx: "must not be empty",
    "tuple_type": lambda ctx: "must be a path or a list of paths",
    "model_type": lambda ctx: "must be a section of keys",
}


def _keys(error: ErrorDetails, order: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the key an error is about; of several, the one written last."""
    keys = tuple(str(part) for part in error["loc"])
    if error["type"] == "split":
        pair = [(*keys, "val_fraction"), (*keys, "test_fraction")]
        return max(pair, key=lambda key: order.index(key) if key in order else -1)
    return keys[:2]  # an item of a list is where the list is


def _ranks(order: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return where the file (then the command line) first speaks of each key and section."""
    ranks: dict[tuple[str, ...], int] = {}
    for rank, keys in enumerate(order):
        for length in range(len(keys) + 1):
            ranks.setdefault(keys[:length], rank)
    return ranks


def _explain(error: ErrorDetails, places: dict[tuple[str, ...], str], path: Path | None) -> str:
    keys = _keys(error, list(places))
    found = places.get(keys) or next((p for k, p in places.items() if k[: len(keys)] == keys), path)
    place = f"{found}: " if found else ""
    keys = tuple(str(part) for part in error["loc"][:2])
    name = shown(".".join(keys))
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{place}unknown key {name}{_did_you_mean(keys)}"
    if kind == "split":
        return f"{place}{name}.{error['msg']}"
    reason = _REASONS[kind](error.get("ctx", {})) if kind in _REASONS else error["msg"]
    return f"{place}{name} {reason}, got {shown(error['input'])}"


def _did_you_mean(keys: tuple[str, ...]) -> str:
    """Suggest the nearest key, in this section first, then anywhere."""
    sections = {name: list(part.model_fields) for name, part in section_models().items()}
    everything = [f"{name}.{key}" for name, part in sections.items() for key in part]
    if len(keys) == 1:
        moved = [key for key in everything if key.split(".")[1] == keys[0]]
        near = moved or difflib.get_close_matches(keys[0], list(sections), 1)
    else:
        near = [key for key in everything if key.split(".")[1] == keys[-1]]
        near = near or [
            f"{keys[0]}.{key}"
            for key in difflib.get_close_matches(keys[1], sections.get(keys[0], []), 1)
        ]
        near = near or difflib.get_close_matches(".".join(keys), everything, 1)
    return f"; did you mean {near[0]}?" if near else ""


def shown(value: Any) -> str:
    """Show a value in a few safe characters, as YAML writes it."""
    text = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    text = "null" if value is None else text
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= 60 else text[:57] + "..."


# --- writing -------------------------------------------------------------------------------------


def section_models() -> dict[str, type[BaseModel]]:
    """Return the model class of each section, in order."""
    return {
        "data": DataConfig,
        "model": ModelConfig,
        "training": TrainingConfig,
        "output": OutputConfig,
    }


_EDITOR_LINE = (
    "# yaml-language-server: $schema=schema.json  "
    "for completion: charnn config --schema > schema.json"
)


def commented_yaml(config: Config | None = None) -> str:
    """Return a config as YAML with a comment on every key (the defaults, when none is given)."""
    lines = [] if config else [_EDITOR_LINE]
    config = config or Config()
    for section, model in section_models().items():
        lines.append(f"{section}:  # {(model.__doc__ or '').strip().rstrip('.')}")
        for name, field in model.model_fields.items():
            value = getattr(getattr(config, section), name)
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 else list(value)
            shown = yaml.safe_dump(value, default_flow_style=True, width=10_000)
            entry = f"  {name}: {shown.removesuffix('...' + chr(10)).strip()}"
            lines.append(f"{entry:<33} # {field.description}")
        lines.append("")
    return "\n".join(lines)


class _Untitled(GenerateJsonSchema):
    """A key's name is title enough."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file.

    It judges each key by itself: `val_fraction + test_fraction < 1` is beyond it.
    """
    schema = Config.model_json_schema(schema_generator=_Untitled)
    return {"$schema": _Untitled.schema_dialect, **schema}
