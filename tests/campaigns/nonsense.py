"""Random nonsense for `tests.campaigns.fuzz`: words, configs, options and texts."""

import bz2
import gzip
import lzma
import random
import re
from pathlib import Path

from charnn.config.keys import all_keys
from charnn.config.loading import load_config
from charnn.errors import CharnnError, ConfigError
from charnn.insight.curves import read_all
from charnn.insight.plots import draw_curves
from tests.campaigns.answers import check_command, check_lines
from tests.helpers.in_process import deadline
from tests.helpers.places import ROOT
from tests.helpers.texts import english

TEXT = english(600)
KEYS = all_keys()


WORDS = [
    *["0", "1", "-1", "2", "1e9", "1e400", "-0.0", "nan", "inf", ".inf", "1e-300", "0x10", "1h"],
    *["9223372036854775808", "9" * 30, "9" * 400, "9" * 5000, "99999h", "normal(1)", "normal("],
    *[
        "null",
        "true",
        "[]",
        "{}",
        "~",
        "full",
        "sgd",
        "relu",
        "stop",
        "a=b",
        "model=",
        "=",
        "--help",
    ],
    *[
        "!!int",
        "*a",
        "&a",
        "<<:",
        "?",
        "|",
        ">",
        "-",
        "--",
        "%",
        "@",
        "`",
        "'",
        '"',
        "#",
        "{a:",
        "[1,",
    ],
    *["", " ", "\n", "\t", "\0", "\x1b[31m", "\x9b2J", "é", "😀", "\udcff", "\u202e", "a" * 300],
    *["../x", "text.txt", "none.txt", ".", "/", "*", "run.npz", "one.best.npz", "data.path=-"],
    *["[" * 40, "--set", "lines", "blank-lines", "files", "text:e", "text:", "lines.npz"],
    *["float16", "e.html"],
]


OPTIONS = {
    "train": "--config --data --out --init --extend --resume --overwrite --set --max-steps "
    "--stop-after --time-limit --seed --threads --dry-run --quiet",
    "plan": "--data --time --config --set",
    "sample": "--ckpt --n --prime --prime-file --no-prime --unknown --temperature --top-k --top-p "
    "--greedy --stop --samples --unique --new --adapt --adapt-rate --seed --novelty --against",
    "eval": "--ckpt --data --split --unknown --context --adapt --adapt-rate --each --novelty "
    "--against --json",
    "inspect": "--ckpt --data --view --place --unit --n --top --unknown --json",
    "plot": "--out --x --overwrite",
    "report": "--ckpt --out --data --unit --n --unknown --overwrite",
    "export": "--ckpt --out --dtype --overwrite",
    "import": "--out --vocabulary --activation --overwrite",
    "gradcheck": "--set --mine --json",
    "info": "--json",
    "config": "--schema",
}
# Each command needs these arguments. Random options follow them.
NEEDED = {
    "train": "--data text.txt --out opt.npz --stop-after 1",
    "plan": "--data text.txt --time 1s --set model.hidden_size=2",
    "sample": "--ckpt one.npz --n 5",
    "eval": "--ckpt one.npz",
    "inspect": "--ckpt gated.npz --n 30",
    "plot": "one.jsonl --out p.svg --overwrite",
    "report": "--ckpt gated.npz --out r.html --n 30 --overwrite",
    "export": "--ckpt one.npz --out e.safetensors --overwrite",
    "import": "one.safetensors --out i.npz --overwrite",
    "gradcheck": "",
    "info": "--ckpt one.npz",
    "config": "",
}


SMALL = ["--set", "model.hidden_size=2", "--set", "training.batch_size=2", "-q"]


def word(rng: random.Random) -> str:
    """Return a random value, plausible or absurd."""
    if rng.random() < 0.2:
        return "".join(
            chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) for _ in "12345"
        )
    return rng.choice(WORDS)


def text(rng: random.Random) -> bytes:
    """Return a text, or bytes that are not text."""
    raw = TEXT[: rng.randrange(len(TEXT))].encode()
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(rng.randrange(300))
    if kind == 1:
        return mutated_text(raw, rng)
    if kind == 2:
        return "".join(chr(rng.randrange(0x2FFF)) for _ in range(rng.randrange(300))).encode()
    return raw if kind == 3 else b"\x1f\x8b" + raw


def mutated_text(raw: bytes, rng: random.Random) -> bytes:
    """Insert words or bytes at random places."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(raw) + 1)
        new = rng.choice((word(rng).encode("utf-8", "surrogatepass"), rng.randbytes(1)))
        raw = raw[:at] + new + raw[at + rng.choice((0, 1, len(new))) :]
    return raw


def any_config(rng: random.Random) -> bytes:
    """Return a config of known keys and random values, or a shipped one with words inserted."""
    if rng.random() < 0.5:
        return mutated_text(rng.choice(sorted((ROOT / "configs").glob("*.yaml"))).read_bytes(), rng)
    lines = []
    for _ in range(rng.randrange(4)):
        section, name = rng.choice(KEYS).split(".")
        lines.append(f"{section}: {{{name}: {word(rng)}}}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def config(rng: random.Random) -> str:
    """Load a random config."""
    Path("c.yaml").write_bytes(any_config(rng))
    with deadline():
        try:
            load_config(Path("c.yaml"))
        except ConfigError as error:
            check_lines(error)
            return "config: refused"
    return "config: read"


def setting(rng: random.Random) -> str:
    """Train one step with a random value for a key."""
    given = f"{rng.choice(KEYS)}={word(rng)}".replace("\0", "")
    arguments = ["train", "--data", "text.txt", "--overwrite", "--stop-after", "1", *SMALL]
    if not given.startswith(("output.", "data.path")):
        arguments += ["--out", "set.npz"]
    return f"train with a setting: {check_command([*arguments, '--set', given])}"


def options(rng: random.Random) -> str:
    """Run a command with random values for some of its options."""
    # A picture, a page or a plan takes seconds; all others take milliseconds.
    slow = ("plot", "report", "plan")
    quick = [command for command in OPTIONS if command not in slow]
    command = rng.choice(slow if rng.random() < 0.02 else quick)
    needed = NEEDED[command]
    if rng.random() < 0.3:  # use a model or a text of documents
        needed = re.sub(r"\w+\.npz", "lines.npz", needed)
        needed += " --set data.documents=lines" if command == "train" else ""
    arguments = [command, *needed.split(), *(SMALL if command == "train" else [])]
    for _ in range(rng.randrange(4)):
        arguments.append(rng.choice(OPTIONS[command].split()))
        if rng.random() < 0.8:
            arguments.append(word(rng).replace("\0", ""))
    # Large numbers of characters or steps would take too long.
    big = [at for at, part in enumerate(arguments) if part in ("--n", "--samples", "--stop-after")]
    for at in big:
        if at + 1 < len(arguments) and re.fullmatch(r"[0-9.e]{3,}", arguments[at + 1]):
            arguments[at + 1] = "7"
    return f"{command} with options: {check_command(arguments, text(rng))}"


def packed(raw: bytes, rng: random.Random) -> bytes:
    """Return bytes unchanged, compressed or in another encoding; sometimes spoil them."""
    packer = rng.choice(
        (
            gzip.compress,
            lzma.compress,
            bz2.compress,
            lambda raw: raw.decode(errors="replace").encode("utf-16"),
            lambda raw: b"PK\x03\x04" + raw,
            bytes,
            bytes,
        )
    )
    content: bytes = packer(raw)
    return mutated_text(content, rng) if rng.random() < 0.3 else content


def corpus(rng: random.Random) -> str:
    """Train on or evaluate random texts from files, a folder, a glob or standard input."""
    raw = packed(text(rng), rng)
    name = rng.choice(("any.txt", "any.txt.gz", "b[1].xz", "folder", "folder/*", "-"))
    path = Path(name.replace("*", "1.txt") + ("/2.txt" if name == "folder" else ""))
    path.parent.mkdir(exist_ok=True)
    if name != "-":
        path.write_bytes(raw)
    train = ["train", "--out", "any.npz", "--overwrite", "--max-steps", "1", *SMALL]
    for split in ("val", "test"):
        if rng.random() < 0.2:
            train += ["--set", f"data.{split}_path={rng.choice((name, 'text.txt', 'none'))}"]
    if rng.random() < 0.2:
        train += ["--set", f"data.separator={word(rng)}".replace("\0", "")]
    arguments = rng.choice(
        (
            train,
            ["eval", "--ckpt", "one.npz", "--unknown", rng.choice(("error", "skip"))],
            ["inspect", "--ckpt", "gated.npz", "--unknown", "skip", "--n", "20", "--data", name],
        )
    )
    data = [] if arguments[0] == "inspect" else ["--data", name]
    return f"{arguments[0]} a text: {check_command([*arguments, *data], raw)}"


def log(rng: random.Random) -> str:
    """Read a changed metrics log, as `plot` and `report` do."""
    Path("any.jsonl").write_bytes(mutated_text(Path("one.jsonl").read_bytes(), rng))
    with deadline():
        try:
            runs, _ = read_all([Path("any.jsonl"), Path("one.jsonl")])
        except CharnnError as error:
            check_lines(error)
            return "log: refused"
    if rng.random() < 0.01:
        draw_curves(runs, rng.choice(("step", "seconds")), "svg")
        return "log: drawn"
    return "log: read"
