"""Which features of a text single hidden units follow."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charnn.insight.reading import Floats, Reading
from charnn.network.arrays import Array
from charnn.showing import BOUNDARY


@dataclass(frozen=True)
class Unit:
    """A hidden unit and the feature of the text it follows best.

    Attributes:
        layer: counted from 0, as in W0.
        index: counted from 0, a row of W.
        feature: one of `features`, chosen on the first half of the text; None if it has none.
        correlation: of the activation with the feature, over the second half; −1 to 1.
    """

    layer: int
    index: int
    feature: str | None
    correlation: float

    @property
    def name(self) -> str:
        """LAYER:INDEX."""
        return f"{self.layer}:{self.index}"


def features(text: str) -> dict[str, Floats]:
    """Return the features of a text, each (N,): their values after each character.

    An empty line closes all quotes. The character ' does not count as a quote, because it is mostly
    an apostrophe. The end of a document counts as a line end.
    A speaker's line comes after an empty one, begins with a capital and ends with a colon.
    """
    N, text = len(text), text.replace(BOUNDARY, "\n")
    places, characters = np.arange(N), np.array(list(text))
    newline = characters == "\n"
    start = np.maximum.accumulate(np.where(newline, places, -1))
    end = np.minimum.accumulate(np.where(newline, places, N)[::-1])[::-1]
    quoted, bracketed, speaker = np.zeros(N), np.zeros(N), np.zeros(N)
    straight, quotes, brackets = False, 0, 0
    for place, character in enumerate(text):
        if character == '"':
            straight = not straight
        elif character == "\n" and text[place - 1 : place] == "\n":
            straight, quotes = False, 0
        quotes = max(0, quotes + (character in "“„«「『") - (character in "”»」』"))
        brackets = max(0, brackets + (character in "([{（［｛【") - (character in ")]}）］｝】"))
        quoted[place] = straight or quotes > 0
        bracketed[place] = brackets > 0
    at, before = 0, ""
    for line in text.split("\n"):
        name = line.rstrip()
        if not before.strip() and name[:1].isupper() and name.endswith(":") and len(name) <= 40:
            speaker[at : at + len(name)] = 1
        at, before = at + len(line) + 1, line
    found = {
        "inside quotes": quoted,
        "inside brackets": bracketed,
        "upper case": np.char.isupper(characters).astype(np.float64),
        "speaker's line": speaker,
    }
    if newline.any():
        distance = (places - start).astype(np.float64)
        found["distance to the last newline"] = distance
        found["position in the line"] = distance / np.maximum(1, np.where(newline, 1, end - start))
    return found


def units(
    reading: Reading, text: str, top: int, chosen: Sequence[tuple[int, int]] = ()
) -> list[Unit]:
    """Return units with the features they follow.

    Without a choice, they are the best unit of each feature, then the second best of each, and so
    on, so that no feature hides the others. If the text has no feature at all, they are the units
    that vary most.

    Args:
        reading: of the text.
        text: N characters.
        top: how many to find.
        chosen: (layer, index) of the units wanted instead.
    """
    _, N, H = reading.h.shape
    half = N // 2
    varying = {
        name: values
        for name, values in features(text).items()
        if np.ptp(values[:half]) > 0 < np.ptp(values[half:])
    }
    if not varying:
        spread = reading.h.std(axis=1, dtype=np.float64).reshape(-1)
        wanted = [layer * H + index for layer, index in chosen] or np.argsort(-spread)[:top]
        return [Unit(int(unit) // H, int(unit) % H, None, 0.0) for unit in wanted]
    values = np.stack(list(varying.values()), axis=1)
    found, reported = (
        np.concatenate([_correlation(h[part], values[part]) for h in reading.h])
        for part in (slice(half), slice(half, N))
    )
    best = np.abs(found).argmax(axis=1)
    strength = np.abs(found).max(axis=1)
    if chosen:
        order = [layer * H + index for layer, index in chosen]
    else:
        seen: Counter[int] = Counter()
        places = {}
        for unit in np.argsort(-strength, kind="stable").tolist():
            places[unit] = seen[best[unit]]
            seen[best[unit]] += 1
        order = sorted(places, key=places.__getitem__)[:top]
    names = list(varying)
    return [
        Unit(unit // H, unit % H, names[best[unit]], float(reported[unit, best[unit]]))
        for unit in order
    ]


def _correlation(h: Array, values: Floats) -> Floats:
    """Correlate (n, H) activations with (n, F) features: (H, F), 0 where either is constant."""
    x = h - h.mean(axis=0, dtype=np.float64)
    y = values - values.mean(axis=0)
    norms = np.outer(np.sqrt(np.square(x).sum(axis=0)), np.sqrt(np.square(y).sum(axis=0)))
    return np.asarray(x.T @ y / np.where(norms > 0, norms, np.inf))
