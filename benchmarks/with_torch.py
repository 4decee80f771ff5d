"""The work in PyTorch on the CPU: nn.RNN, nn.LSTM, nn.GRU, and fast loops of bare tensors."""

from typing import Any

import torch
from torch import nn

from benchmarks.measuring import Run
from benchmarks.workload import CLIP_NORM, LEARNING_RATE, WINDOWS, Case, K, Start, streams

NOISE = 1024  # noise is drawn for so many turns at once


CELLS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def network(start: Start, cell: str, embedding: bool) -> tuple[nn.Embedding, nn.RNNBase, nn.Linear]:
    """Return input, recurrent and output layers that compute what charnn's parameters do.

    One-hot vectors are rows of an identity matrix, which are looked up. An embedding has Uᵀ as its
    table, and the first layer's input matrix is the identity. So it starts from the same function
    but has more to learn.
    """
    L, H, U = len(start.layers), start.V.shape[1], start.layers[0]["U"]
    inputs = len(U) if embedding else K
    rnn, output = CELLS[cell](inputs, H, L), nn.Linear(H, K)
    table = torch.tensor(U.T) if embedding else torch.eye(K)
    entry = nn.Embedding.from_pretrained(table.contiguous(), freeze=not embedding)
    with torch.no_grad():
        for n, p in enumerate(start.layers):
            first = torch.eye(inputs) if embedding and n == 0 else torch.tensor(p["U"])
            second = torch.zeros(len(p["b"]))
            if cell == "gru":
                second[2 * H :] = torch.tensor(p["d"])
            for name, value in (
                ("weight_ih", first),
                ("weight_hh", torch.tensor(p["W"])),
                ("bias_ih", torch.tensor(p["b"])),
                ("bias_hh", second),
            ):
                getattr(rnn, f"{name}_l{n}").copy_(value)
            # With a second bias, b would learn twice as fast. The GRU needs a part of that bias.
            getattr(rnn, f"bias_hh_l{n}").requires_grad_(cell == "gru")
        output.weight.copy_(torch.tensor(start.V))
        output.bias.copy_(torch.tensor(start.c))
    return entry, rnn, output


def training(checkpoint: str, case: Case, embedding: bool, threads: int) -> Run:
    """Train nn.RNN, nn.LSTM or nn.GRU with cross entropy, clip_grad_norm_ and fused Adam."""
    modules = nn.ModuleList(network(Start.read(checkpoint), case.cell, embedding))
    entry, rnn, output = modules
    parameters = [p for p in modules.parameters() if p.requires_grad]
    adam = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    data = torch.from_numpy(streams(case.B, case.T))
    state: Any = torch.zeros(case.layers, case.B, case.H)
    if case.cell == "lstm":
        state = state, state
    step = 0

    def run(n: int) -> float:
        nonlocal state, step
        torch.set_num_threads(threads)
        for _ in range(n):
            at = step % WINDOWS * case.T
            window = data[at : at + case.T + 1]
            adam.zero_grad(set_to_none=True)
            h, state = rnn(entry(window[:-1]), state)
            state = (
                tuple(part.detach() for part in state) if case.cell == "lstm" else state.detach()
            )
            loss = nn.functional.cross_entropy(output(h).flatten(0, 1), window[1:].flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
            adam.step()
            step += 1
        return float(loss.detach())

    return run


def stepped(checkpoint: str, streams: int, threads: int, cell: str = "rnn") -> Run:
    """Sample as PyTorch scripts do: one character at a time, by softmax and multinomial."""
    start = Start.read(checkpoint)
    entry, rnn, output = network(start, cell, embedding=False)
    state: Any = torch.zeros(len(start.layers), streams, start.V.shape[1])
    if cell == "lstm":
        state = state, state
    ids = torch.zeros(1, streams, dtype=torch.long)

    def run(n: int) -> None:
        nonlocal state, ids
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for _ in range(n):
                h, state = rnn(entry(ids), state)
                ids = torch.multinomial(torch.softmax(output(h[0]), dim=1), 1).T
                ids.tolist()

    return run


class _Tensors:
    """The parameters in the layout for sampling by hand.

    U of the first layer and its bias make a table of rows. The layers above multiply [U W] by
    the two states, which lie side by side. Matrices are stored by columns, which is faster.
    """

    def __init__(self, start: Start):
        (U, W, b), *above = [[torch.tensor(p[name]) for name in "UWb"] for p in start.layers]
        self.table = (U.T + b).contiguous()
        self.matrices = [self._columns(W)]
        self.matrices += [self._columns(torch.cat((U, W), dim=1)) for U, W, _ in above]
        self.biases = [b for _, _, b in above]
        self.V, self.c = self._columns(torch.tensor(start.V)), torch.tensor(start.c)

    @staticmethod
    def _columns(matrix: Any) -> Any:
        return matrix.T.contiguous().T

    def noise(self, *shape: int) -> Any:
        """Return Gumbel noise plus c. The argmax of V h + noise is a draw from the softmax."""
        return self.c - torch.empty(*shape, K).exponential_().log_()


def _loop(
    rows: list[torch.Tensor],
    matrices: list[torch.Tensor],
    biases: list[torch.Tensor],
    V: torch.Tensor,
    noise: list[torch.Tensor],
    read: list[torch.Tensor],
    written: list[torch.Tensor],
    a: torch.Tensor,
    o: torch.Tensor,
    i: int,
) -> list[int]:
    """Draw a character for each row of noise, in place and without allocations."""
    drawn: list[int] = []
    for z in noise:
        torch.addmv(rows[i], matrices[0], read[0], out=a)
        torch.tanh(a, out=written[0])
        for n in range(1, len(matrices)):
            torch.addmv(biases[n - 1], matrices[n], read[n], out=a)
            torch.tanh(a, out=written[n])
        torch.addmv(z, V, written[-1], out=o)
        i = int(torch.argmax(o))
        drawn.append(i)
    return drawn


def by_hand(checkpoint: str, script: bool) -> Run:
    """Sample one stream with bare tensors and one thread; `script` compiles the loop."""
    start = Start.read(checkpoint)
    tensors, L, H = _Tensors(start), len(start.layers), start.V.shape[1]
    state, i = torch.zeros(L * H), 0
    written = [state[n * H : (n + 1) * H] for n in range(L)]
    read = [state[max(0, n - 1) * H : (n + 1) * H] for n in range(L)]
    loop = torch.jit.script(_loop) if script else _loop
    rows = list(tensors.table)
    a, o = torch.empty(H), torch.empty(K)

    def run(n: int) -> None:
        nonlocal i
        torch.set_num_threads(1)
        with torch.inference_mode():
            while n > 0:
                noise = list(tensors.noise(min(n, NOISE)))
                i = loop(
                    rows, tensors.matrices, tensors.biases, tensors.V, noise, read, written, a, o, i
                )[-1]
                n -= len(noise)

    return run


def gated_by_hand(checkpoint: str, cell: str) -> Run:
    """Sample one stream of one gated layer with bare tensors and one thread."""
    start = Start.read(checkpoint)
    tensors, H, i = _Tensors(start), start.V.shape[1], 0
    rows, W = list(tensors.table), tensors.matrices[0]
    h, s, o = torch.zeros(H), torch.zeros(H), torch.empty(K)
    a, m = torch.empty(len(W)), torch.zeros(len(W))
    if cell == "gru":
        m[2 * H :] = torch.tensor(start.layers[0]["d"])

    def lstm(i: int) -> None:
        torch.addmv(rows[i], W, h, out=a)
        torch.sigmoid_(a[: 2 * H])
        torch.tanh_(a[2 * H : 3 * H])
        torch.sigmoid_(a[3 * H :])
        s.mul_(a[H : 2 * H]).addcmul_(a[:H], a[2 * H : 3 * H])
        torch.mul(torch.tanh(s), a[3 * H :], out=h)

    def gru(i: int) -> None:
        torch.addmv(m, W, h, out=a)
        x = rows[i]
        gates = torch.sigmoid_(a[: 2 * H].add_(x[: 2 * H]))
        n = torch.tanh_(torch.addcmul(x[2 * H :], gates[:H], a[2 * H :]))
        torch.lerp(n, h, gates[H:], out=h)

    step = {"lstm": lstm, "gru": gru}[cell]

    def run(n: int) -> None:
        nonlocal i
        torch.set_num_threads(1)
        with torch.inference_mode():
            while n > 0:
                for z in tensors.noise(min(n, NOISE)):
                    step(i)
                    torch.addmv(z, tensors.V, h, out=o)
                    i = int(torch.argmax(o))
                n -= NOISE

    return run


def by_hand_batched(checkpoint: str, streams: int, threads: int) -> Run:
    """Sample several streams with bare tensors: `_loop` with matrices instead of vectors."""
    start = Start.read(checkpoint)
    tensors, L, H = _Tensors(start), len(start.layers), start.V.shape[1]
    matrices = [matrix.T for matrix in tensors.matrices]
    state, ids = torch.zeros(streams, L * H), torch.zeros(streams, dtype=torch.long)
    rows, a, o = torch.empty(streams, H), torch.empty(streams, H), torch.empty(streams, K)

    def turn(z: Any) -> None:
        torch.index_select(tensors.table, 0, ids, out=rows)
        for layer, matrix in enumerate(matrices):
            bias = tensors.biases[layer - 1] if layer else rows
            read = state[:, max(0, layer - 1) * H : (layer + 1) * H]
            torch.addmm(bias, read, matrix, out=a)
            torch.tanh(a, out=state[:, layer * H : (layer + 1) * H])
        torch.addmm(z, state[:, -H:], tensors.V.T, out=o)
        torch.argmax(o, dim=1, out=ids)
        ids.tolist()

    def run(n: int) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            while n > 0:
                noise = tensors.noise(min(n, NOISE // streams), streams)
                for z in noise:
                    turn(z)
                n -= len(noise)

    return run
