"""Write a text whose entropy is known: ``python data/tasks.py recall|brackets|reber OUT``.

``recall``    a letter, then noise, then a question mark and the same letter. Only a model that
              remembers the letter over the gap can predict it. Each character of the noise ends
              the gap with the same probability; ``--gap`` is the mean length.
``brackets``  brackets of two kinds, nested up to six deep. Each closing bracket matches the last
              open one.
``reber``     strings of Reber's grammar (1967).

Each line is one item. An automaton draws its characters, so the script can compute the entropy
exactly. It prints the entropy in bits per character, of the grammar and of the last tenth of this
text, to compare with ``charnn eval``. It needs only Python 3.11.
"""

import argparse
import itertools
import math
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple


class Arc(NamedTuple):
    """A possible next character, its probability, and the state after it."""

    character: str
    p: float
    state: str


Automaton = dict[str, list[Arc]]  # arcs by state; "" is the beginning of a line and its end

LETTERS, NOISE = "ABCDEFGH", "abcd"
KINDS = {"(": ")", "[": "]"}
DEEPEST = 6
LONGEST = 10_000  # largest mean gap, because the entropy is a sum over the lengths of lines


def recall(gap: float) -> Automaton:
    """Return the automaton of ``recall``; a state holds the letter but not the noise."""
    found: Automaton = {"": [Arc(letter, 1 / len(LETTERS), letter) for letter in LETTERS]}
    for letter in LETTERS:
        arcs = [Arc(noise, gap / (gap + 1) / len(NOISE), letter) for noise in NOISE if gap]
        found[letter] = [*arcs, Arc("?", 1 / (gap + 1), f"{letter}?")]
        found[f"{letter}?"] = [Arc(letter, 1.0, "end")]
    found["end"] = [Arc("\n", 1.0, "")]
    return found


def brackets() -> Automaton:
    """Return the automaton of ``brackets``; a state holds the open brackets."""
    found: Automaton = {}
    for depth in range(DEEPEST + 1):
        for open_ in map("".join, itertools.product(KINDS, repeat=depth)):
            opens = 0.0 if depth == DEEPEST else 0.5 if depth else 1.0
            arcs = [Arc(kind, opens / len(KINDS), open_ + kind) for kind in KINDS if opens]
            if depth:
                arcs.append(Arc(KINDS[open_[-1]], 1 - opens, open_[:-1] if depth > 1 else "end"))
            found[open_] = arcs
    found["end"] = [Arc("\n", 1.0, "")]
    return found


def reber() -> Automaton:
    """Return the automaton of Reber's grammar; where two arcs leave, each has probability 1/2."""
    ways = {
        "": {"B": "1"},
        "1": {"T": "2", "P": "3"},
        "2": {"S": "2", "X": "4"},
        "3": {"T": "3", "V": "5"},
        "4": {"X": "3", "S": "6"},
        "5": {"P": "4", "V": "6"},
        "6": {"E": "7"},
        "7": {"\n": ""},
    }
    return {
        state: [Arc(character, 1 / len(arcs), after) for character, after in arcs.items()]
        for state, arcs in ways.items()
    }


def entropy(automaton: Automaton) -> float:
    """Return the entropy in bits per character: expected bits / expected characters of a line."""
    visits = dict.fromkeys(automaton, 0.0)
    arriving = {"": 1.0}  # how often each state is reached after so many characters
    while sum(arriving.values()) > 1e-15:
        after: dict[str, float] = {}
        for state, share in arriving.items():
            visits[state] += share
            for arc in automaton[state]:
                if arc.state and arc.p:
                    after[arc.state] = after.get(arc.state, 0.0) + share * arc.p
        arriving = after
    bits = {
        state: -sum(arc.p * math.log2(arc.p) for arc in arcs if arc.p)
        for state, arcs in automaton.items()
    }
    return sum(visits[state] * bits[state] for state in automaton) / sum(visits.values())


def drawn(automaton: Automaton, characters: int, seed: int) -> Iterator[tuple[str, float]]:
    """Draw whole lines with at least ``characters`` characters in all; yield each and its bits."""
    draw, state, count = random.Random(seed), "", 0
    while count < characters or state:
        arcs = automaton[state]
        arc = draw.choices(arcs, [one.p for one in arcs])[0]
        yield arc.character, -math.log2(arc.p)
        state, count = arc.state, count + 1


def main(arguments: list[str]) -> int:
    """Write the text named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python data/tasks.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=["recall", "brackets", "reber"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--gap", type=float, default=40, help="mean gap of recall (40)")
    parser.add_argument(
        "--characters", type=int, default=1_000_000, help="least length (1,000,000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the draws (1)")
    given = parser.parse_args(arguments)
    try:
        if not (0 <= given.gap <= LONGEST and given.characters >= 1):
            raise ValueError(
                f"--gap must be at least 0 and at most {LONGEST:,}, and --characters at least 1"
            )
        tasks: dict[str, Callable[[], Automaton]] = {
            "recall": partial(recall, given.gap),
            "brackets": brackets,
            "reber": reber,
        }
        automaton = tasks[given.task]()
        text, bits = zip(*drawn(automaton, given.characters, given.seed), strict=True)
        given.out.write_text("".join(text), encoding="ascii")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    last = bits[int(len(bits) * 0.9) :][1:]  # `eval` does not predict the first
    print(
        f"{given.out}: {len(text):,} characters; entropy {entropy(automaton):.4f} bits per "
        f"character, of the last tenth {sum(last) / max(1, len(last)):.4f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
