"""JAX on the CPU: the whole training step is one compiled function."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.measuring import Run
from benchmarks.workload import CLIP_NORM, LEARNING_RATE, WINDOWS, Case, K, Start, streams


def training(checkpoint: str, case: Case, embedding: bool, unroll: int) -> Run:
    """Train with one jit-compiled step a window: loss, clipping and Adam, buffers donated.

    What does not wait for the character before is outside of the scan, one product for the
    whole window; the windows are cut from the text inside the step.
    """
    H, _, B, T = case

    def loss_of(parameters: Any, inputs: Any, targets: Any, state: Any) -> tuple[Any, Any]:
        layers, V, c = parameters
        states = []
        h: Any = None
        for n, (U, W, b) in enumerate(layers):
            if n > 0:
                a = h.reshape(T * B, H) @ U.T
            elif embedding:
                a = U.T[inputs]
            else:
                a = jax.nn.one_hot(inputs.reshape(T * B), K) @ U.T

            def cell_of(h: Any, a: Any, W: Any = W) -> tuple[Any, Any]:
                h = jnp.tanh(a + h @ W.T)
                return h, h

            last, h = lax.scan(cell_of, state[n], a.reshape(T, B, H) + b, unroll=unroll)
            states.append(last)
        log_y = jax.nn.log_softmax(h.reshape(T * B, H) @ V.T + c)
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
    held = [start, *zeros, jnp.float32(0), jnp.zeros((case.layers, B, H))]
    data = jnp.asarray(streams(B, T), jnp.int32)
    made = 0

    def run(n: int) -> float:
        nonlocal made
        for _ in range(n):
            *held[:], loss = compiled(*held, data, made % WINDOWS * T)
            made += 1
        # Steps are queued; the loss is there when all are done.
        return float(loss)

    return run
