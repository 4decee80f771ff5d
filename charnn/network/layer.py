"""One recurrent layer over a window, forward and back: everything that all cells share.

Only W h(t-1) depends on the previous step. Everything else is one large product for the window:
U x(t) + b in the forward pass, and in the backward pass the sums over time

    dW = Σ dL/d(W h(t-1)) h(t-1)ᵀ      dU = Σ da(t) x(t)ᵀ      db = Σ da(t)
    dx(t) = Uᵀ da(t)                   with da(t) = dL/d(U x(t) + b)

(Goodfellow, Bengio & Courville, *Deep Learning*, eqs. 10.22–10.28.) U x for a one-hot x is a
column of U: the first layer looks it up instead of multiplying. The step itself and its derivative
belong to the cell. Every buffer is allocated once and overwritten in place.

At a reset, the state of a stream is zero before it reads its character. Then the states before each
step need memory of their own. A window without resets does not need it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.network.arrays import Array, Resets, State
from charnn.network.parameters import Parameters
from charnn.network.products import Sums, in_time, states_in_time, times_all, times_each
from charnn.network.spec import Spec


class Work:
    """The memory that all layers of a network use in turn in the backward pass.

    Attributes:
        dh: (T, B, H), dL/dh(t): first the part from above, then along all paths.
        delta: (deltas, T, B, H), see `Cell.window_back`.
        d_state: (S, B, H), the gradient of the state at one time. That of s is updated in place.
        Wd: (B, H), scratch.
        sums: for the gradients of U, b and c.
    """

    def __init__(self, spec: Spec, seq_length: int, batch_size: int):
        T, B, H, cell = seq_length, batch_size, spec.hidden_size, spec.cell_class
        self.dh = np.empty((T, B, H), spec.dtype)
        self.delta = np.empty((cell.deltas, T, B, H), spec.dtype)
        self.d_state = np.empty((cell.states, B, H), spec.dtype)
        self.sums = Sums(T * B, spec.vocab_size, H, spec.dtype)
        # The same by time, for `step_back`.
        self.dh_at, self.delta_at = in_time(self.dh), in_time(self.delta)
        self.Wd = np.empty_like(self.dh_at[0])
        ds = [part[0] for part in map(in_time, self.d_state[1:, None])]
        self.d_at: list[State] = [(dh, *ds) for dh in self.dh_at] if ds else [*self.dh_at]
        (self.d_past,) = states_in_time(self.d_state[:, None])
        (self.dh_past,) = in_time(self.d_state[:1])


class Layer:
    """A recurrent layer with its buffers, for windows of up to T characters of B streams.

    Attributes:
        index: the number of the layer, from 0.
        cell: its pointwise part.
    """

    def __init__(
        self,
        spec: Spec,
        parameters: Parameters,
        index: int,
        states: Array,
        gates: Array,
        *,
        masked: Array | None = None,
        work: Work | None = None,
        gradients: Parameters | None = None,
    ):
        """Find the parameters and lay out the memory.

        Args:
            spec: of the network.
            parameters: of the network.
            index: the number of the layer, from 0.
            states: (S, T + 1, B, H) memory for the states; [:, 0] is the state before a window.
            gates: (G + spare, T, B, H) memory for a(t) and the cell's values for the backward pass.
            masked: (T, B, H) memory for outputs with dropout, or None.
            work: memory for the backward pass, or None for reading only.
            gradients: the output of `parameter_gradients`, or None.
        """
        self.index, self._batch_size = index, states.shape[2]
        self._U, self._W, self._b, own = _by_gate(spec, parameters, index)
        if gradients is not None:
            self._dU, self._dW, self._db, self._d_own = _by_gate(spec, gradients, index)
        self.cell = spec.cell_class(spec.activation, own)
        self._states, self._gates, self._masked = states, gates, masked
        self._a = list(gates[: spec.cell_class.gates])
        Wh = np.empty((len(self._a), 1, *states.shape[2:]), states.dtype)
        self._Wh = in_time(Wh)[0]
        # The arguments of every step, forward and back, so that no window has to collect them.
        # Where two of them are the same memory, they are the same object: that saves cache misses.
        h = in_time(states[0])
        state = [*h] if len(states) == 1 else states_in_time(states)
        a = h[1:] if self.cell.in_place else in_time(gates)
        self._steps = list(zip(h, state, a, state[1:], strict=False))
        self._before = states  # before each step of the last window; a copy if it had resets
        self._apart: Array | None = None
        if work is not None:
            self._work = work
            d_before, dh_before = [work.d_past, *work.d_at], [work.dh_past, *work.dh_at]
            self._steps_back = list(
                zip(a, work.delta_at, work.d_at, d_before, dh_before, strict=False)
            )
        self._x: NDArray[Any]
        self._reset: list[NDArray[np.intp] | None]

    # --- forward ---------------------------------------------------------------------------------

    def forward(
        self, x: NDArray[Any], resets: Resets | None = None, mask: Array | None = None
    ) -> Array:
        """Read a window; leave the states after each character in the memory for them.

        Args:
            x: (T', B) character ids in the first layer, else (T', B, H) outputs of the layer below.
            resets: (T', B), or None.
            mask: (B, H) factors on the outputs on their way up, for dropout.

        Returns:
            The outputs for the layer above, (T', B, H): h, or h ⊙ mask.
        """
        self._x = x
        (U, W, b), T = self._scaled(), len(x)
        self._reset = [None] * T if resets is None else _where(resets)
        for U_g, b_g, memory in zip(U, b, self._a, strict=True):
            a = memory[:T]
            if self.index == 0 and x.size < U_g.shape[1]:  # large vocabulary: few columns are read
                np.add(U_g.T[x], b_g, out=a)
            elif self.index == 0:
                # Column x(t) of U, plus b. "clip" skips a copy of `out`; ids are in range.
                np.take(U_g.T + b_g, x, axis=0, out=a, mode="clip")
            else:
                np.matmul(_rows(x), U_g.T, out=_rows(a))
                a += b_g
        times_W, step, Wh = times_each(W, self._batch_size), self.cell.step, self._Wh
        for h, before, a, after in self._steps[:T] if resets is None else self._from_zero():
            times_W(h, Wh)
            step(a, Wh, before, after)
        before = self._states if resets is None or self._apart is None else self._apart
        self._before = before[:, :T]
        output = self._states[0, 1 : T + 1]
        if mask is not None and self._masked is not None:
            output = np.multiply(output, mask, out=self._masked[:T])
        return output

    def _scaled(self) -> tuple[list[Array], list[Array], list[Array]]:
        """Return U, W and b by gate, times the factors in `cell.scale`."""
        factors = self.cell.scale
        if factors == (1.0,):
            return self._U, self._W, self._b
        U, W, b = (
            [
                part if factor == 1 else factor * part
                for factor, part in zip(factors, parts, strict=True)
            ]
            for parts in (self._U, self._W, self._b)
        )
        return U, W, b

    def _from_zero(self) -> Iterator[tuple[Array, State, Array, State]]:
        """Yield the steps of a window, each with its previous state in memory of its own."""
        if self._apart is None:
            self._apart = np.empty_like(self._states[:, :-1])
            apart = in_time(self._apart[0]), states_in_time(self._apart)
            self._steps_apart = [
                (h, before, a, after)
                for h, before, (_, _, a, after) in zip(*apart, self._steps, strict=True)
            ]
        for before, after, streams, step in zip(
            self._apart.swapaxes(0, 1),
            self._states.swapaxes(0, 1),
            self._reset,
            self._steps_apart,
            strict=False,
        ):
            np.copyto(before, after)
            if streams is not None:
                before[:, streams] = 0
            yield step

    @property
    def gates(self) -> Array:
        """The gates of the last window, (G, T, B, H), named by `cell.gate_names`; a view."""
        return self._gates[: len(self.cell.gate_names)]

    # --- back ------------------------------------------------------------------------------------

    def back_through_time(self, d_state: Array | None = None) -> None:
        """Turn `work.dh` into dL/dh(t) along all paths, and `work.delta` into the gradients.

            dh(t-1) receives Wᵀ da(t)       (10.21), plus the cell's own part

        Args:
            d_state: (S, B, H), dL/d(state after the window), overwritten with that before it.
                None means that the gradient stops at both ends of the window.
        """
        T, cell, work = len(self._x), self.cell, self._work
        windows = self._gates, self._before, self._states[:, 1 : T + 1], work.delta
        cell.window_back(*(_window(memory[:, :T]) for memory in windows))
        work.d_state.fill(0)
        if d_state is not None:
            work.dh[T - 1] += d_state[0]
            work.d_state[1:] = d_state[1:]
        step_back, add, Wd, steps = cell.step_back, np.add, work.Wd, self._steps_back
        times_W = times_all(self._W, cell.deltas_of_W, self._batch_size)
        for t in range(T - 1, -1, -1):
            (a, delta, d_after, d_before, dh_before), streams = steps[t], self._reset[t]
            past = work.dh[t - 1] if t > 0 else work.d_state[0]
            kept = None if streams is None else past[streams]
            step_back(a, delta, d_after, d_before)
            if t == 0 and d_state is None:
                break
            times_W(delta, Wd)
            add(dh_before, Wd, dh_before)
            if streams is not None:  # nothing reaches the state before a reset
                past[streams] = kept
                work.d_state[1:, streams] = 0
        if d_state is not None:
            d_state[...] = work.d_state

    def parameter_gradients(self) -> None:
        """Write dL/dU, dL/dW, dL/db and those of the cell's parameters, after `back_through_time`.

        `work.dh` is overwritten in the first layer, which has no layer below.
        """
        x, cell, work, T = self._x, self.cell, self._work, len(self._x)
        delta, h_before = work.delta[:, :T], _rows(self._before[0])
        if self.index == 0:
            work.sums.sort(x)
        for of_U, of_W, dU, dW, db in zip(
            cell.deltas_of_U, cell.deltas_of_W, self._dU, self._dW, self._db, strict=True
        ):
            np.matmul(_rows(delta[of_W]).T, h_before, out=dW)
            da = _rows(delta[of_U])
            work.sums.rows(da, db)
            if self.index == 0:
                work.sums.columns(da, dU, spare=_rows(work.dh[:T]))
            else:
                np.matmul(da.T, _rows(x), out=dU)
        if cell.own:
            cell.own_back(delta, _window(self._before), self._d_own)

    def back_to_input(self) -> None:
        """Overwrite `work.dh` with dL/dx(t) = Uᵀ da(t), for the layer below."""
        work, T = self._work, len(self._x)
        dx, part = _rows(work.dh[:T]), _rows(self._gates[0, :T])  # a is not needed any more
        for gate, (block, U) in enumerate(zip(self.cell.deltas_of_U, self._U, strict=True)):
            da = _rows(work.delta[block, :T])
            if gate == 0:
                np.matmul(da, U, out=dx)
            else:
                np.matmul(da, U, out=part)
                dx += part


def _by_gate(
    spec: Spec, parameters: Parameters, index: int
) -> tuple[list[Array], list[Array], list[Array], dict[str, Array]]:
    """Return each gate's U (H, n), W (H, H) and b (H,), and the cell's own parameters."""
    own, shape = parameters.of_layer(index), (spec.cell_class.gates, spec.hidden_size)
    U, W, b = (own.pop(letter) for letter in "UWb")
    return list(U.reshape(*shape, -1)), list(W.reshape(*shape, -1)), list(b.reshape(shape)), own


def _rows(series: Array) -> Array:
    """Return a (T, B, M) array as (T·B, M)."""
    return series.reshape(-1, series.shape[-1])


def _window(parts: Array) -> Any:
    """Return an (n, T, B, H) array in the form for a cell: without the first axis if n is 1."""
    return parts[0] if len(parts) == 1 else parts


def _where(resets: Resets) -> list[NDArray[np.intp] | None]:
    """Return for each step the streams that are reset, or None if there are none."""
    times, streams = np.nonzero(resets)
    ends = np.bincount(times, minlength=len(resets)).cumsum()
    return [part if len(part) else None for part in np.split(streams, ends[:-1])]
