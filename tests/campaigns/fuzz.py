"""Feed nonsense to commands and loaders. Each must give a result or one clear line, in time.

    python -m tests.campaigns.fuzz checkpoints 10000  checkpoints, cut, flipped, swapped, spliced
    python -m tests.campaigns.fuzz commands 10000     options, configs, texts, logs, standard input
    python -m tests.campaigns.fuzz guided 100000      the readers of checkpoints, configs, texts
                                                      and logs by coverage (needs atheris)
    python -m tests.campaigns.fuzz guided-import 50000  likewise `import`, with files of weights

The first failure ends the campaign with an AssertionError that names the input.
"""

import argparse
import bz2
import contextlib
import gzip
import json
import lzma
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.errors import CheckpointError
from charnn.exchange import exported
from tests.campaigns.answers import check_answer, check_command, check_lines, same
from tests.campaigns.nonsense import TEXT, config, corpus, log, options, setting, text, word
from tests.campaigns.weights import check_import, weights
from tests.helpers.in_process import SECONDS, charnn, deadline
from tests.helpers.places import ROOT


def check_checkpoint(path: Path, original: Checkpoint) -> bool:
    """Load a changed file: it is refused in one line, or its contents are the original's."""
    with deadline():
        try:
            loaded = load(path)
        except CheckpointError as error:
            check_lines(error)
            return False
    assert same(loaded, original), "a changed file was loaded as something else"
    return True


# --- checkpoints ---------------------------------------------------------------------------------


def make_checkpoints(folder: Path) -> list[Path]:
    """Train small models; return the paths of checkpoints."""
    (folder / "text.txt").write_text(TEXT)
    for name, settings in (
        ("one", {"training.optimizer": "adagrad"}),
        ("two", {"model.num_layers": "2", "training.dtype": "float64"}),
        ("gated", {"model.cell": "lstm"}),
        ("units", {"model.cell": "gru", "model.num_layers": "2"}),
        ("lines", {"data.documents": "lines"}),
    ):
        given = settings | {"model.hidden_size": "3", "training.batch_size": "2"}
        arguments = ["train", "--data", str(folder / "text.txt"), "--out", str(folder / name)]
        arguments[-1] += ".npz"
        for item in given.items():
            arguments += ["--set", "=".join(item)]
        code, _, err = charnn([*arguments, "--max-steps", "3", "--seed", "1", "-q"])
        assert code == 0, err
    return [
        folder / f"{name}.npz" for name in ("one", "two", "gated", "units", "lines", "one.best")
    ]


def headers(content: bytes) -> list[int]:
    """Return every place in a zip or .npy header, and in the list of members at the end."""
    starts = [match.start() for match in re.finditer(rb"PK\x03\x04", content)]
    directory = content.index(b"PK\x01\x02")
    places = {place for start in starts for place in range(start, start + 200)}
    return sorted(place for place in places | set(range(directory, len(content))))


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Change a file in one of many ways, once or a few times."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        size = len(content)
        at = rng.choice(headers(content)) if rng.random() < 0.5 and b"PK\x01\x02" in content else 0
        at = min(at, size - 1) if at else rng.randrange(size)
        to = rng.randrange(size)
        length = rng.choice((1, 2, 4, 8, 64, 1000))
        kind = rng.randrange(9)
        if kind == 0:
            changed = content[:at]
        elif kind == 1:
            changed = (
                content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
            )
        elif kind == 2:
            changed = content[:at] + rng.randbytes(length) + content[at + length :]
        elif kind == 3:
            wild = rng.choice((0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1))
            width = rng.choice((2, 4, 8))
            raw = (wild % 256**width).to_bytes(width, "little")
            changed = content[:at] + raw + content[at + width :]
        elif kind == 4:
            changed = content[:at] + content[at + length :]
        elif kind == 5:
            changed = content[:at] + content[to : to + length] + content[at:]
        elif kind == 6:
            changed = content[:at] + content[to : to + length] + content[at + length :]
        elif kind == 7:
            parts = content.split(b"PK\x03\x04")
            first, second = (rng.randrange(len(parts)) for _ in range(2))
            parts[first], parts[second] = parts[second], parts[first]
            changed = b"PK\x03\x04".join(parts)
        else:
            digits = [match.span() for match in re.finditer(rb"[0-9]+", content)] or [(0, 0)]
            start, end = rng.choice(digits)
            number = rng.choice((b"0", b"-1", b"1" * 20, b"9" * (end - start), b"1e9", b""))
            changed = content[:start] + number + content[end:]
        content = changed or b"\0"
    return content


def checkpoints(cases: int, folder: Path, rng: random.Random, every: int) -> Counter[str]:
    """Cut real checkpoints at every byte of their headers, then change them at random."""
    paths = make_checkpoints(folder)
    originals = [(path.read_bytes(), load(path)) for path in paths]
    spoiled = folder / "spoiled.npz"
    found: Counter[str] = Counter()

    def check(content: bytes, original: Checkpoint) -> None:
        if content == original_bytes:
            return
        spoiled.write_bytes(content)
        found["loaded alike" if check_checkpoint(spoiled, original) else "refused"] += 1

    for original_bytes, original in originals:
        for place in headers(original_bytes)[rng.randrange(every) :: every]:
            check(original_bytes[:place], original)
    while found.total() < cases:
        original_bytes, original = rng.choice(originals)
        check(mutated(original_bytes, rng), original)
        if found.total() % 50 == 0:
            found[f"info exits with {check_command(['info', str(spoiled), '--json'])}"] += 1
    return found


# --- commands ------------------------------------------------------------------------------------


def process(rng: random.Random) -> str:
    """Run a command in its own process on random standard input."""
    arguments = rng.choice(
        (
            ["eval", "--ckpt", "one.npz", "--data", "-"],
            ["sample", "--ckpt", "one.npz", "--n", "5", "--prime-file", "-"],
            ["info", word(rng).replace("\0", "")],
        )
    )
    answer = subprocess.run(
        [sys.executable, "-m", "charnn", *arguments],
        input=text(rng),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    check_answer(answer.returncode, answer.stderr.decode())
    return f"real {arguments[0]}: {answer.returncode}"


def foreign(model: bytes, rng: random.Random) -> str:
    """Import a valid file of weights with random changes, or a generated file."""
    content = mutated(model, rng) if rng.random() < 0.5 else weights(rng.randrange)
    with deadline():
        found = check_import(content, Path("foreign.safetensors"))
    return "import: read" if found else "import: refused"


_KEPT = ("text.txt", "one.npz", "one.jsonl", "gated.npz", "lines.npz", "one.safetensors")


def commands(cases: int, folder: Path, rng: random.Random) -> Counter[str]:
    """Run the commands with all kinds of random input."""
    make_checkpoints(folder)
    model = exported(load(folder / "one.npz"))
    (folder / "one.safetensors").write_bytes(model)
    found: Counter[str] = Counter()
    kinds: list[Callable[[random.Random], str]] = [
        config, log, setting, options, corpus, partial(foreign, model)
    ]  # fmt: skip
    with contextlib.chdir(folder):
        for case in range(cases):
            kind = process if case % 200 == 199 else rng.choice(kinds)
            found[kind(rng)] += 1
            if case % 100 == 99:
                for path in folder.iterdir():
                    if path.name not in _KEPT and path.is_file():
                        path.unlink()
    return found


# --- guided --------------------------------------------------------------------------------------


def forget(*packages: str) -> None:
    """Unload some packages, so that the next import can instrument them."""
    for name in [name for name in sys.modules if name.startswith(packages)]:
        del sys.modules[name]


def search(one: Callable[[bytes], None], cases: int, seed: int, *more: str) -> None:
    """Search with atheris for inputs that reach new code. It ends the process."""
    import atheris

    limits = [f"-runs={cases}", f"-seed={seed + 1}", "-max_len=20000", f"-timeout={SECONDS}"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", *more], one)
    atheris.Fuzz()


def guided(cases: int, folder: Path, seed: int) -> None:
    """Search for files that reach new code in the readers."""
    import atheris

    paths = make_checkpoints(folder)
    forget("charnn", "zipfile", "yaml")
    with atheris.instrument_imports(include=["charnn", "zipfile", "yaml"]):
        from charnn.checkpoint.checkpoint import load
        from charnn.config.keys import Config
        from charnn.config.loading import load_config
        from charnn.errors import CharnnError, CheckpointError, ConfigError
        from charnn.insight.curves import read_curves
        from charnn.text.reading import read_text
    seeds = folder / "seeds"
    seeds.mkdir()
    for path in paths[:4]:
        (seeds / path.name).write_bytes(path.read_bytes())
    (seeds / "log").write_bytes((folder / "one.jsonl").read_bytes())
    for name, pack in (("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)):
        (seeds / name).write_bytes(pack(TEXT.encode()))
    for path in (ROOT / "configs").glob("*.yaml"):
        (seeds / path.name).write_bytes(path.read_bytes())
    originals = [load(path) for path in paths]
    spoiled = folder / "spoiled"

    def one(content: bytes) -> None:
        spoiled.write_bytes(content)
        try:
            loaded = load(spoiled)
        except CheckpointError as error:
            check_lines(error)
        else:
            assert any(same(loaded, original) for original in originals)
        try:
            read = load_config(spoiled)
        except ConfigError as error:
            check_lines(error)
        else:
            assert isinstance(read, Config)
        for reader in (read_curves, lambda path: read_text([str(path)])):
            try:
                reader(spoiled)
            except CharnnError as error:
                check_lines(error)

    search(one, cases, seed, str(seeds))


def guided_import(cases: int, folder: Path, seed: int) -> None:
    """Search for files of weights that reach new code in `charnn import`."""
    import atheris

    forget("charnn", "safetensors", "tests.campaigns.weights")
    with atheris.instrument_imports(include=["charnn", "safetensors"]):
        from tests.campaigns.weights import check_import, weights
    # The files have at most a few MB. A reader that asks for 1 GB fails and ends the search.
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

    def one(content: bytes) -> None:
        choices = atheris.FuzzedDataProvider(content)
        made = weights(lambda below: int(choices.ConsumeIntInRange(0, below - 1)))
        check_import(made, folder / "foreign.safetensors")

    search(one, cases, seed, "-len_control=0")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("checkpoints", "commands", "guided", "guided-import"))
    parser.add_argument("cases", type=int)
    parser.add_argument("--every", type=int, default=1, help="cut at each N-th byte of the headers")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.kind in ("guided", "guided-import"):
            search_in = guided if chosen.kind == "guided" else guided_import
            search_in(chosen.cases, folder, chosen.seed)
        rng = random.Random(chosen.seed)
        if chosen.kind == "checkpoints":
            found = checkpoints(chosen.cases, folder, rng, chosen.every)
        else:
            found = commands(chosen.cases, folder, rng)
    print(json.dumps(dict(sorted(found.items())), indent=2))
    print(f"{chosen.kind}: {found.total():,} cases, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
