"""Text to character ids: reading, the vocabulary, the splits, and the streams a run trains on."""

import codecs
import glob
import gzip
import hashlib
import itertools
import mmap
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charnn.errors import CorpusError
from charnn.mpi import ALONE, Ranks

Ids = NDArray[np.unsignedinteger[Any]]
SplitName = Literal["train", "val", "test", "all"]
Unknown = Literal["error", "skip"]

_FINGERPRINT_BLOCK = 1 << 24  # bytes of text hashed as one, and cut between when ranks share it
_BLOCK = 1 << 16  # bytes read, or ids worked on, at a time: few enough to stay in the cache
_IN_MEMORY = 1 << 26  # bytes of ids; more than that lie in a temporary file


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
        # Not np.unique, which imports a quarter of NumPy more.
        self.code_points = np.array(sorted(map(ord, set(characters))), np.uint32)

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

    def encode(self, text: str, *, unknown: Unknown = "error") -> Ids:
        """Return the ids of a text, (N,), in the smallest unsigned dtype that holds K ids.

        Args:
            text: N characters.
            unknown: what to do with characters outside the vocabulary: raise, or leave them out.

        Raises:
            UnknownCharactersError: naming the first few unknown characters and their places.
        """
        with closing(_Numbering(self.code_points)) as numbering:
            numbering.read(text)
            return numbering.encoded(self, unknown)

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


def _code_points(text: str) -> Ids:
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _text(code_points: NDArray[np.uint32]) -> str:
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


# --- encoding ------------------------------------------------------------------------------------


class _Fingerprint:
    """SHA-256 of a text's UTF-8 bytes; of a long one over the digests of blocks, each on its own.

    A block is the characters whose first byte lies in the same 16 MiB.
    """

    def __init__(self, blocks: Sequence[bytes] = ()):
        self._blocks = list(blocks)
        self._hash = hashlib.sha256()
        self._begun = False
        self._room = _FINGERPRINT_BLOCK

    def update(self, raw: bytes) -> None:
        """Add whole characters."""
        while len(raw) > self._room:
            cut = max(self._room, 0)
            while cut < len(raw) and not _begins_character(raw[cut]):
                cut += 1
            if cut == len(raw):
                break
            self._hash.update(raw[:cut])
            self._blocks.append(self._hash.digest())
            self._hash = hashlib.sha256()
            self._room += _FINGERPRINT_BLOCK - cut
            raw = raw[cut:]
        self._hash.update(raw)
        self._begun |= bool(raw)
        self._room -= len(raw)

    def blocks(self) -> list[bytes]:
        """Return the digests of the blocks so far."""
        return [*self._blocks, self._hash.digest()] if self._begun else self._blocks

    def hexdigest(self) -> str:
        """Return the digest of the only block, or that of the digests of all."""
        blocks = self.blocks()
        return (blocks[0] if len(blocks) == 1 else hashlib.sha256(b"".join(blocks)).digest()).hex()


def _begins_character(byte: int) -> bool:
    """Whether a byte of UTF-8 is the first of a character."""
    return byte & 0xC0 != 0x80


class _Numbering:
    """A text being encoded before all of its vocabulary is known, in one pass.

    Its characters are numbered in the order in which they first come; the numbers are kept in
    memory, or in a temporary file when they become many, and turned into ids at the end.

    Attributes:
        code_points: (M,) uint32, of the characters expected, then of others as they first came.
        characters: N, how many there are so far.
        fingerprint: of their UTF-8 bytes.
    """

    def __init__(self, expected: NDArray[np.uint32]):
        self.code_points = expected
        self.characters = 0
        self.fingerprint = _Fingerprint()
        # The number of each code point; the largest of the dtype stands for none yet.
        self._table: Ids = np.empty(0, np.uint8)
        self._file: IO[bytes] = _spool()
        self._widen(np.min_scalar_type(len(expected)))

    def read(self, text: str | Iterable[str]) -> None:
        """Number a text, given whole or in pieces.

        Raises:
            CorpusError: if the temporary file cannot be written.
        """
        for piece in _pieces(text) if isinstance(text, str) else text:
            self.fingerprint.update(piece.encode("utf-8", "surrogatepass"))
            points = _code_points(piece)
            numbers = _look_up(self._table, points)
            new = numbers == np.iinfo(numbers.dtype).max
            if new.any():
                self._extend(points[new])
                numbers = _look_up(self._table, points)
            with _disk_errors():
                self._file.write(numbers.data)
            self.characters += len(numbers)

    def _extend(self, points: Ids) -> None:
        before = len(self.code_points)
        different = np.array(list(dict.fromkeys(points.tolist())), np.uint32)
        self.code_points = np.concatenate([self.code_points, different])
        after = len(self.code_points)
        if after > np.iinfo(self._table.dtype).max:
            self._widen(np.min_scalar_type(after))
        self._table[self.code_points[before:]] = np.arange(before, after)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        narrow = self._blocks()
        with _disk_errors(), self._file:
            wide = _spool()
            for numbers in narrow:
                wide.write(numbers.astype(dtype).data)
            self._file = wide
        self._tabulate(dtype)

    def _tabulate(self, dtype: np.dtype[Any]) -> None:
        self._table = np.full(sys.maxunicode + 1, np.iinfo(dtype).max, dtype)
        self._table[self.code_points] = np.arange(len(self.code_points))

    def _blocks(self) -> Iterator[Ids]:
        """Yield the numbers from the file, which may be written behind them."""
        file, dtype = self._file, self._table.dtype
        for at in range(0, self.characters, _BLOCK):
            file.seek(at * dtype.itemsize)
            size = min(_BLOCK, self.characters - at) * dtype.itemsize
            yield np.frombuffer(file.read(size), dtype)

    def encoded(self, vocabulary: Vocabulary, unknown: Unknown) -> Ids:
        """Return the ids of the text; many are read from the file where they lie.

        Raises:
            UnknownCharactersError: if the vocabulary lacks some characters.
            CorpusError: if the temporary file cannot be written.
        """
        K, M = len(vocabulary), len(self.code_points)
        id_of = np.minimum(np.searchsorted(vocabulary.code_points, self.code_points), K - 1)
        known = vocabulary.code_points[id_of] == self.code_points
        complete, dtype = bool(known.all()), np.min_scalar_type(K - 1)
        if not complete and unknown == "error":
            raise UnknownCharactersError(self._describe(np.flatnonzero(~known)))
        table = np.zeros(max(M, 256), dtype)
        table[:M] = id_of
        end = self.characters * dtype.itemsize
        with _disk_errors():
            if not np.array_equal(id_of, np.arange(M)) or dtype != self._table.dtype:
                end = 0
                for numbers in self._blocks():
                    ids = _look_up(table, numbers if complete else numbers[known[numbers]])
                    self._file.seek(end)
                    end += self._file.write(ids.data)
            self._file.flush()
            if end > _IN_MEMORY:
                in_file = mmap.mmap(self._file.fileno(), end, access=mmap.ACCESS_READ)
                return np.frombuffer(in_file, dtype)
            self._file.seek(0)
            return np.frombuffer(bytearray(self._file.read(end)), dtype)

    def _describe(self, unknown: NDArray[np.intp]) -> str:
        """Name the first few of some numbers, each with the first place of its character."""
        first, named = unknown[:5].tolist(), list[str]()
        line, line_start, at, total = 1, 0, 0, 0
        for numbers in self._blocks():
            total += int(np.isin(numbers, unknown).sum())
            breaks = np.flatnonzero(self.code_points[numbers] == ord("\n"))
            while first and len(places := np.flatnonzero(numbers == first[0])):
                before = breaks[breaks < places[0]]
                start = at + before[-1] + 1 if len(before) else line_start
                character = show_character(chr(self.code_points[first.pop(0)]))
                place = f"line {line + len(before)}, column {at + places[0] - start + 1}"
                named.append(f"{character} at {place}")
            line += len(breaks)
            line_start = at + int(breaks[-1]) + 1 if len(breaks) else line_start
            at += len(numbers)
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        subject = "1 character is" if total == 1 else f"{total:,} characters are"
        different = f"not in the vocabulary ({len(unknown)} different)"
        return f"{subject} {different}: {'; '.join(named)}{more}"

    def merge(self, ranks: Ranks) -> None:
        """Become the numbering of the whole text, of which each rank has read a part.

        What was read goes into a file of each machine, written by the rank that leads it.
        """
        parts = ranks.gather((self.code_points, self.characters, self.fingerprint.blocks()))
        self.fingerprint = _Fingerprint([block for _, _, blocks in parts for block in blocks])
        # In the order in which they first come in the whole text.
        points = dict.fromkeys(np.concatenate([points for points, _, _ in parts]).tolist())
        dtype = np.min_scalar_type(len(points))
        numbers = {point: number for number, point in enumerate(points)}
        table = np.zeros(max(len(self.code_points), 256), dtype)
        table[: len(self.code_points)] = [numbers[point] for point in self.code_points.tolist()]
        with _disk_errors():
            whole = _spool(named=ranks.leads_node)
            for root, (_, characters, _) in enumerate(parts):
                own = self._blocks() if ranks.rank == root else None
                for at in range(0, characters, _BLOCK):
                    block = np.empty(min(_BLOCK, characters - at), dtype)
                    if own:
                        block[...] = _look_up(table, next(own))
                    ranks.broadcast(block, root)
                    if ranks.leads_node:
                        whole.write(block.data)
        self.close()
        self._file = whole
        self.code_points = np.array(list(points), np.uint32)
        self.characters = sum(characters for _, characters, _ in parts)
        self._tabulate(dtype)

    def shared(self, ranks: Ranks, vocabulary: Vocabulary, unknown: Unknown) -> Ids:
        """Return what `encoded` does, on each machine from the file of the rank that leads it.

        Raises:
            UnknownCharactersError: as there.
            CorpusError: as there.
        """
        ids: Ids = np.empty(0, np.uint8)
        with ranks.agreeing():
            if ranks.leads_node:
                ids = self.encoded(vocabulary, unknown)
        name, dtype, size = ranks.from_leader((self._file.name, ids.dtype, ids.nbytes))
        with ranks.agreeing(), _disk_errors():
            if size and not ranks.leads_node:
                with Path(name).open("rb") as file:
                    in_file = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
                ids = np.frombuffer(in_file, dtype)
        return ids

    def close(self) -> None:
        """Let go of the temporary file; the ids that were returned stay."""
        with suppress(OSError):  # of a last write that was reported already
            self._file.close()


def _pieces(text: str) -> Iterator[str]:
    for at in range(0, len(text), _BLOCK):
        yield text[at : at + _BLOCK]


def _spool(*, named: bool = False) -> IO[bytes]:
    return tempfile.NamedTemporaryFile() if named else tempfile.SpooledTemporaryFile(_IN_MEMORY)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"{tempfile.tempdir or 'TMPDIR'}: {error.strerror or error}; a long text takes room "
            "there while it is read: name another folder by TMPDIR"
        ) from None


def _look_up(table: Ids, symbols: Ids) -> Ids:
    """Return table[symbols]; from bytes to bytes, as with most texts, in a third of the time."""
    if table.itemsize == symbols.itemsize == 1:
        return np.frombuffer(symbols.tobytes().translate(table[:256].tobytes()), np.uint8)
    return table.take(symbols)


# --- reading -------------------------------------------------------------------------------------


class ReadError(CorpusError):
    """A text that cannot be read."""


def read_text(paths: Sequence[str], *, normalize_newlines: bool = False) -> str:
    """Return the text that `read_blocks` reads, in one piece."""
    return "".join(read_blocks(paths, normalize_newlines=normalize_newlines))


def read_blocks(
    paths: Sequence[str],
    *,
    normalize_newlines: bool = False,
    on_read: Callable[[int, int | None], None] = lambda done, total: None,
    ranks: Ranks = ALONE,
) -> Iterator[str]:
    """Read UTF-8 text from files, `.gz` files, folders (their *.txt, sorted), globs, or `-`.

    Several texts are joined as they are. A byte-order mark is dropped, line ends are kept unless
    `normalize_newlines`. The pieces are short, so that a text may be longer than the memory.

    Args:
        paths: what to read, in this order.
        normalize_newlines: turn \\r\\n and \\r into \\n.
        on_read: called for each piece with the bytes read so far and, if it is known, of how many.
        ranks: each of them reads a part, in their order; the first one all of a text that is
            compressed, piped, short or to be normalized.

    Raises:
        ReadError: naming the path and what is wrong with it.
    """
    parts = ranks.first(lambda: _divided(files_named(paths), ranks.size, normalize_newlines))
    blocks = _read_parts(parts[ranks.rank], on_read)
    return _normalized(blocks) if normalize_newlines else blocks


def _normalized(blocks: Iterable[str]) -> Iterator[str]:
    held = ""  # a \r at the end of a block, as a \n may follow
    for block in blocks:
        joined = held + block
        held = "\r" if joined.endswith("\r") else ""
        yield joined.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
    if held:
        yield "\n"


def files_named(paths: Sequence[str]) -> list[str]:
    """Return the files that some paths name, in order; standard input stays `-`.

    Raises:
        ReadError: for a folder without *.txt, or a glob that nothing matches.
    """
    files: list[str] = []
    for given in paths:
        try:
            files += _expand(given)
        except OSError as error:
            raise ReadError(f"{given}: {error.strerror or error}") from None
    return files


def _expand(given: str) -> list[str]:
    if not given:
        raise ReadError("the path of a text is empty")
    if given == "-" or Path(given).is_file():
        return [given]
    if Path(given).is_dir():
        texts = (path for path in Path(given).iterdir() if path.name.endswith(".txt"))
        files = sorted(str(path) for path in texts if path.is_file())
        if not files:
            raise ReadError(f"{given}: a folder without *.txt files")
        return files
    if any(mark in given for mark in "*?["):
        files = sorted(
            path
            # Path.glob would refuse a pattern that begins at the root.
            for path in glob.glob(given, recursive=True)  # noqa: PTH207
            if Path(path).is_file()
        )
        if not files:
            raise ReadError(f"{given}: no file matches")
        return files
    return [given]


@dataclass(frozen=True)
class _Part:
    """Bytes of a file: from `start` to `end`, or to its end."""

    path: str
    start: int = 0
    end: int | None = None

    def size(self) -> int | None:
        """Return how many they are, or None if that is known only when they have been read."""
        size = _size(self.path) if self.end is None else self.end
        return None if size is None else size - self.start


def _divided(files: Sequence[str], ranks: int, normalize_newlines: bool) -> list[list[_Part]]:
    """Divide texts among ranks where a block of the fingerprint, and a character, begins."""
    undivided = [[_Part(path) for path in files], *([] for _ in range(ranks - 1))]
    sizes = [None if p == "-" or p.endswith(".gz") else _size(p) for p in files]
    if ranks == 1 or normalize_newlines or None in sizes:
        return undivided
    spans = list[tuple[str, int, int, int]]()  # of a file in the text; and where its byte 0 were
    total = 0
    try:
        for path, size in zip(files, sizes, strict=True):
            zero = total - (3 if _bytes_at(path, 0, 3) == codecs.BOM_UTF8 else 0)
            spans.append((path, total, total := zero + (size or 0), zero))
        cuts = [0]
        for rank in range(1, ranks):
            at = -(-total // _FINGERPRINT_BLOCK) * rank // ranks * _FINGERPRINT_BLOCK
            while any(
                begin < at < end and not _begins_character(_bytes_at(path, at - zero, 1)[0])
                for path, begin, end, zero in spans
            ):
                at += _FINGERPRINT_BLOCK
            cuts.append(max(cuts[-1], min(at, total)))
    except (OSError, IndexError):
        return undivided  # whoever reads it will tell
    return [
        [
            _Part(
                path,
                0 if first <= begin else first - zero,
                None if end <= last else last - zero,
            )
            for path, begin, end, zero in spans
            if max(begin, first) < min(end, last)
        ]
        for first, last in itertools.pairwise([*cuts, total])
    ]


def _bytes_at(path: str, at: int, count: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(at)
        return file.read(count)


def _read_parts(
    parts: Sequence[_Part], on_read: Callable[[int, int | None], None]
) -> Iterator[str]:
    sizes = [part.size() for part in parts]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    before = 0
    for part in parts:
        done = 0
        for done, block in _read_part(part):
            on_read(before + done, total)
            yield block
        before += done


def _size(path: str) -> int | None:
    """Return the bytes of a file, or None if that is known only when they have been read."""
    try:
        status = os.fstat(0) if path == "-" else Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path != "-":
        return Path(path).open("rb")
    if sys.stdin is None:
        raise ReadError("standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _read_part(part: _Part) -> Iterator[tuple[int, str]]:
    """Yield a text in pieces, each with how many of the file's bytes are read so far."""
    path, read = part.path, part.start
    name = "standard input" if path == "-" else path
    line, begun, last = 1, part.start > 0, False
    zipped = path.endswith(".gz")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with _opened(path) as raw, gzip.open(raw) if zipped else nullcontext(raw) as file:
            if part.start:
                file.seek(part.start)
            while not last:
                block = file.read(_BLOCK if part.end is None else min(_BLOCK, part.end - read))
                last = not block
                read += len(block)
                text = decoder.decode(block, last)
                line += _lines(block)
                if text and not begun:
                    text, begun = text.removeprefix("\ufeff"), True
                yield (raw.tell() if zipped else read) - part.start, text
    except UnicodeDecodeError as error:
        # The decoder may have begun with bytes kept from the block before.
        start = read - (len(error.object) - error.start)
        line += error.object.count(b"\n", 0, error.start)
        for at in range(0, part.start, _BLOCK):
            line += _lines(_bytes_at(path, at, min(_BLOCK, part.start - at)))
        wrong = error.object[error.start]
        raise ReadError(
            f"{name}:{line}: not UTF-8 text: byte 0x{wrong:02x} at offset {start:,}; "
            "save it as plain text in UTF-8, or convert it, for instance with iconv"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ReadError(f"{name}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise ReadError(f"{name}: {error.strerror or error}") from None
    except ValueError as error:
        raise ReadError(f"{name}: {error}") from None


def _lines(block: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


# --- splits --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corpus:
    """An encoded text and its contiguous splits, in order: train, validation, test.

    Attributes:
        vocabulary: of the whole text, all splits.
        ids: (N,) character ids; those of a long text lie in a file that is mapped into memory.
        fingerprint: SHA-256 of the text's UTF-8 bytes, in hexadecimal; of a text of more than
            16 MiB over the digests of its blocks, so that it can be read in parts.
        val_fraction: share of the text that validates.
        test_fraction: share of the text kept for the test.
        skipped: characters left out, as the vocabulary does not know them.
    """

    vocabulary: Vocabulary
    ids: Ids
    fingerprint: str
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    skipped: int = 0

    @classmethod
    def from_text(
        cls,
        text: str | Iterable[str],
        *,
        vocabulary: Vocabulary | None = None,
        unknown: Unknown = "error",
        val_fraction: float = 0.0,
        test_fraction: float = 0.0,
        ranks: Ranks = ALONE,
    ) -> Self:
        """Encode a text with its own vocabulary, or a given one.

        Args:
            text: whole, or in pieces as `read_blocks` yields them, which are not kept.
            vocabulary: the characters that have ids.
            unknown: what to do with other characters: raise, or leave them out.
            val_fraction: share of the text that validates.
            test_fraction: share of the text kept for the test.
            ranks: each of them gives its part of the text, and gets all of it.

        Raises:
            CorpusError: if there are too few characters to predict one.
            UnknownCharactersError: if the given vocabulary lacks characters of the text.
        """
        expected = vocabulary.code_points if vocabulary else np.empty(0, np.uint32)
        with closing(_Numbering(expected)) as numbering:
            with ranks.agreeing():
                numbering.read(text)
            if ranks.size > 1:
                numbering.merge(ranks)
            characters = numbering.characters
            if characters < 2:
                found = "is empty" if not characters else "holds one character"
                raise CorpusError(f"the text {found}; predicting takes at least 2 characters")
            vocabulary = vocabulary or Vocabulary(_text(numbering.code_points))
            if ranks.size > 1:
                ids = numbering.shared(ranks, vocabulary, unknown)
            else:
                ids = numbering.encoded(vocabulary, unknown)
        if len(ids) < 2:
            raise CorpusError("fewer than 2 known characters; there is nothing to predict")
        corpus = cls(
            vocabulary,
            ids,
            numbering.fingerprint.hexdigest(),
            val_fraction,
            test_fraction,
            skipped=characters - len(ids),
        )
        for name in ("train", "val", "test"):
            part = corpus.split(name)
            wanted = name == "train" or getattr(corpus, f"{name}_fraction") > 0
            if wanted and len(part) < 2:
                raise CorpusError(
                    f"{len(ids):,} characters leave {len(part)} for the {name} split; "
                    "use a longer text, or smaller data.val_fraction and data.test_fraction"
                )
        return corpus

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether a checkpoint's fingerprint is that of this text; an old one may be plain SHA-256.

        No character of the text must have been skipped.
        """
        if fingerprint == self.fingerprint:
            return True
        digest = hashlib.sha256()
        for at in range(0, len(self.ids), _BLOCK):
            piece = self.vocabulary.decode(self.ids[at : at + _BLOCK])
            digest.update(piece.encode("utf-8", "surrogatepass"))
        return fingerprint == digest.hexdigest()

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
