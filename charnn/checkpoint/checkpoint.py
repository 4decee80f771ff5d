"""TODO."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from charnn.checkpoint.npz import (
    _MAX_TEXT,
    _UNREADABLE,
    FORMAT_VERSION,
    _checksum,
    _read_members,
    _take,
    _take_text,
)
from charnn.checkpoint.progress import _PROGRESS, Progress
from charnn.config.keys import Config
from charnn.config.loading import parse_config_json
from charnn.config.writing import config_json
from charnn.errors import CheckpointError, ConfigError, DivergenceError
from charnn.files import write_atomically
from charnn.network.network import Network
from charnn.network.spec import Spec
from charnn.optimizers import make_optimizer
from charnn.text.vocabulary import Vocabulary


@dataclass
class Checkpoint:
    """A model with all that sampling, evaluating and resuming need.

    Attributes:
        config: the resolved config of the run.
        vocabulary: K characters.
        model: the network with its parameters.
        progress: where training stands.
        hidden_state: (L, B, H), or None in a best checkpoint, which cannot be resumed.
        slots: the optimizer's memory by name, each (P,), and as `theta` the parameters whose
            running mean the model is, if it is one; empty in a best checkpoint.
    """

    config: Config
    vocabulary: Vocabulary
    model: Network
    progress: Progress
    hidden_state: NDArray[Any] | None = None
    slots: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def resumable(self) -> bool:
        """Whether it holds the optimizer's memory and the hidden state."""
        return self.hidden_state is not None

    def save(self, path: Path) -> None:
        """Write the file atomically: at any moment `path` is the old file or the new one, whole.

        Raises:
            CheckpointError: if it cannot be written, or its config has too many paths; an older
                file is then untouched.
            DivergenceError: if an array holds a value that is not finite; likewise.
        """
        members: dict[str, NDArray[Any]] = {
            "format_version": np.array(FORMAT_VERSION),
            "config": np.array(config_json(self.config)),
            "progress": np.array(_PROGRESS.dump_json(self.progress).decode()),
            "vocabulary": self.vocabulary.code_points,
            **self.model.parameters,
        }
        if self.hidden_state is not None:
            members["hidden_state"] = self.hidden_state
            members |= {f"optimizer.{name}": slot for name, slot in self.slots.items()}
        for name, array in members.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DivergenceError(
                    f"{name} holds values that are not finite, so {path} was not written"
                )
        if members["config"].itemsize > 4 * _MAX_TEXT:
            raise CheckpointError(
                f"{path}: cannot be written: data.path is too long; name a folder or a glob"
            )
        checksum = _checksum(members)
        members["checksum"] = np.array(checksum)

        def write(file: IO[bytes]) -> None:
            np.savez(file, **cast(Any, members))
            file.flush()
            os.fsync(file.fileno())
            # What the disk holds is read back before an older file is given up for it.
            written = _read_members(file, file.tell())
            if str(written.pop("checksum")) != checksum or _checksum(written) != checksum:
                raise OSError("what was written cannot be read back")

        try:
            write_atomically(path, write)
        except (OSError, *_UNREADABLE) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(f"{path}: cannot be written: {reason}") from None


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint, checking everything.

    Raises:
        CheckpointError: one line that names the file and what is wrong with it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _build(_read_members(file, os.fstat(file.fileno()).st_size))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except (ConfigError, *_UNREADABLE) as error:
        # zipfile's own words may hold as much of the file as they have found.
        reason = f"{error!s:.200}" if isinstance(error, zipfile.BadZipFile) else error
        raise CheckpointError(f"{path}: not a usable checkpoint: {reason}") from None


def _build(members: dict[str, NDArray[Any]]) -> Checkpoint:
    checksum = str(_take(members, "checksum", "U", ()))
    if checksum != _checksum(members):
        raise ValueError("the checksum does not match: the file was damaged or changed")
    _take(members, "format_version", "i", ())
    config = parse_config_json(_take_text(members, "config"))
    try:
        progress = _PROGRESS.validate_json(_take_text(members, "progress"))
    except ValidationError as error:
        raise ValueError(f"its progress is not valid: {error.errors()[0]['msg']}") from None
    vocabulary = _vocabulary(members)
    dtype, layers = np.dtype(config.training.dtype), config.model.num_layers
    if len(members) < 2 + 3 * layers:
        raise ValueError(f"{len(members)} arrays are too few for {layers} layers")
    spec = Spec.from_config(config.model, len(vocabulary), dtype)
    arrays = {name: _take(members, name, dtype, shape) for name, shape in spec.shapes.items()}
    model = Network.from_config(config.model, len(vocabulary), dtype)
    for name, array in arrays.items():
        model.parameters[name][...] = array
    checkpoint = Checkpoint(config, vocabulary, model, progress)
    if "hidden_state" in members:
        # The batch may have been smaller than the config says, for a short text.
        B = np.prod(members["hidden_state"].shape[1:2], dtype=int)
        expected = spec.state_shape(int(np.clip(B, 1, config.training.batch_size)))
        checkpoint.hidden_state = _take(members, "hidden_state", dtype, expected).copy()
        slots = [*make_optimizer(config.training, model.parameters.flat[:0]).slots]
        if config.training.ema_decay:
            slots.append("theta")
        checkpoint.slots = {
            name: _take(members, f"optimizer.{name}", dtype, model.parameters.flat.shape).copy()
            for name in slots
        }
    if members:
        raise ValueError(f"unexpected member {min(members)!r}")
    return checkpoint


def _vocabulary(members: dict[str, NDArray[Any]]) -> Vocabulary:
    shape = members["vocabulary"].shape if "vocabulary" in members else ()
    points = _take(members, "vocabulary", np.dtype(np.uint32), shape)
    surrogate = (points >= 0xD800) & (points < 0xE000)
    if points.ndim != 1 or not len(points) or int(points.max()) > 0x10FFFF or surrogate.any():
        raise ValueError("the vocabulary is not a list of Unicode code points")
    if (points[1:] <= points[:-1]).any():
        raise ValueError("the vocabulary repeats characters or is not sorted")
    return Vocabulary(points.astype("<u4").tobytes().decode("utf-32-le"))
