"""Continues a model on a text with other characters.

Each character has a column of U0, a row of V and an entry of c. A new run copies those of the
characters in the checkpoint, and all parameters that do not depend on characters.
"""

import numpy as np

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.network.parameters import Parameters
from charnn.showing import show_character
from charnn.text.vocabulary import Vocabulary

_NAMED = 5  # characters in a warning


def carry_over(init: Checkpoint, parameters: Parameters, vocabulary: Vocabulary) -> None:
    """Copy the parameters of a checkpoint; parameters of a character go to the same character.

    Args:
        init: a model of the same sizes, except for K.
        parameters: written, with U0 (G·H, K), V (K, H) and c (K,). The parameters of characters
            that are not in the checkpoint do not change.
        vocabulary: the K characters of `parameters`.
    """
    _, old, new = np.intersect1d(  # ids of the common characters, (C,) each
        init.vocabulary.code_points,
        vocabulary.code_points,
        assume_unique=True,
        return_indices=True,
    )
    for name, source in init.model.parameters.items():
        if name == "U0":
            parameters[name][:, new] = source[:, old]
        elif name in ("V", "c"):
            parameters[name][new] = source[old]
        else:
            parameters[name][...] = source


def changed_characters(before: Vocabulary, now: Vocabulary) -> list[str]:
    """Return a warning with the characters that a model loses and gains, or nothing."""
    known, read = before.characters, now.characters
    lost = [character for character in known if character not in read]
    new = [character for character in read if character not in known]
    parts = []
    if lost:
        parts.append(f"the model loses {_counted(lost)} that the text lacks: {_shown(lost)}")
    if new:
        verb, model = "is" if len(new) == 1 else "are", "it" if lost else "the model"
        parts.append(f"{_counted(new)} {verb} new to {model}: {_shown(new)}")
    return ["; ".join(parts)] if parts else []


def _counted(characters: list[str]) -> str:
    return f"{len(characters):,} character{'s' if len(characters) > 1 else ''}"


def _shown(characters: list[str]) -> str:
    """Return the first few characters in words."""
    more = len(characters) - _NAMED
    named = ", ".join(map(show_character, characters[:_NAMED]))
    return named + (f" and {more:,} more" if more > 0 else "")
