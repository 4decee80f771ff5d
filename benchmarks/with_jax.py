"""The work in JAX on the CPU. The whole training step is one compiled function."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.measuring import Run
from benchmarks.workload import CLIP_NORM, LEARNING_RATE, WINDOWS, Case, K, Start, streams


def _lstm(a: Any, Wh: Any, state: Any, p: Any) -> Any:
    i, f, g, q = jnp.split(a + Wh, 4, axis=-1)
    s = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jnp.stack([jax.nn.sigmoid(q) * jnp.tanh(s), s])


def _gru(a: Any, Wh: Any, state: Any, p: Any) -> Any:
    (a_r, a_u, a_n), (m_r, m_u, m) = jnp.split(a, 3, axis=-1), jnp.split(Wh, 3, axis=-1)
    r, u = jax.nn.sigmoid(a_r + m_r), jax.nn.sigmoid(a_u + m_u)
    n = jnp.tanh(a_n + r * (m + p["d"]))
    return (u * state[0] + (1 - u) * n)[None]


STEPS: dict[str, Any] = {
    "rnn": lambda a, Wh, state, p: jnp.tanh(a + Wh)[None],
    "lstm": _lstm,
    "gru": _gru,
}


def training(checkpoint: str, case: Case, embedding: bool, unroll: int) -> Run:
    """Train with one jit-compiled step per window: loss, clipping and Adam, with donated buffers.

    Everything that does not depend on the previous character is outside the scan, as one product
    for the whole window. The step itself cuts its window from the text.
    """
    _, _, B, T, cell = case

    def loss_of(parameters: Any, inputs: Any, targets: Any, state: Any) -> tuple[Any, Any]:
        layers, V, c = parameters
        states = []
        h: Any = None
        for n, p in enumerate(layers):
            U, b = p["U"], p["b"]
            if n > 0:
                a = h.reshape(T * B, -1) @ U.T
            elif embedding:
                a = U.T[inputs]
            else:
                a = jax.nn.one_hot(inputs.reshape(T * B), K) @ U.T

            def cell_of(state: Any, a: Any, p: Any = p) -> tuple[Any, Any]:
                state = STEPS[cell](a, state[0] @ p["W"].T, state, p)
                return state, state[0]

            last, h = lax.scan(cell_of, state[n], a.reshape(T, B, -1) + b, unroll=unroll)
            states.append(last)
        log_y = jax.nn.log_softmax(h.reshape(T * B, -1) @ V.T + c)
        if embedding:
            chosen = jnp.take_along_axis(log_y, targets.reshape(T * B, 1), axis=1)
        else:
            chosen = (log_y * jax.nn.one_hot(targets.reshape(T * B), K)).sum(axis=1)
        return -chosen.mean(), jnp.stack(states)

    def step(
        parameters: Any, m: Any, v: Any, count: Any, state: Any, data: Any, at: Any
    ) -> tuple[Any, ...]:
        window = lax.dynamic_slice(data, (at, 0), (T + 1, B))
        (loss, state), g = jax.value_and_grad(loss_of, has_aux=True)(
            parameters, window[:-1], window[1:], state
        )
        norm = jnp.sqrt(sum(jnp.vdot(part, part) for part in jax.tree.leaves(g)))
        g = jax.tree.map(lambda g: g * jnp.minimum(1.0, CLIP_NORM / norm), g)
        count = count + 1
        m = jax.tree.map(lambda m, g: m + (1 - 0.9) * (g - m), m, g)
        v = jax.tree.map(lambda v, g: v + (1 - 0.999) * (g * g - v), v, g)
        corrected_m, corrected_v = 1 - 0.9**count, 1 - 0.999**count
        parameters = jax.tree.map(
            lambda p, m, v: (
                p - LEARNING_RATE * (m / corrected_m) / (jnp.sqrt(v / corrected_v) + 1e-8)
            ),
            parameters,
            m,
            v,
        )
        return parameters, m, v, count, state, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2, 3, 4))
    start = jax.tree.map(jnp.asarray, tuple(Start.read(checkpoint)))
    zeros = [jax.tree.map(jnp.zeros_like, start) for _ in range(2)]
    shape = (case.layers, 2 if cell == "lstm" else 1, B, case.H)
    held = [start, *zeros, jnp.float32(0), jnp.zeros(shape)]
    data = jnp.asarray(streams(B, T), jnp.int32)
    made = 0

    def run(n: int) -> float:
        nonlocal made
        for _ in range(n):
            *held[:], loss = compiled(*held, data, made % WINDOWS * T)
            made += 1
        # JAX queues the steps. Reading the loss waits until all of them are done.
        return float(loss)

    return run
