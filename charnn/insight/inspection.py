"""All views of a model on a text. Each view is computed when it is first used."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from charnn.errors import RequestError
from charnn.insight.gradients import GradientFlow, gradient_flow
from charnn.insight.origins import origins
from charnn.insight.reading import MAX_STATES, Floats, Reading, read
from charnn.insight.units import Unit, units
from charnn.network.arrays import Array
from charnn.network.network import Network, Reader
from charnn.showing import BOUNDARY
from charnn.text.encoding import Ids
from charnn.text.vocabulary import Vocabulary


class Inspection:
    """The inspection of a model on a text. Each part is computed when it is first used.

    Attributes:
        model: the model.
        vocabulary: its characters.
        total: the number of characters in the text.
        ids: (N,) the characters that are read, from the beginning.
    """

    def __init__(
        self,
        model: Network,
        vocabulary: Vocabulary,
        ids: Ids,
        n: int,
        *,
        top: int = 5,
        find: int = 5,
        chosen: Sequence[tuple[int, int]] = (),
        places: Sequence[int] = (),
    ):
        """Choose what to inspect.

        Args:
            model: the model.
            vocabulary: its characters.
            ids: the text, at least 2 characters.
            n: how many of them to read; fewer if their states would not fit into memory.
            top: see `read`.
            find: see `units`, as `top`.
            chosen: see `units`.
            places: the places whose origins to find; by default, those of the largest surprises.

        Raises:
            RequestError: if the model has no such unit, or the text no such place.
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
        self.ids = ids[: max(2, min(n, MAX_STATES // (L * H)))]
        self._top, self._find, self._chosen = top, find, chosen
        for place in places:
            if not 0 < place < len(self.ids):
                raise RequestError(
                    f"--place {place}: the text that was read has places 1 to {len(self.ids) - 1}"
                )
        self._places = places

    @cached_property
    def text(self) -> str:
        """The N characters."""
        return self.vocabulary.decode(self.ids)

    @cached_property
    def reading(self) -> Reading:
        """See `read`."""
        return read(self.model, self.ids, self._top, self.vocabulary.boundary)

    @cached_property
    def units(self) -> list[Unit]:
        """See `units`."""
        return units(self.reading, self.text, self._find, self._chosen)

    @cached_property
    def gradients(self) -> list[GradientFlow]:
        """See `gradient_flow`."""
        return gradient_flow(self.model, self.reading, boundary=self.vocabulary.boundary)

    def origins(self, top: int) -> dict[int, Floats]:
        """Return how much the characters before some places matter, the nearest first.

        See `charnn.insight.origins`. There is a value for each character before the place.
        """
        places = np.array(self._places or self.most_surprising(top), np.intp)
        norms = origins(self.model, self.reading, places, self.vocabulary.boundary)
        found = zip(places.tolist(), norms, strict=True)
        return {place: row[~np.isnan(row)] for place, row in found}

    @property
    def bits_per_char(self) -> float:
        """Mean surprisal over the N − 1 characters that have one."""
        return float(self.reading.bits[1:].mean())

    def most_surprising(self, top: int) -> NDArray[np.intp]:
        """Return the places of the largest surprises, the largest first."""
        return 1 + np.argsort(-self.reading.bits[1:], kind="stable")[:top]

    def around(self, place: int, before: int = 12, after: int = 8) -> tuple[str, str]:
        """Return some characters before and after a place, those of its own document only."""
        text = self.text
        follows = "" if text[place] == BOUNDARY else text[place + 1 : place + 1 + after]
        return (
            text[max(0, place - before) : place].rpartition(BOUNDARY)[2],
            follows.partition(BOUNDARY)[0],
        )

    def activations(self, unit: Unit) -> Floats:
        """Return a unit's activation at every place, (N,)."""
        return self.reading.h[unit.layer, :, unit.index].astype(np.float64)

    def gates(self, unit: Unit) -> dict[str, Floats]:
        """Return the gates of a unit at every place by name, each (N,), and s if the cell has one.

        Raises:
            RequestError: if the cell has no gates.
        """
        names, L = self.model.spec.cell_class.gate_names, self.model.num_layers
        if not names:
            raise RequestError(f"an {self.model.spec.cell} has no gates to show; see --view memory")
        own = self._gates[unit.layer][:, :, unit.index].astype(np.float64)
        found = dict(zip(names, own, strict=True))
        for s in self.reading.states[L + unit.layer :: L]:
            found["state"] = s[:, unit.index].astype(np.float64)
        return found

    @cached_property
    def _gates(self) -> list[Array]:
        """Return the gates of every layer, each (G, N, H)."""
        reader = Reader(self.model, len(self.ids), 1, keep_gates=True)
        with np.errstate(over="ignore"):
            ids, boundary = self.ids[:, None].astype(np.intp), self.vocabulary.boundary
            resets = None if boundary is None else ids == boundary
            reader.read(ids, self.model.zero_state(), resets=resets)
        return [layer.gates[:, :, 0] for layer in reader.layers]

    def scaled(self, unit: Unit) -> Floats:
        """Return a unit's activation from −1 to 1. That of relu is divided by its maximum."""
        values = self.activations(unit)
        return values if self.model.bounded else values / (values.max() or 1)
