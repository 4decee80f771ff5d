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
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charnn.draws import Purpose, generator

Array = NDArray[np.floating[Any]]
CharacterIds = NDArray[np.integer[Any]]
Activation = Literal["tanh", "relu"]
# f, called with an array to read and one to write.
_FUNCTIONS: dict[Activation, Callable[[Array, Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda a, out: np.maximum(a, 0, out=out),
}


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


class Stepper:
    """The same equations for one character of each of M texts at a time, to generate by.

    h(t) is needed twice, by its own layer's W and by the V or U above: side by side, the two are
    one product.

    Attributes:
        logits: o of the last character read, (K,) if M is 1, else (M, K); overwritten by `step`.
    """

    def __init__(self, model: RNN, state: Array):
        """Begin after what gave a state, (L, M, H).

        Later changes of the model's parameters are not seen.
        """
        p, (L, M, H) = model.parameters, state.shape
        self._f = _FUNCTIONS[model.activation]
        self._Ub = np.ascontiguousarray(p["U0"].T + p["b0"])
        row = (H,) if M == 1 else (M, H)
        self._h = np.empty(row, model.dtype)
        self._layers = []
        for layer in range(L):
            top = layer == L - 1
            above, bias = ("V", "c") if top else (f"U{layer + 1}", f"b{layer + 1}")
            both = np.concatenate([p[f"W{layer}"], p[above]]).T.copy()
            product = np.dot(state[layer].reshape(row), both)
            Wh, up = product[..., :H], product[..., H:]
            up += p[bias]
            self._layers.append((both, product, Wh, up, p[bias]))
        self.logits = up

    def step(self, ids: np.intp | NDArray[np.intp]) -> None:
        """Read the next character: its id, or (M,) ids."""
        a, h, add, f = self._Ub[ids], self._h, np.add, self._f
        for both, product, Wh, up, bias in self._layers:
            add(a, Wh, h)
            f(h, h)
            h.dot(both, product)
            add(up, bias, up)
            a = up


def times(A: Array, batch_size: int) -> Callable[[Array, Array], object]:
    """Return a function that writes x A over its second argument, for many products with one A.

    At every call a BLAS copies A into the order its inner loop reads, which for a small batch
    takes about as long as the arithmetic. OpenBLAS does without in products of up to 10⁶
    multiplications; so a larger A is cut into blocks here, once, that also fit in the first-level
    cache.

    Args:
        A: (H, H), or a transposed view.
        batch_size: B; x and what is written, not in the same memory, are contiguous and (B, H), or
            (H,) if B is 1.
    """
    B, H, small = batch_size, len(A), 10**6
    A = np.ascontiguousarray(A)
    if B == 1:
        # Of all ways to multiply a vector, the call of least overhead.
        return A.T.dot
    m, n = largest_divisor(H, 128), largest_divisor(H, 64)
    if n < 16 or not B * m * n <= small < B * H * H:
        return lambda x, out: x.dot(A, out)
    blocks = np.ascontiguousarray(A.reshape(H // m, m, H // n, n).transpose(0, 2, 1, 3))
    parts = np.empty((H // m, B, H), A.dtype)
    part_blocks = parts.reshape(H // m, B, H // n, n).transpose(0, 2, 1, 3)

    def product(x: Array, out: Array) -> None:
        np.matmul(x.reshape(B, H // m, 1, m).transpose(1, 2, 0, 3), blocks, part_blocks)
        np.add.reduce(parts, axis=0, out=out)

    return product


def in_time(series: Array) -> list[Array]:
    """Return the (B, H) parts of a (T, B, H) array; for one stream (H,), which numpy likes best."""
    return list(series[:, 0] if series.shape[1] == 1 else series)


def largest_divisor(n: int, limit: int) -> int:
    """Return the largest divisor of n that is at most `limit`."""
    return next(d for d in range(min(n, limit), 0, -1) if n % d == 0)


class Sums:
    """The sums over all T·B characters that a window's gradient has, with buffers of their own."""

    def __init__(self, rows: int, vocab_size: int, hidden_size: int, dtype: DTypeLike):
        """Allocate for up to so many characters."""
        N, K, H = rows, vocab_size, hidden_size
        self._ones = np.ones(N, dtype)
        self._numbers = np.arange(N)
        # One call for each character of the vocabulary takes longer than so small a product.
        self._as_product = N * K * H <= 2 * 10**6
        self._one_hot = np.empty((N if self._as_product else 0, K), dtype)
        self._sorted = np.empty((2, N), np.intp)
        self._columns = np.empty((min(N, K), H), dtype)

    def rows(self, x: Array, out: Array) -> None:
        """Write Σ x(t) over `out`, (M,), for x (N, M): 1ᵀ x, which is faster than a sum."""
        np.dot(self._ones[: len(x)], x, out)

    def columns(self, da: Array, ids: CharacterIds, out: Array, *, spare: Array) -> None:
        """Write Σ da(t) x(t)ᵀ over `out`, (H, K), for one-hot x(t).

        Its column k is the sum of the da(t) where k was read. A product with one-hot vectors adds
        K - 1 zeros to each of them; instead the rows are sorted by character, and each run summed.

        Args:
            da: (N, H).
            ids: (T, B) characters, T·B = N.
            out: overwritten.
            spare: (N, H) scratch.
        """
        N, K = len(da), out.shape[1]
        ids, numbers = ids.reshape(N), self._numbers[:N]
        if self._as_product:
            one_hot = self._one_hot[:N]
            one_hot.fill(0)
            one_hot[numbers, ids] = 1
            np.matmul(da.T, one_hot, out)
            return
        # Sorted by id N + n, the rows n of one character follow each other.
        keys, order = self._sorted[:, :N]
        np.multiply(ids, N, keys, dtype=np.intp)
        np.add(keys, numbers, keys)
        keys.sort()
        np.remainder(keys, N, order)
        da.take(order, 0, spare, "clip")
        counts = np.bincount(ids, minlength=K)
        read, end = np.flatnonzero(counts), 0
        for count, column in zip(counts[read].tolist(), self._columns, strict=False):
            start, end = end, end + count
            self.rows(spare[start:end], column)
        out.fill(0)
        out[:, read] = self._columns[: len(read)].T


class BPTT:
    """Truncated back-propagation through time, with buffers allocated once for T × B characters.

    Attributes:
        gradients: dL/dθ of the last window, overwritten by the next.
    """

    def __init__(
        self,
        model: RNN,
        seq_length: int,
        batch_size: int,
        *,
        dropout: bool = False,
        gradient: Array | None = None,
    ):
        """Allocate the buffers.

        Args:
            model: the model.
            seq_length: T.
            batch_size: B.
            dropout: whether masks will be given.
            gradient: (P,) the memory for `gradients`, or None for some of its own.
        """
        L, H, dtype = model.num_layers, model.hidden_size, model.dtype
        T, B = seq_length, batch_size
        self.model = model
        self.gradients = model.parameters_in(
            np.zeros(model.num_parameters, dtype) if gradient is None else gradient
        )
        self._h = np.zeros((L, T + 1, B, H), dtype)
        self._work = np.empty((2, T, B, H), dtype)
        self._o = np.empty((T * B, model.vocab_size), dtype)
        self._x = np.empty((L, T, B, H), dtype) if dropout else None
        self._sums = Sums(T * B, model.vocab_size, H, dtype)
        self._loss = SoftmaxCrossEntropy(T * B, model.vocab_size, dtype)

    def __call__(
        self,
        inputs: CharacterIds,
        targets: CharacterIds,
        state: Array,
        *,
        masks: Array | None = None,
        scale: float = 1.0,
    ) -> float:
        """Run one window forward and backward; leave the gradient in `gradients`.

        The gradient stops at the window's first state.

        Args:
            inputs: (T', B) character ids, T' at most T.
            targets: (T', B) the character after each input.
            state: (L, B, H), h before the window; overwritten with h after it.
            masks: (L, B, H) dropout factors; needs `dropout=True` at construction.
            scale: factor on the gradient: 1 / (T'·B) for that of the mean loss.

        Returns:
            The loss summed over the T'·B characters, in nats.
        """
        T, B = inputs.shape
        model, h = self.model, self._h[:, : T + 1]
        x = None if masks is None or self._x is None else self._x[:, :T]
        h[:, 0] = state
        model.hidden_states(inputs, h, masks, x)
        state[...] = h[:, T]
        top = (h[-1, 1:] if x is None else x[-1]).reshape(T * B, -1)
        o = model.outputs(top, self._o[: T * B])
        loss = self._loss(o, targets, scale)
        model.backward(inputs, o, h, self.gradients, self._work[:, :T], self._sums, masks, x)
        return loss


def log_softmax(o: Array) -> Array:
    """Turn logits (N, K) into log-probabilities, in place, without overflow; return them."""
    o -= o.max(axis=1, keepdims=True)
    o -= np.log(np.exp(o).sum(axis=1, keepdims=True))
    return o


class SoftmaxCrossEntropy:
    """L = Σ −log ŷ[target] with ŷ = softmax(o), and dL/do = ŷ − onehot(target).

    Eqs. 10.11–10.14 and 10.18, with buffers for up to N characters.
    """

    def __init__(self, rows: int, vocab_size: int, dtype: DTypeLike):
        """Allocate for N rows of K logits."""
        self._starts = np.arange(0, rows * vocab_size, vocab_size)
        self._places = np.empty_like(self._starts)
        self._rows = np.empty((2, rows), dtype)
        self._ones = np.ones(vocab_size, dtype)

    def __call__(self, o: Array, targets: CharacterIds, scale: float = 1.0) -> float:
        """Return the loss in nats and overwrite the logits with its gradient times `scale`.

        Args:
            o: (N, K) logits, overwritten.
            targets: the N characters that came.
            scale: factor on the gradient, not on the loss.
        """
        N, flat = len(o), o.reshape(-1)
        at_target, per_row = self._rows[:, :N]
        # Where the target's logit lies in the flattened o.
        places = np.add(self._starts[:N], targets.reshape(N), out=self._places[:N])
        # This changes no softmax, but keeps exp in range. Below e^60 = 10²⁶ a sum over any
        # vocabulary, and `scale` divided by it, are so without: two passes fewer.
        if not -60 < np.minimum.reduce(flat) <= np.maximum.reduce(flat) < 60:
            o -= np.maximum.reduce(o, axis=1, keepdims=True)
        # "clip" skips a copy of `out`; every place is in range.
        flat.take(places, out=at_target, mode="clip")
        np.exp(o, out=o)
        np.dot(o, self._ones, out=per_row)
        # With e = exp(o): the loss is log Σ e − o[target], and dL/do = e / Σ e − onehot(target).
        loss = -float(np.add.reduce(at_target, dtype=np.float64))
        o *= np.divide(scale, per_row, out=at_target)[:, None]
        loss += float(np.add.reduce(np.log(per_row, out=per_row), dtype=np.float64))
        flat.take(places, out=at_target, mode="clip")
        at_target -= o.dtype.type(scale)
        flat[places] = at_target
        return max(loss, 0.0)  # not below by rounding; nan stays nan in this order


class Dropout:
    """Draws dropout factors, 0 or 1 / (1 − rate), for the outputs of every layer.

    They act on what goes up, never on what goes through time (Zaremba, Sutskever & Vinyals
    2014), and stay the same for all characters of a window (Gal & Ghahramani 2016). A factor
    depends on the seed, the step and the stream alone.
    """

    def __init__(
        self,
        rate: float,
        shape: tuple[int, int, int],
        dtype: DTypeLike,
        *,
        seed: int,
        first_stream: int = 0,
    ):
        """Allocate the factors.

        Args:
            rate: share of outputs dropped.
            shape: (L, B, H).
            dtype: of the factors, which are drawn in float32.
            seed: of the run.
            first_stream: the number of the first of these B streams in the whole batch.
        """
        self.rate = rate
        self.seed = seed
        self.first_stream = first_stream
        self._masks = np.empty(shape, dtype)

    def __call__(self, step: int) -> Array:
        """Return the (L, B, H) factors of a step; the next call overwrites them."""
        masks = self._masks
        L, B, H = masks.shape
        for stream in range(B):
            draw = generator(self.seed, Purpose.DROPOUT, step, self.first_stream + stream)
            uniform = draw.random((L, H), np.float32)
            np.greater_equal(uniform, np.float32(self.rate), out=masks[:, stream])
        masks *= masks.dtype.type(1 / (1 - self.rate))
        return masks
