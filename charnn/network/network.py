"""The vanilla RNN in the textbook's letters: parameters, forward, backward through time.

For a vocabulary of K characters, hidden size H and T characters x(1) … x(T), with x(t), h(t), o(t)
as columns (Goodfellow, Bengio & Courville, *Deep Learning*, ch. 10):

    a(t) = U x(t) + W h(t-1) + b                            (10.8)
    h(t) = f(a(t))              f = tanh or relu            (10.9)
    o(t) = V h(t) + c                                       (10.10)
    ŷ(t) = softmax(o(t))                                    (10.11)
    L    = Σ_t −log ŷ(t)[x(t+1)]                            (10.12–10.14), in nats

Further layers read the layer below as their x. Everything here works on B streams at once, and
numpy keeps rows together, so a batch is stored as rows: h is (T, B, H) and U x reads `x @ U.T`.

Why it is fast. Only W h(t-1) has to wait for the previous character; all the rest is one matrix
product over all T·B rows. U x for a one-hot x is a column of U, so it is looked up, not
multiplied. W is rearranged once a window for the T products that need it (`times`). And every
buffer is allocated once and overwritten in place: a becomes h, o becomes ŷ and then dL/do.
docs/speed.md tells what each of these buys.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import DTypeLike

from charnn.draws import Purpose, generator
from charnn.network.products import (
    _FUNCTIONS,
    Activation,
    Array,
    CharacterIds,
    Sums,
    in_time,
    times,
)


def parameter_shapes(
    vocab_size: int, hidden_size: int, num_layers: int
) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every parameter, in storage order.

    U0 (H, K), W0 (H, H), b0 (H,) of the first layer, U1 (H, H), W1, b1 … of those above it, and
    V (K, H), c (K,) of the output.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(num_layers):
        input_size = vocab_size if layer == 0 else hidden_size
        shapes[f"U{layer}"] = (hidden_size, input_size)
        shapes[f"W{layer}"] = (hidden_size, hidden_size)
        shapes[f"b{layer}"] = (hidden_size,)
    shapes["V"] = (vocab_size, hidden_size)
    shapes["c"] = (vocab_size,)
    return shapes


class Parameters(Mapping[str, Array]):
    """Named arrays that are views into one flat buffer, so that an optimizer updates them as one.

    Attributes:
        flat: (P,) all parameters, in the order of `parameter_shapes`.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], flat: Array):
        sizes = [math.prod(shape) for shape in shapes.values()]
        self.flat = flat
        ends = np.cumsum(sizes)
        self._views = {
            name: self.flat[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
        }

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


class RNN:
    """A stack of vanilla recurrent layers and a softmax over K characters.

    Attributes:
        vocab_size: K.
        hidden_size: H.
        num_layers: L.
        activation: f.
        num_parameters: P.
        parameters: all zero until `initialize` or until they are assigned.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_layers: int = 1,
        activation: Activation = "tanh",
        dtype: DTypeLike = np.float32,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.activation: Activation = activation
        self.dtype = np.dtype(dtype)
        self._shapes = parameter_shapes(vocab_size, hidden_size, num_layers)
        self.num_parameters = sum(map(math.prod, self._shapes.values()))
        self.parameters = self.parameters_in(np.zeros(self.num_parameters, dtype))

    def parameters_in(self, flat: Array) -> Parameters:
        """Return (P,) numbers by this model's names: its parameters, or a gradient."""
        return Parameters(self._shapes, flat)

    def initialize(self, init: str, seed: int, std: float | None = None) -> None:
        """Draw the initial parameters; b and c are zero.

        Args:
            init: "uniform" on ±1/√n with n the fan-in (the heuristic of Glorot & Bengio 2010,
                eq. 1); "orthogonal" or "identity" (Le, Jaitly & Hinton 2015) for every W, the
                rest uniform.
            seed: names the draws; the same for float32 and float64.
            std: if given, draw every matrix from normal(0, std) instead.
        """
        for stream, (name, parameter) in enumerate(self.parameters.items()):
            if parameter.ndim == 1:
                parameter[...] = 0
                continue
            draw = generator(seed, Purpose.INIT, stream=stream)
            if std is not None:
                with np.errstate(over="ignore"):  # found out when the checkpoint is written
                    parameter[...] = draw.normal(0, std, parameter.shape)
            elif name.startswith("W") and init == "identity":
                parameter[...] = np.eye(self.hidden_size)
            elif name.startswith("W") and init == "orthogonal":
                Q, R = np.linalg.qr(draw.normal(size=parameter.shape))
                # With R's diagonal positive, Q is uniform over all orthogonal matrices.
                parameter[...] = Q * np.sign(np.diag(R))
            else:
                bound = 1 / np.sqrt(parameter.shape[1])
                parameter[...] = draw.uniform(-bound, bound, parameter.shape)

    def zero_state(self, batch_size: int = 1) -> Array:
        """Return h(0) = 0 of every layer and stream, (L, B, H)."""
        return np.zeros((self.num_layers, batch_size, self.hidden_size), self.dtype)

    def logits(self, inputs: CharacterIds, state: Array) -> Array:
        """Read T characters of B streams.

        Args:
            inputs: (T, B) character ids.
            state: (L, B, H); overwritten with the state after the last character.

        Returns:
            o: (T, B, K), where o[t] are the unnormalised log-probabilities of what follows x(t).
        """
        return Reader(self, *inputs.shape)(inputs, state)

    def hidden_states(
        self, inputs: CharacterIds, h: Array, masks: Array | None = None, x: Array | None = None
    ) -> None:
        """Compute h(1) … h(T) of every layer from h(0), eqs. 10.8 and 10.9.

        Args:
            inputs: (T, B) character ids.
            h: (L, T + 1, B, H); h[:, 0] is read, the rest is written.
            masks: (L, B, H) factors on each layer's outputs on their way up, for dropout.
            x: (L, T, B, H), with `masks` only: written with the masked outputs.
        """
        p = self.parameters
        T, B = inputs.shape
        for layer in range(self.num_layers):
            U, W, b = p[f"U{layer}"], p[f"W{layer}"], p[f"b{layer}"]
            a = h[layer, 1 : T + 1]  # holds U x + b, then a, then h = f(a)
            if layer == 0:
                # Column x(t) of U, plus b. "clip" skips a copy of `out`; ids are in range.
                np.take(U.T + b, inputs, axis=0, out=a, mode="clip")
            else:
                below = h[layer - 1, 1 : T + 1] if x is None else x[layer - 1]
                np.matmul(below.reshape(T * B, -1), U.T, out=a.reshape(T * B, -1))
                a += b
            times_W, add, f = times(W.T, B), np.add, _FUNCTIONS[self.activation]
            before, *after = in_time(h[layer, : T + 1])
            Wh = np.empty_like(before)
            for now in after:
                times_W(before, Wh)
                add(now, Wh, now)
                f(now, now)
                before = now
            if masks is not None and x is not None:
                np.multiply(a, masks[layer], out=x[layer])

    def outputs(self, h: Array, out: Array) -> Array:
        """Compute o = V h + c, eq. 10.10, for (N, H) hidden states into `out`, (N, K)."""
        np.matmul(h, self.parameters["V"].T, out=out)
        out += self.parameters["c"]
        return out

    def backward(
        self,
        inputs: CharacterIds,
        do: Array,
        h: Array,
        gradients: Parameters,
        work: Array,
        sums: "Sums",
        masks: Array | None = None,
        x: Array | None = None,
    ) -> None:
        """Back-propagate through time, eqs. 10.18–10.28.

            dh(t) = Vᵀ do(t) + Wᵀ da(t+1)
            da(t) = dh(t) ⊙ f'(a(t))
            dV = Σ do(t) h(t)ᵀ      dc = Σ do(t)
            dW = Σ da(t) h(t-1)ᵀ    dU = Σ da(t) x(t)ᵀ    db = Σ da(t)

        Args:
            inputs: (T, B) character ids.
            do: (T·B, K), dL/do(t).
            h: (L, T + 1, B, H) from `hidden_states`.
            gradients: written.
            work: (2, T, B, H) scratch.
            sums: over T·B characters.
            masks: the dropout factors given to `hidden_states`.
            x: the masked outputs written by `hidden_states`.
        """
        p, g = self.parameters, gradients
        T, B = inputs.shape
        N, H = T * B, self.hidden_size
        dh, da = work[0], work[1]
        rows_dh, rows_da = dh.reshape(N, H), da.reshape(N, H)

        def output(layer: int) -> Array:
            """What `layer` passed up: h, or h ⊙ mask, as (T·B, H) rows."""
            return (h[layer, 1 : T + 1] if x is None else x[layer]).reshape(N, H)

        np.matmul(do.T, output(self.num_layers - 1), out=g["V"])
        sums.rows(do, g["c"])
        np.matmul(do, p["V"], out=rows_dh)
        for layer in reversed(range(self.num_layers)):
            W = p[f"W{layer}"]
            if masks is not None:
                dh *= masks[layer]
            # f'(a) in terms of h = f(a): 1 - h² for tanh, 1 where h > 0 for relu.
            if self.activation == "tanh":
                np.square(h[layer, 1 : T + 1], out=da)
                np.subtract(1, da, out=da)
            else:
                np.greater(h[layer, 1 : T + 1], 0, out=da)
            times_W, add, multiply = times(W, B), np.add, np.multiply
            dh_t, *earlier_dh = in_time(dh[::-1])
            da_t, *earlier_da = in_time(da[::-1])
            multiply(da_t, dh_t, da_t)
            Wda = np.empty_like(da_t)
            for dh_t, before in zip(earlier_dh, earlier_da, strict=True):
                times_W(da_t, Wda)
                add(dh_t, Wda, dh_t)
                da_t = before
                multiply(da_t, dh_t, da_t)
            np.matmul(rows_da.T, h[layer, :T].reshape(N, H), out=g[f"W{layer}"])
            sums.rows(rows_da, g[f"b{layer}"])
            if layer > 0:
                np.matmul(rows_da.T, output(layer - 1), out=g[f"U{layer}"])
                np.matmul(rows_da, p[f"U{layer}"], out=rows_dh)
        sums.columns(rows_da, inputs, g["U0"], spare=rows_dh)


class Reader:
    """The equations forward, with buffers allocated once for T × B characters.

    Attributes:
        seq_length: T.
    """

    def __init__(self, model: RNN, seq_length: int, batch_size: int):
        L, T, B = model.num_layers, seq_length, batch_size
        self.seq_length = T
        self._model = model
        self._h = np.empty((L, T + 1, B, model.hidden_size), model.dtype)
        self._o = np.empty((T * B, model.vocab_size), model.dtype)

    def __call__(self, inputs: CharacterIds, state: Array) -> Array:
        """Read up to T characters of B streams; see `RNN.logits`.

        The next call overwrites what this one returned.
        """
        T, B = inputs.shape
        h = self._h[:, : T + 1]
        h[:, 0] = state
        self._model.hidden_states(inputs, h)
        state[...] = h[:, T]
        top = h[-1, 1:].reshape(T * B, -1)
        return self._model.outputs(top, self._o[: T * B]).reshape(T, B, -1)
