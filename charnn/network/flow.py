"""Gradients of single losses, followed back through time, one step at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charnn.network.arrays import Array, CharacterIds
from charnn.network.layer import Work
from charnn.network.loss import log_softmax
from charnn.network.network import Network, Reader


class Gradients(NamedTuple):
    """The gradients of n losses with respect to the states and inputs k characters earlier.

    Attributes:
        states: (S, n, H), dL(t)/dh(t−k) of every layer, then dL(t)/ds(t−k) of those with an s.
        x: (n, K), dL(t)/dx(t−k), with respect to the one-hot vector.
    """

    states: Array
    x: Array


def gradients_back(
    network: Network,
    ids: CharacterIds,
    states: Array,
    places: NDArray[np.intp],
    lags: int,
    boundary: int | None = None,
) -> Iterator[Gradients]:
    """Yield the gradients at t − k for k = 0, 1 … lags, in float64.

    L(t) is the loss, in nats, of the one character after x(t), along all paths. The n places t are
    followed side by side, as a batch of n streams with one character each.

    Args:
        network: of any dtype.
        ids: (N,) character ids.
        states: (S, N, H), the state after each of them.
        places: (n,) the t, at most N − 2.
        lags: the largest k.
        boundary: the id of the character before which the state is zero, or None. Gradients of
            places beyond such a character are meaningless.
    """
    L, n, H = network.num_layers, len(places), network.hidden_size
    exact = Network.from_config(network.spec, network.vocab_size, np.float64)
    exact.parameters.flat[...] = network.parameters.flat
    V, c = exact.parameters["V"], exact.parameters["c"]
    work = Work(exact.spec, 1, n)
    reader = Reader(exact, 1, n, work=work)
    # dL(t)/do(t) = ŷ(t) − onehot(x(t+1))
    do = np.exp(log_softmax(states[L - 1, places].astype(np.float64) @ V.T + c))
    do[np.arange(n), ids[places + 1]] -= 1
    # dL(t)/d(the state after) of each layer through later characters.
    later = np.zeros((L, exact.spec.cell_class.states, n, H))
    work.dh[0] = do @ V
    for lag in range(lags + 1):
        at = places - lag
        before = states[:, at - 1].astype(np.float64)
        before[:, at == 0] = 0
        if boundary is not None:
            before[:, ids[at] == boundary] = 0
        reader.read(ids[at][None].astype(np.intp), before)
        found = np.empty(exact.spec.state_shape(n))
        for layer in reversed(reader.layers):
            d_state, own = later[layer.index], found[layer.index :: L]
            own[...] = d_state
            own[0] += work.dh[0]
            layer.back_through_time(d_state)
            if layer.cell.delta_of_s is not None:
                own[1] += work.delta[layer.cell.delta_of_s, 0]
            if layer.index > 0:
                layer.back_to_input()
        first = reader.layers[0]
        U = exact.parameters["U0"].reshape(first.cell.gates, H, -1)
        das = (work.delta[block, 0] for block in first.cell.deltas_of_U)
        yield Gradients(found, sum(da @ U_g for da, U_g in zip(das, U, strict=True)))
        work.dh.fill(0)
