"""PyTorch's modules compute what the cells here do. This needs PyTorch (`make peers`)."""

from typing import Any

import numpy as np
import pytest

from charnn.network.bptt import BPTT
from charnn.network.network import Network
from tests.helpers.networks import B, H, K, T

torch: Any = pytest.importorskip("torch")
MODULES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def parts(network: Network, module: Any, output: Any, cell: str) -> list[tuple[Any, Any]]:
    """Return pairs of a parameter here, as a view, and the same one in PyTorch."""
    p, found = network.parameters, [(network.parameters["V"], output.weight)]
    found.append((p["c"], output.bias))
    for layer in range(network.num_layers):
        found.append((p[f"U{layer}"], getattr(module, f"weight_ih_l{layer}")))
        found.append((p[f"W{layer}"], getattr(module, f"weight_hh_l{layer}")))
        found.append((p[f"b{layer}"], getattr(module, f"bias_ih_l{layer}")))
        if cell == "gru":
            found.append((p[f"d{layer}"], getattr(module, f"bias_hh_l{layer}")[2 * H :]))
    return found


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", MODULES)
def test_logits_and_gradients_are_those_of_pytorch(
    cell: str, layers: int, ours_first: bool
) -> None:
    torch.manual_seed(layers)
    network = Network(K, H, layers, dtype=np.float64, cell=cell)
    module = getattr(torch.nn, MODULES[cell])(K, H, layers, dtype=torch.float64)
    output = torch.nn.Linear(H, K, dtype=torch.float64)
    rng = np.random.default_rng(layers)
    network.parameters.flat[...] = rng.normal(0, 0.5, network.num_parameters)
    with torch.no_grad():
        for layer in range(layers):
            second = getattr(module, f"bias_hh_l{layer}")
            second[: 2 * H if cell == "gru" else None] = 0
        for ours, theirs in parts(network, module, output, cell):
            if ours_first:
                theirs.copy_(torch.from_numpy(ours.copy()))
            else:
                ours[...] = theirs.numpy()
    inputs, targets = rng.integers(0, K, (2, T, B))
    state = rng.normal(0, 0.3, network.spec.state_shape(B))
    theirs_state = torch.from_numpy(state.copy())
    start = tuple(theirs_state.split(layers)) if cell == "lstm" else theirs_state
    h, _ = module(torch.eye(K, dtype=torch.float64)[inputs], start)
    logits = output(h)
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets.reshape(-1)), reduction="sum"
    )
    loss.backward()
    o = network.logits(inputs, state.copy())
    np.testing.assert_allclose(o, logits.detach().numpy(), atol=1e-10)
    bptt = BPTT(network, T, B)
    assert bptt(inputs, targets, state) == pytest.approx(float(loss.detach()), abs=1e-10)
    g = bptt.gradients
    np.testing.assert_allclose(g["V"], output.weight.grad, atol=1e-10)
    for layer in range(layers):
        for ours, theirs in (("U", "weight_ih"), ("W", "weight_hh"), ("b", "bias_ih")):
            gradient = getattr(module, f"{theirs}_l{layer}").grad
            np.testing.assert_allclose(g[f"{ours}{layer}"], gradient, atol=1e-10)
        if cell == "gru":
            gradient = getattr(module, f"bias_hh_l{layer}").grad[2 * H :]
            np.testing.assert_allclose(g[f"d{layer}"], gradient, atol=1e-10)
