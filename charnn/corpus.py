"""Text to character ids: reading, the vocabulary, the splits, and the streams a run trains on."""

import glob
import gzip
import hashlib
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charnn.errors import CorpusError

Ids = NDArray[np.unsignedinteger[Any]]
SplitName = Literal["train", "val", "test", "all"]


class UnknownCharactersError(CorpusError):
    """A text holds characters that the vocabulary does not."""


# --- the vocabulary ------------------------------------------------------------------------------


class Vocabulary:
    """The K characters a model knows: id k stands for the k-th smallest code point.

    Attributes:
        code_points: (K,) uint32, strictly increasing.
    """

    def __init__(self, characters: str):
        """Collect the distinct characters of a text.

        Raises:
            CorpusError: if there are none.
        """
        if not characters:
            raise CorpusError("a vocabulary needs at least one character")
        self.code_points = np.unique(_code_points(characters))

    def __len__(self) -> int:
        return len(self.code_points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and np.array_equal(self.code_points, other.code_points)

    def __hash__(self) -> int:
        return hash(self.code_points.tobytes())

    def __contains__(self, character: str) -> bool:
        return character in self.characters

    @property
    def characters(self) -> str:
        """All K characters, in the order of their ids."""
        return _text(self.code_points)

    def encode(self, text: str, *, unknown: Literal["error", "skip"] = "error") -> Ids:
        """Return the ids of a text, (N,), in the smallest unsigned dtype that holds K ids.

        Args:
            text: N characters.
            unknown: what to do with characters outside the vocabulary: raise, or leave them out.

        Raises:
            UnknownCharactersError: naming the first few unknown characters and their places.
        """
        points = _code_points(text)
        # One table look-up per character; the last entry stands for "unknown".
        table = np.full(int(self.code_points[-1]) + 2, len(self), np.uint32)
        table[self.code_points] = np.arange(len(self), dtype=np.uint32)
        ids = table[np.minimum(points, len(table) - 1)]
        known = ids < len(self)
        if not known.all():
            if unknown == "error":
                raise UnknownCharactersError(_describe_unknown(text, np.flatnonzero(~known)))
            ids = ids[known]
        return ids.astype(np.min_scalar_type(len(self) - 1))

    def decode(self, ids: NDArray[np.integer[Any]] | Sequence[int]) -> str:
        """Return the text of some ids (any shape, read in C order)."""
        return _text(self.code_points[np.asarray(ids, dtype=np.intp)])

    def one_hot(
        self, ids: NDArray[np.integer[Any]] | Sequence[int], dtype: DTypeLike = np.float32
    ) -> NDArray[Any]:
        """Return the vectors x of some ids: shape ids.shape + (K,), 1 at the id and 0 elsewhere.

        U @ one_hot(k) is column k of U, which is what the model reads instead.
        """
        return np.eye(len(self), dtype=dtype)[np.asarray(ids, dtype=np.intp)]


def show_character(character: str) -> str:
    """Return a character and its code point, control characters escaped: 'é' (U+00E9)."""
    shown = character if character.isprintable() else character.encode("unicode_escape").decode()
    return f"'{shown}' (U+{ord(character):04X})"


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _text(code_points: NDArray[np.uint32]) -> str:
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _describe_unknown(text: str, places: NDArray[np.intp]) -> str:
    """Name the first few different unknown characters, each with its first place."""
    firsts: dict[str, int] = {}
    for place in places:
        firsts.setdefault(text[place], int(place))
    named = []
    for character, place in list(firsts.items())[:5]:
        line = text.count("\n", 0, place) + 1
        column = place - (text.rfind("\n", 0, place) + 1) + 1
        named.append(f"{show_character(character)} at line {line}, column {column}")
    more = f" and {len(firsts) - 5} more" if len(firsts) > 5 else ""
    subject = "1 character is" if len(places) == 1 else f"{len(places):,} characters are"
    return f"{subject} not in the vocabulary ({len(firsts)} different): {'; '.join(named)}{more}"


# --- reading -------------------------------------------------------------------------------------


def read_text(paths: Sequence[str], *, normalize_newlines: bool = False) -> str:
    """Read UTF-8 text from files, `.gz` files, folders (their *.txt, sorted), globs, or `-`.

    Several texts are joined as they are. A byte-order mark is dropped, line ends are kept unless
    `normalize_newlines`.

    Raises:
        CorpusError: naming the path and what is wrong with it.
    """
    text = "".join(map(_read_one, files_named(paths)))
    if normalize_newlines:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def files_named(paths: Sequence[str]) -> list[str]:
    """Return the files that some paths name, in order; standard input stays `-`.

    Raises:
        CorpusError: for a folder without *.txt, or a glob that nothing matches.
    """
    files: list[str] = []
    for given in paths:
        try:
            files += _expand(given)
        except OSError as error:
            raise CorpusError(f"{given}: {error.strerror or error}") from None
    return files


def _expand(given: str) -> list[str]:
    if not given:
        raise CorpusError("the path of a text is empty")
    if given == "-" or Path(given).is_file():
        return [given]
    if Path(given).is_dir():
        texts = (path for path in Path(given).iterdir() if path.name.endswith(".txt"))
        files = sorted(str(path) for path in texts if path.is_file())
        if not files:
            raise CorpusError(f"{given}: a folder without *.txt files")
        return files
    if any(mark in given for mark in "*?["):
        files = sorted(
            path
            for path in glob.glob(given, recursive=True)  # noqa: PTH207
            if Path(path).is_file()
        )
        if not files:
            raise CorpusError(f"{given}: no file matches")
        return files
    return [given]


def _read_one(path: str) -> str:
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            raw = sys.stdin.buffer.read()
        elif path.endswith(".gz"):
            with gzip.open(path) as file:
                raw = file.read()
        else:
            raw = Path(path).read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte-order mark.
        start = error.start + len(raw) - len(error.object)
        line = raw.count(b"\n", 0, start) + 1
        wrong = raw[start]
        raise CorpusError(
            f"{name}:{line}: not UTF-8 text: byte 0x{wrong:02x} at offset {start:,}; "
            "convert it first, for instance with iconv"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(f"{name}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise CorpusError(f"{name}: {error.strerror or error}") from None
    except ValueError as error:
        raise CorpusError(f"{name}: {error}") from None


# --- splits --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corpus:
    """An encoded text and its contiguous splits, in order: train, validation, test.

    Attributes:
        vocabulary: of the whole text, all splits.
        ids: (N,) character ids.
        fingerprint: SHA-256 of the text's UTF-8 bytes, in hexadecimal.
        val_fraction: share of the text that validates.
        test_fraction: share of the text kept for the test.
    """

    vocabulary: Vocabulary
    ids: Ids
    fingerprint: str
    val_fraction: float = 0.0
    test_fraction: float = 0.0

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        vocabulary: Vocabulary | None = None,
        val_fraction: float = 0.0,
        test_fraction: float = 0.0,
    ) -> Self:
        """Encode a text with its own vocabulary, or a given one.

        Raises:
            CorpusError: if there are too few characters to predict one.
            UnknownCharactersError: if the given vocabulary lacks characters of the text.
        """
        if len(text) < 2:
            found = "is empty" if not text else "holds one character"
            raise CorpusError(f"the text {found}; predicting takes at least 2 characters")
        vocabulary = vocabulary or Vocabulary(text)
        corpus = cls(
            vocabulary,
            vocabulary.encode(text),
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
            val_fraction,
            test_fraction,
        )
        for name in ("train", "val", "test"):
            part = corpus.split(name)
            wanted = name == "train" or getattr(corpus, f"{name}_fraction") > 0
            if wanted and len(part) < 2:
                raise CorpusError(
                    f"{len(text):,} characters leave {len(part)} for the {name} split; "
                    "use a longer text, or smaller data.val_fraction and data.test_fraction"
                )
        return corpus

    def split(self, name: SplitName) -> Ids:
        """Return the ids of one split (a view)."""
        n = len(self.ids)
        # Computed from the start, so that 10 % of validation is the last 10 % to the character.
        val_start = int(n * (1 - self.val_fraction - self.test_fraction) + 1e-9)
        test_start = int(n * (1 - self.test_fraction) + 1e-9)
        bounds = {
            "train": (0, val_start),
            "val": (val_start, test_start),
            "test": (test_start, n),
            "all": (0, n),
        }
        start, end = bounds[name]
        return self.ids[start:end]


# --- streams -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Streams:
    """A text cut into B parallel streams and read T characters at a time.

    N ids give N - 1 predictions, (N - 1) // B for each stream (the few left over are not used).
    An epoch reads every stream once; a leftover shorter than T is one shorter window, unless
    `drop_last`, which also leaves out a full window that nothing follows (min-char-rnn's rule).

    Attributes:
        ids: (N,) the training text.
        batch_size: B.
        seq_length: T.
        drop_last: whether the shorter window is left out.
    """

    ids: Ids
    batch_size: int
    seq_length: int
    drop_last: bool = False

    @property
    def stream_length(self) -> int:
        """Predictions in each stream."""
        return (len(self.ids) - 1) // self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Windows in one epoch, at least 1."""
        if self.drop_last:
            return max(1, (self.stream_length - 1) // self.seq_length)
        return -(-self.stream_length // self.seq_length)

    def characters(self, steps: int) -> int:
        """Return how many characters the first `steps` steps predict."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        per_epoch = min(self.steps_per_epoch * self.seq_length, self.stream_length)
        return (epochs * per_epoch + rest * self.seq_length) * self.batch_size

    def starts_epoch(self, step: int) -> bool:
        """Whether a step (counted from 0, over all epochs) is the first of its epoch."""
        return step % self.steps_per_epoch == 0

    def length(self, step: int) -> int:
        """Return how many characters of each stream a step reads: T, or fewer at an epoch's end."""
        start = (step % self.steps_per_epoch) * self.seq_length
        return min(self.seq_length, self.stream_length - start)

    def read(
        self,
        step: int,
        inputs: NDArray[np.intp],
        targets: NDArray[np.intp],
        streams: slice = slice(None),
    ) -> None:
        """Write the characters of a step over those of the last, for some of the B streams.

        Args:
            step: counted from 0, over all epochs.
            inputs: (T, b); the first `length` rows become x(1) … of each stream.
            targets: (T, b); likewise the character after each input.
            streams: which b streams.
        """
        start = (step % self.steps_per_epoch) * self.seq_length
        length = self.length(step)
        used = self.batch_size * self.stream_length
        for shift, out in enumerate((inputs, targets)):
            rows = self.ids[shift : used + shift].reshape(self.batch_size, -1)[streams]
            out[:length] = rows[:, start : start + length].T


def fitting_batch_size(characters: int, batch_size: int, seq_length: int) -> int:
    """Return the largest batch, at most `batch_size`, whose streams hold `seq_length` characters.

    A text of N characters gives N - 1 predictions; with B streams each has (N - 1) // B.
    """
    return max(1, min(batch_size, (characters - 1) // seq_length))
