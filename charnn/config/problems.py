"""The errors in a config: one line for each error, with its place."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from charnn.showing import show_value

Known = Mapping[str, Iterable[str]]  # The keys of each section.
Keys = tuple[str, ...]  # A section, or a section and a key, or () for the whole config.
Places = dict[Keys, str]  # Where each of them was written: FILE:LINE or an option, in this order.

# The names of these keys in other programs.
_ALIASES = {
    "batch": "batch_size",
    "block_size": "seq_length",
    "bptt": "seq_length",
    "cell_type": "cell",
    "checkpoint_every": "save_every",
    "clip": "clip_norm",
    "context": "seq_length",
    "decay": "weight_decay",
    "dropout_rate": "dropout",
    "epoch": "epochs",
    "eval_interval": "eval_every",
    "eval_val_every": "eval_every",
    "grad_clip": "clip_norm",
    "hidden": "hidden_size",
    "hidden_dim": "hidden_size",
    "iterations": "max_steps",
    "iters": "max_steps",
    "layers": "num_layers",
    "lr": "learning_rate",
    "max_epochs": "epochs",
    "max_grad_norm": "clip_norm",
    "max_iters": "max_steps",
    "model": "cell",
    "model_type": "cell",
    "n_embd": "hidden_size",
    "n_epochs": "epochs",
    "n_hidden": "hidden_size",
    "n_layer": "num_layers",
    "n_layers": "num_layers",
    "nepochs": "epochs",
    "num_epochs": "epochs",
    "num_steps": "max_steps",
    "num_units": "hidden_size",
    "optim": "optimizer",
    "print_every": "log_every",
    "rnn_size": "hidden_size",
    "rnn_type": "cell",
    "seq_len": "seq_length",
    "sequence_length": "seq_length",
    "steps": "max_steps",
    "type": "cell",
    "units": "hidden_size",
    "val_frac": "val_fraction",
    "warmup": "warmup_steps",
    "wd": "weight_decay",
}
_MAX_ERRORS = 20  # Errors reported; the rest are only counted.
_NOT_TEXT = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?|true|false|null")
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
    "string_unicode": lambda ctx: "must be text in UTF-8 (a checkpoint keeps it; rename the file)",
    "string_too_short": lambda ctx: "must not be empty",
    "tuple_type": lambda ctx: "must be a path or a list of paths",
    "model_type": lambda ctx: "must be a section of keys",
}
# Errors about two keys that contradict each other.
_PAIRS = {
    "split": ("val_fraction", "test_fraction"),
    "activation": ("cell", "activation"),
    "rates": ("learning_rate", "min_learning_rate"),
}


def explain_all(error: ValidationError, known: Known, places: Places, path: Path | None) -> str:
    """Return one line for each error, at most 20, in the order of the file, then of the options.

    Args:
        error: the error from pydantic.
        known: all keys, to suggest one for an unknown key.
        places: where each key was written.
        path: the config file, for errors without a place of their own.
    """
    order = _order(places)
    errors = sorted(error.errors(), key=lambda one: order.get(_keys(one, places), len(places)))
    lines = [_explain(one, known, places, path) for one in errors[:_MAX_ERRORS]]
    if len(errors) > _MAX_ERRORS:
        lines.append(f"and {len(errors) - _MAX_ERRORS:,} errors more")
    return "\n".join(lines)


def explain_first(error: ValidationError, known: Known) -> str:
    """Return one line for the first error of a config that has no places."""
    return _explain(error.errors()[0], known, {}, None)


def _order(places: Iterable[Keys]) -> Mapping[Keys, int]:
    """Return the position at which each key and each section is first mentioned."""
    order: dict[Keys, int] = {}
    for position, keys in enumerate(places):
        for length in range(len(keys) + 1):
            order.setdefault(keys[:length], position)
    return order


def _keys(error: ErrorDetails, places: Places) -> Keys:
    """Return the key that an error is about. If it is about two, return the one written last."""
    keys = tuple(str(part) for part in error["loc"])
    if error["type"] in _PAIRS:
        written = list(places)
        pair = [(*keys, name) for name in _PAIRS[error["type"]]]
        return max(pair, key=lambda key: written.index(key) if key in places else -1)
    return keys[:2]  # An item of a list has the place of the list.


def _explain(error: ErrorDetails, known: Known, places: Places, path: Path | None) -> str:
    keys = _keys(error, places)
    found = places.get(keys) or next((p for k, p in places.items() if k[: len(keys)] == keys), path)
    place = f"{found}: " if found else ""
    keys = tuple(str(part) for part in error["loc"][:2])
    name = show_value(".".join(keys))
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{place}unknown key {name}{_did_you_mean(keys, known)}"
    if kind in _PAIRS:
        return f"{place}{name}{'.' if name else ''}{error['msg']}"
    reason = _REASONS[kind](error.get("ctx", {})) if kind in _REASONS else error["msg"]
    return f"{place}{name} {reason}, got {_shown(error['input'])}"


def _shown(value: Any) -> str:
    """Show a value. Mark text in quotes that YAML would read as another type without them."""
    shown = show_value(value)
    if value == "":
        return "nothing"
    return (
        f"'{shown}' in quotes" if isinstance(value, str) and _NOT_TEXT.fullmatch(value) else shown
    )


def usual_name(name: str) -> str:
    """Return charnn's name of a key that has this name in other programs."""
    return _ALIASES.get(name.lower(), name)


def _did_you_mean(keys: Keys, known: Known) -> str:
    """Suggest the nearest key, first of the same section, then of any."""
    sections = {name: list(part) for name, part in known.items()}
    everything = [f"{name}.{key}" for name, part in sections.items() for key in part]
    keys = (*keys[:-1], usual_name(keys[-1]))
    if len(keys) == 1:
        names = [key.split(".")[1] for key in everything]
        near = difflib.get_close_matches(keys[0], [*sections, *names], 1)
        near = [everything[names.index(key)] if key in names else key for key in near]
    else:
        near = [key for key in everything if key.split(".")[1] == keys[-1]]
        near = near or [
            f"{keys[0]}.{key}"
            for key in difflib.get_close_matches(keys[1], sections.get(keys[0], []), 1)
        ]
        near = near or difflib.get_close_matches(".".join(keys), everything, 1)
    return f"; did you mean {near[0]}?" if near else ""
