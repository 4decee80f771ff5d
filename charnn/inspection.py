"""What a model does on a text: its surprise, its expectation, its memory, its gradients' reach.

Places count the characters of the text from 0. What belongs to a place is: the surprise and the
expectation of its character, given all before it; and h after the character was read. So place 0
has no expectation.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from charnn.corpus import Ids, Vocabulary
from charnn.errors import DivergenceError, RequestError
from charnn.model import RNN, Array, log_softmax

Floats = NDArray[np.float64]

_MAX_STATES = 50_000_000  # hidden units held, over all places and layers; bounds the memory
_MAX_LOGITS = 2_000_000  # logits held at a time
LOST, EXPLODED = 0.01, 100.0  # shares of the gradient at lag 0


# --- reading a text ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What a model makes of N characters, read from the zero state.

    Attributes:
        ids: (N,) the characters.
        h: (L, N, H), the state after each character.
        bits: (N,) surprisal, −log₂ of the probability of each character; not a number at place 0.
        ranks: (N,) 1 where the most probable character came, 2 where the second did …; 0 at
            place 0.
        likeliest: (N, C) ids of the C most probable characters, the likeliest first; 0 at place 0.
        probabilities: (N, C) of those; not a number at place 0.
    """

    ids: Ids
    h: Array
    bits: Floats
    ranks: NDArray[np.intp]
    likeliest: NDArray[np.intp]
    probabilities: Floats


def read(model: RNN, ids: Ids, top: int) -> Reading:
    """Read a text.

    Args:
        model: the model.
        ids: (N,) character ids, N at least 2.
        top: C, most probable characters to note; lowered to K.

    Raises:
        DivergenceError: if a surprisal is not a finite number.
    """
    N, C = len(ids), min(top, model.vocab_size)
    h = np.zeros((model.num_layers, N + 1, 1, model.hidden_size), model.dtype)
    bits, ranks = np.full(N, np.nan), np.zeros(N, np.intp)
    likeliest, probabilities = np.zeros((N, C), np.intp), np.full((N, C), np.nan)
    V, c = model.parameters["V"], model.parameters["c"]
    chunk = max(1, _MAX_LOGITS // model.vocab_size)
    with np.errstate(all="ignore"):  # looked for below
        model.hidden_states(ids[:, None].astype(np.intp), h)
        for at in range(1, N, chunk):
            places = slice(at, min(at + chunk, N))
            log_y = log_softmax(h[-1, places, 0] @ V.T + c)
            came = np.take_along_axis(log_y, ids[places, None].astype(np.intp), axis=1)
            bits[places] = -came[:, 0].astype(np.float64) / np.log(2)
            ranks[places] = 1 + (log_y > came).sum(axis=1)
            best = np.argpartition(-log_y, C - 1, axis=1)[:, :C]
            order = np.argsort(-np.take_along_axis(log_y, best, axis=1), axis=1, kind="stable")
            likeliest[places] = np.take_along_axis(best, order, axis=1)
            logs = np.take_along_axis(log_y, likeliest[places], axis=1)
            probabilities[places] = np.exp(logs.astype(np.float64))
    if not np.isfinite(bits[1:]).all():
        raise DivergenceError("the loss over the text is not finite: the model overflows")
    return Reading(ids, h[:, 1:, 0], bits, ranks, likeliest, probabilities)


# --- what units track ----------------------------------------------------------------------------


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
    """Return what a unit might track, each (N,): its value after each character of a text.

    Quotes are closed by an empty line at the latest; ' is no quote, as it is mostly an apostrophe.
    A speaker's line stands after an empty one, begins with a capital and ends with a colon.
    """
    N = len(text)
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

    Without a choice the found are the best of each feature, then the second best of each …: no
    feature hides the others. A text without any feature gives the units that vary most.

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
    """Correlate (n, H) activations with (n, F) features: (H, F), 0 where something is constant."""
    x = h - h.mean(axis=0, dtype=np.float64)
    y = values - values.mean(axis=0)
    norms = np.outer(np.sqrt(np.square(x).sum(axis=0)), np.sqrt(np.square(y).sum(axis=0)))
    return np.asarray(x.T @ y / np.where(norms > 0, norms, np.inf))


# --- how far gradients reach ---------------------------------------------------------------------


@dataclass(frozen=True)
class GradientFlow:
    """How the gradient of one layer fades, or grows, into the past.

    Attributes:
        norms: for each lag k from 0 the mean over positions t of ‖∂L(t)/∂h(t−k)‖₂, where L(t) is
            the loss, in nats, of the one character after x(t), and all paths count.
        positions: how many t, evenly spaced over the text.
        spectral_radius: the largest |eigenvalue| of W.
        largest_singular_value: of W.
    """

    norms: Floats
    positions: int
    spectral_radius: float
    largest_singular_value: float

    @property
    def shares(self) -> Floats:
        """The norms as shares of that at lag 0; all 0 where no gradient comes at all."""
        return self.norms / self.norms[0] if self.norms[0] else self.norms

    @property
    def reach(self) -> int | None:
        """The first lag with less than 1 % of the gradient at lag 0; None if all have more."""
        return _first(self.shares < LOST)

    @property
    def verdict(self) -> str:
        """One sentence: vanishes, explodes or holds."""
        lost, exploded = self.reach, _first(self.shares > EXPLODED)
        if lost == 0:
            return "dead: no gradient comes here at all"
        if lost and (not exploded or lost < exploded):
            return f"vanishes: less than 1 % is left after {_characters(lost)}"
        if exploded:
            return f"explodes: a hundredfold after {_characters(exploded)}"
        last = len(self.norms) - 1
        if not last:
            return "not known: the text is too short"
        return f"holds: {100 * self.shares[-1]:.0f} % is left after {_characters(last)}"


def _characters(count: int) -> str:
    return f"{count} character{'s' if count != 1 else ''}"


def _first(wanted: NDArray[np.bool_]) -> int | None:
    return int(wanted.argmax()) if wanted.any() else None


def gradient_flow(
    model: RNN, reading: Reading, lags: int = 200, positions: int = 100
) -> list[GradientFlow]:
    """Follow the gradients of single losses back through time, in float64; one result per layer.

    All positions go back together. In a short text there are fewer lags; they also end where a
    gradient (or its square) is too large for a number.

    Args:
        model: the model.
        reading: N characters read by it.
        lags: the furthest lag.
        positions: losses to follow, at most.
    """
    L, N, _ = reading.h.shape
    p = {name: array.astype(np.float64) for name, array in model.parameters.items()}
    lags = min(lags, (N - 2) // 2)
    t = np.unique(np.linspace(lags, N - 2, positions).astype(np.intp))
    # dL(t)/do(t) = ŷ(t) − onehot(x(t+1))
    do = np.exp(log_softmax(reading.h[-1, t] @ p["V"].T + p["c"]))
    do[np.arange(len(t)), reading.ids[t + 1]] -= 1
    da: list[Floats] = []  # of every layer, one character later
    norms: list[list[float]] = []
    with np.errstate(all="ignore"):  # looked for below
        for lag in range(lags + 1):
            arriving = do @ p["V"] if lag == 0 else np.zeros((len(t), model.hidden_size))
            now: list[Floats] = []
            found: list[float] = []
            for layer in reversed(range(L)):
                dh = arriving + da[layer] @ p[f"W{layer}"] if lag else arriving
                found.insert(0, float(np.linalg.norm(dh, axis=1).mean()))
                h = reading.h[layer, t - lag].astype(np.float64)
                now.insert(0, dh * (1 - h**2 if model.activation == "tanh" else h > 0))
                if layer:
                    arriving = now[0] @ p[f"U{layer}"]
            if not np.isfinite(found).all():
                break
            da = now
            norms.append(found)
    return [
        GradientFlow(
            np.array(layer_norms),
            len(t),
            float(np.abs(np.linalg.eigvals(p[f"W{layer}"])).max()),
            float(np.linalg.norm(p[f"W{layer}"], 2)),
        )
        for layer, layer_norms in enumerate(zip(*norms, strict=True))
    ]


# --- all of it -----------------------------------------------------------------------------------


class Inspection:
    """A model looked at on a text; each part is computed when it is first asked for.

    Attributes:
        model: the model.
        vocabulary: its characters.
        total: how many characters the text has.
        ids: (N,) those that are read, from the beginning.
    """

    def __init__(
        self,
        model: RNN,
        vocabulary: Vocabulary,
        ids: Ids,
        n: int,
        *,
        top: int = 5,
        find: int = 5,
        chosen: Sequence[tuple[int, int]] = (),
    ):
        """Say what to look at.

        Args:
            model: the model.
            vocabulary: its characters.
            ids: the text, at least 2 characters.
            n: how many of them to read; fewer where their states would not fit into memory.
            top: see `read`.
            find: see `units`, as `top`.
            chosen: see `units`.

        Raises:
            RequestError: if the model has no such unit.
        """
        L, H = model.num_layers, model.hidden_size
        for layer, index in chosen:
            if layer >= L or index >= H:
                raise RequestError(
                    f"--unit {layer}:{index}: the model has layers 0 to {L - 1}, units 0 to {H - 1}"
                )
        self.model = model
        self.vocabulary = vocabulary
        self.total = len(ids)
        self.ids = ids[: max(2, min(n, _MAX_STATES // (L * H)))]
        self._top, self._find, self._chosen = top, find, chosen

    @cached_property
    def text(self) -> str:
        """The N characters."""
        return self.vocabulary.decode(self.ids)

    @cached_property
    def reading(self) -> Reading:
        """See `read`."""
        return read(self.model, self.ids, self._top)

    @cached_property
    def units(self) -> list[Unit]:
        """See `units`."""
        return units(self.reading, self.text, self._find, self._chosen)

    @cached_property
    def gradients(self) -> list[GradientFlow]:
        """See `gradient_flow`."""
        return gradient_flow(self.model, self.reading)

    @property
    def bits_per_char(self) -> float:
        """Mean surprisal over the N − 1 characters that have one."""
        return float(self.reading.bits[1:].mean())

    def most_surprising(self, top: int) -> NDArray[np.intp]:
        """Return the places of the largest surprises, the largest first."""
        return 1 + np.argsort(-self.reading.bits[1:], kind="stable")[:top]

    def activations(self, unit: Unit) -> Floats:
        """Return a unit's activation at every place, (N,)."""
        return self.reading.h[unit.layer, :, unit.index].astype(np.float64)

    def scaled(self, unit: Unit) -> Floats:
        """Return a unit's activation from −1 to 1: as it is for tanh; relu's by its largest."""
        values = self.activations(unit)
        return values / (values.max() or 1) if self.model.activation == "relu" else values
