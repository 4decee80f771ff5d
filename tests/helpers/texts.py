"""Training texts of any length. They are the same in every run."""

import random

_WORDS = [
    "the",
    "a",
    "one",
    "each",
    "no",
    "king",
    "queen",
    "child",
    "river",
    "stone",
    "bird",
    "night",
    "morning",
    "winter",
    "song",
    "road",
    "sees",
    "holds",
    "follows",
    "forgets",
    "answers",
    "breaks",
    "and",
    "but",
    "while",
    "because",
    "into",
    "under",
    "beyond",
    "without",
    "slow",
    "bright",
    "old",
    "quiet",
    "never",
    "always",
]


def english(length: int, seed: int = 0) -> str:
    """Return `length` characters of speeches made of random words."""
    rng = random.Random(seed)
    lines: list[str] = []
    size = 0
    while size < length:
        words = rng.choices(_WORDS, k=rng.randint(3, 9))
        line = " ".join(words).capitalize() + rng.choice(".,;!?") + "\n"
        if rng.random() < 0.3:
            line = f"\n{rng.choice(_WORDS).upper()}:\n{line}"
        lines.append(line)
        size += len(line)
    return "".join(lines)[:length]


CHINESE = "床前明月光,疑是地上霜。\n举头望明月,低头思故乡。\n" * 40
