"""Checkpoints: one `.npz` that `numpy.load(file, allow_pickle=False)` reads.

Members (docs/checkpoint.md describes them for other programs):

    format_version   1
    checksum         SHA-256 over all other members
    config           the whole resolved config, JSON text
    progress         where training stands, JSON text (see `Progress`)
    vocabulary       (K,) code points
    U0, W0, b0, U1 … V, c       the parameters (see `model.parameter_shapes`), averaged if asked for
    hidden_state     (L, B, H), h at the end of the last step      } not in a best
    optimizer.NAME   (P,), one for each slot of the optimizer      } checkpoint
    optimizer.theta  (P,), the parameters the average is of        }

Saving is atomic: a temporary file in the same folder, flushed to disk and read back, then renamed
over the old one. Loading trusts nothing: every header is checked against the file's size before an
array is read, and every array against the config, the vocabulary and the checksum.
"""

import contextlib
import glob
import hashlib
import math
import os
import re
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, NonNegativeFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from charnn.config import Config, parse_config_json
from charnn.corpus import Vocabulary
from charnn.errors import CheckpointError, ConfigError, DivergenceError
from charnn.model import RNN, parameter_shapes
from charnn.optimizers import make_optimizer

FORMAT_VERSION = 1
_MEMBER = re.compile(
    r"format_version|checksum|config|progress|vocabulary|[UWb][0-9]{1,4}|V|c|hidden_state"
    r"|optimizer\.[a-z]+"
)
_MAX_DIRECTORY = 1_000_000  # bytes of the zip's list of members: room for thousands of them
_MAX_TEXT = 250_000  # characters of the config: room for thousands of paths

# What a damaged or hostile zip makes zipfile raise, besides our own ValueErrors.
_UNREADABLE = (
    ValueError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
)


Count = Annotated[int, Field(ge=0, lt=2**63)]


@checked_dataclass(config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class Progress:
    """Where training stands: with the arrays, all that the next step depends on.

    No time is in it: the same run gives the same file, byte for byte.

    Attributes:
        fingerprint: SHA-256 of the corpus.
        step: steps done; the place in the corpus follows from it.
        val_loss: of the last validation, nats per character.
        best_val_loss: the lowest so far.
        best_step: when that was.
        evals_since_best: validations since then.
        logged_step: step of the last line of the metrics log; the rest counts from there.
        nats: training loss summed over `characters`.
        characters: predictions trained on.
        clipped_steps: steps whose gradient was clipped.
        grad_norm: of the last step, before clipping.
        rollbacks: how often the run diverged and went back; each halves the learning rate.
        smoothed_loss: running mean of the training loss, see `charnn.divergence`.
        lowest_loss: its lowest so far.
        steps_above_uniform: steps in a row for which it has been above uniform guessing.
        steps_above_best: steps in a row for which it has been far above its lowest.
    """

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    step: Count = 0
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: Count | None = None
    evals_since_best: Count = 0
    logged_step: Count = 0
    nats: NonNegativeFloat = 0.0
    characters: Count = 0
    clipped_steps: Count = 0
    grad_norm: NonNegativeFloat = 0.0
    rollbacks: Count = 0
    smoothed_loss: NonNegativeFloat | None = None
    lowest_loss: NonNegativeFloat | None = None
    steps_above_uniform: Count = 0
    steps_above_best: Count = 0

    @property
    def learning_rate_factor(self) -> float:
        """What the learning rate of the schedule is multiplied by."""
        return 0.5**self.rollbacks


_PROGRESS = TypeAdapter(Progress)


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
    model: RNN
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
            "config": np.array(self.config.model_dump_json()),
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


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Call `write` with a temporary file beside `path`, then rename that to `path`."""
    handle, name = tempfile.mkstemp(".tmp", _prefix(path), path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    _flush_folder(path.parent)


def _prefix(path: Path) -> str:
    return f".{path.name}."


def remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed while it wrote `path` has left beside it."""
    for leftover in path.parent.glob(f"{glob.escape(_prefix(path))}*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power failure, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _checksum(members: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(members):
        array = members[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        if array.nbytes:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # no copy
    return digest.hexdigest()


# --- loading -------------------------------------------------------------------------------------


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


def _read_members(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """Read every array of an npz whose headers agree with the size of the file."""
    limited = _Limited(file, _MAX_DIRECTORY)
    with zipfile.ZipFile(cast(IO[bytes], limited)) as archive:
        limited.limit = size  # the list of members is read; now the members
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name in entries:
                raise ValueError(f"member {name!r:.60} is there twice")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ValueError(f"member {name!r:.60} is compressed or encrypted")
            entries[name] = entry
        if sum(entry.file_size for entry in entries.values()) > size:
            raise ValueError("its members claim more bytes than the file has")
        members: dict[str, NDArray[Any]] = {}
        # The version first: a later one may have other members.
        for name in sorted(entries, key=lambda name: name != "format_version"):
            if not _MEMBER.fullmatch(name):
                raise ValueError(f"unexpected member {name!r:.60}")
            members[name] = _read_array(name, archive.read(entries[name]))
            if name == "format_version":
                _check_version(members)
        return members


class _Limited:
    """A file whose reads are refused when they are longer than they can have reason to be."""

    def __init__(self, file: IO[bytes], limit: int):
        self._file = file
        self.limit = limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, or all that is left."""
        content = self._file.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(content) > self.limit:
            raise ValueError("its list of members, or one of them, is longer than it can be")
        return content


def _check_version(members: Mapping[str, NDArray[Any]]) -> None:
    version = int(_take(dict(members), "format_version", "i", ()))
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version}; this charnn reads version {FORMAT_VERSION}")


# A .npy header, version 1.0, as numpy writes it: a plain type, C order, a shape of sane lengths.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>[<|>][iufU][0-9]{1,7})', 'fortran_order': False, "
    rb"'shape': \((?P<shape>|[0-9]{1,18},|[0-9]{1,18}(?:, [0-9]{1,18}){1,9})\), \} *\n",
    re.DOTALL,
)


def _read_array(name: str, raw: bytes) -> NDArray[Any]:
    """Read one `.npy` member; the header must account for every byte."""
    header = _HEADER.match(raw)
    if not header or int.from_bytes(header["length"], "little") != header.end() - 10:
        raise ValueError(f"member {name} has a type or layout that is not allowed")
    try:
        dtype = np.dtype(header["dtype"].decode())
    except TypeError as error:
        raise ValueError(f"member {name}: {error}") from None
    shape = tuple(int(length) for length in header["shape"].split(b",") if length)
    if math.prod(shape) * dtype.itemsize != len(raw) - header.end():
        raise ValueError(f"member {name} does not have the size its header claims")
    return np.frombuffer(raw, dtype, math.prod(shape), header.end()).reshape(shape)


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
    sizes = len(vocabulary), config.model.hidden_size, config.model.num_layers
    if len(members) < 2 + 3 * sizes[2]:
        raise ValueError(f"{len(members)} arrays are too few for {sizes[2]} layers")
    dtype = np.dtype(config.training.dtype)
    arrays = {
        name: _take(members, name, dtype, shape) for name, shape in parameter_shapes(*sizes).items()
    }
    model = RNN(*sizes, config.model.activation, dtype)
    for name, array in arrays.items():
        model.parameters[name][...] = array
    checkpoint = Checkpoint(config, vocabulary, model, progress)
    if "hidden_state" in members:
        # The batch may have been smaller than the config says, for a short text.
        B = np.prod(members["hidden_state"].shape[1:2], dtype=int)
        expected = (sizes[2], int(np.clip(B, 1, config.training.batch_size)), sizes[1])
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


def _take_text(members: dict[str, NDArray[Any]], name: str) -> str:
    """Take a member of JSON text out, if it is there and not longer than any that is saved."""
    array = _take(members, name, "U", ())
    if array.itemsize > 4 * _MAX_TEXT:
        raise ValueError(f"{name} is longer than {_MAX_TEXT:,} characters")
    return str(array)


def _take(
    members: dict[str, NDArray[Any]],
    name: str,
    dtype: np.dtype[Any] | str,
    shape: tuple[int, ...],
) -> NDArray[Any]:
    """Take a member out, if it is there with this dtype (or kind) and shape and is finite."""
    if name not in members:
        raise ValueError(f"{name} is missing")
    array = members.pop(name)
    right = array.dtype.kind == dtype if isinstance(dtype, str) else array.dtype == dtype
    if not right or array.shape != shape:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}, expected {np.dtype(dtype).name} {shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array
