"""Checkpoints: one `.npz` file, which `numpy.load(path, allow_pickle=False)` can read.

Its members (docs/checkpoint.md describes them for other programs):

    format_version   1, or 2 if the config has a key that version 1 does not have
    checksum         SHA-256 over all other members
    config           the resolved config, JSON text
    progress         how far training has come, JSON text (see `Progress`)
    vocabulary       (K,) code points
    U0, W0, b0, U1 … V, c       the parameters, or their running mean (`ema_decay`)
    hidden_state     (S, B, H), h (and s) after the last step      } not in a best
    optimizer.NAME   (P,), one for each slot of the optimizer      } checkpoint
    optimizer.theta  (P,), the parameters whose mean is above      }

Saving is atomic: a temporary file in the same folder is flushed to disk, read back, and renamed to
the checkpoint's name. Loading checks everything: headers are checked against the size of the file
before arrays are read, and arrays against the config, the vocabulary and the checksum.
"""

import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.checkpoint.members import MAX_TEXT, Members, write_members
from charnn.checkpoint.npz import UNREADABLE
from charnn.checkpoint.progress import Progress, parse_progress_json
from charnn.config.keys import Config
from charnn.config.loading import parse_config_json
from charnn.config.writing import config_json, has_added_keys
from charnn.errors import CheckpointError, ConfigError, DivergenceError
from charnn.files import write_atomically
from charnn.network.network import Network
from charnn.network.spec import Spec
from charnn.optimizers import make_optimizer
from charnn.showing import BOUNDARY, Shown
from charnn.text.encoding import text_of
from charnn.text.vocabulary import Vocabulary


@dataclass(repr=False)
class Checkpoint(Shown):
    """A model with everything that sampling, evaluating and resuming need.

    Attributes:
        config: the resolved config of the run.
        vocabulary: K characters.
        model: the network with its parameters.
        progress: how far training has come.
        hidden_state: (S, B, H), or None in a best checkpoint, which cannot be resumed.
        slots: the optimizer's state by name, each (P,). If the model is a running mean, `theta` is
            the parameters under training. Empty in a best checkpoint.
    """

    config: Config
    vocabulary: Vocabulary
    model: Network
    progress: Progress
    hidden_state: NDArray[Any] | None = None
    slots: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def resumable(self) -> bool:
        """Whether it has the optimizer's state and the hidden state."""
        return self.hidden_state is not None

    def __str__(self) -> str:
        kind = "resumable" if self.resumable else "not resumable"
        return f"{self.progress}, {kind}" + self._lines("model", "vocabulary")

    def save(self, path: Path) -> None:
        """Write the file atomically: at any moment, `path` is the complete old or new file.

        Raises:
            CheckpointError: if the file cannot be written, or the config has too many paths.
            DivergenceError: if an array has a value that is not finite.
            After either error, an older file is unchanged.
        """
        arrays: dict[str, NDArray[Any]] = {
            "config": np.array(config_json(self.config)),
            "progress": np.array(self.progress.json()),
            "vocabulary": self.vocabulary.code_points,
            **self.model.parameters,
        }
        if self.hidden_state is not None:
            arrays["hidden_state"] = self.hidden_state
            arrays |= {f"optimizer.{name}": slot for name, slot in self.slots.items()}
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DivergenceError(
                    f"{name} holds values that are not finite, so {path} was not written"
                )
        if arrays["config"].itemsize > 4 * MAX_TEXT:
            raise CheckpointError(
                f"{path}: cannot be written: the config has more than {MAX_TEXT:,} characters; "
                "instead of many files in data.path, name a folder or a glob"
            )
        version = 2 if has_added_keys(self.config) else 1
        try:
            write_atomically(path, lambda file: write_members(file, arrays, version))
        except (OSError, *UNREADABLE) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(f"{path}: cannot be written: {reason}") from None


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint and check everything in it.

    Example:
        checkpoint = charnn.load("run.best.npz")
        print(checkpoint.model.num_parameters, checkpoint.progress.best_val_loss)

    Args:
        path: of the `.npz` file.

    Raises:
        CheckpointError: if it cannot be used. One line names the file and the reason.
    """
    path = Path(path)
    try:
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # opening a pipe could wait for ever
            raise CheckpointError(f"{path}: not a file; write the checkpoint to a file first")
        with path.open("rb") as file:
            return _build(Members.read(file, os.fstat(file.fileno()).st_size))
    except OSError as error:
        named = f"{path}.npz"
        known = isinstance(error, FileNotFoundError) and os.access(named, os.R_OK)
        hint = f"; did you mean {named}?" if known else ""
        raise CheckpointError(f"{path}: {error.strerror or error}{hint}") from None
    except (ConfigError, *UNREADABLE) as error:
        # The messages of zipfile may quote the file at length.
        reason = f"{error!s:.200}" if isinstance(error, zipfile.BadZipFile) else error
        raise CheckpointError(f"{path}: not a usable checkpoint: {reason}") from None


def _build(members: Members) -> Checkpoint:
    members.take_seal()
    config = parse_config_json(members.take_text("config"))
    progress = parse_progress_json(members.take_text("progress"))
    vocabulary = _take_vocabulary(members, config.data.documents is not None)
    model = _take_model(members, config, len(vocabulary))
    checkpoint = Checkpoint(config, vocabulary, model, progress)
    if "hidden_state" in members:
        checkpoint.hidden_state = _take_hidden_state(members, config, model)
        checkpoint.slots = _take_slots(members, config, model)
    members.check_none_left()
    return checkpoint


def _take_vocabulary(members: Members, has_boundary: bool) -> Vocabulary:
    points = members.take("vocabulary", np.dtype(np.uint32), members.shape("vocabulary"))
    boundary = points == ord(BOUNDARY)
    surrogate = (points >= 0xD800) & (points < 0xE000) & ~boundary
    if points.ndim != 1 or not len(points) or int(points.max()) > 0x10FFFF or surrogate.any():
        raise ValueError("the vocabulary is not a list of Unicode code points")
    if (points[1:] <= points[:-1]).any():
        raise ValueError("the vocabulary repeats characters or is not sorted")
    if boundary.any() != has_boundary:
        raise ValueError("data.documents and the boundary in the vocabulary contradict each other")
    return Vocabulary(text_of(points))


def _take_model(members: Members, config: Config, vocab_size: int) -> Network:
    dtype, layers = np.dtype(config.training.dtype), config.model.num_layers
    if layers > len(members):
        raise ValueError(f"{len(members)} arrays are too few for {layers} layers")
    # All arrays are checked before the network allocates memory for its parameters.
    shapes = Spec.from_config(config.model, vocab_size, dtype).shapes
    arrays = {name: members.take(name, dtype, shape) for name, shape in shapes.items()}
    model = Network.from_config(config.model, vocab_size, dtype)
    for name, array in arrays.items():
        model.parameters[name][...] = array
    return model


def _take_hidden_state(members: Members, config: Config, model: Network) -> NDArray[Any]:
    # For a short text, the batch is smaller than the config says.
    B = np.prod(members.shape("hidden_state")[1:2], dtype=int)
    B = int(np.clip(B, 1, config.training.batch_size))
    return members.take("hidden_state", model.dtype, model.spec.state_shape(B)).copy()


def _take_slots(members: Members, config: Config, model: Network) -> dict[str, NDArray[Any]]:
    theta = model.parameters.flat
    names = [*make_optimizer(config.training, theta[:0]).slots]
    if config.training.ema_decay:
        names.append("theta")
    return {
        name: members.take(f"optimizer.{name}", model.dtype, theta.shape).copy() for name in names
    }
