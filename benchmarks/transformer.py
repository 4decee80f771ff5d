"""Train a small Transformer on a text, for comparison: ``python -m benchmarks.transformer TEXT``.

The network, settings and amount of work are those of nanoGPT's recipe for a CPU, in PyTorch:
`train_shakespeare_char.py` with the options that its README gives for a laptop. The network has 4
of GPT-2's blocks, of width 128 with 4 heads, without biases or dropout. Embedding and output are
tied. AdamW takes 2,001 steps of 12 windows of 64 characters. Every 250 steps, the loss is measured
over 20 batches of both parts. After the clock has stopped, the script measures the same loss as
`charnn eval --context 64`: the mean over the last tenth in windows of 64.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
STEPS, WARMUP, HIGHEST, LOWEST = 2000, 100, 1e-3, 1e-4
EVAL_EVERY, EVAL_BATCHES = 250, 20

Network = dict[str, torch.Tensor]


def network(vocab_size: int) -> Network:
    """Return initial parameters: normal(0.02), smaller where a block adds to its input."""
    shapes = {"token": (vocab_size, WIDTH), "position": (CONTEXT, WIDTH)}
    for n in range(LAYERS):
        shapes |= {
            f"qkv{n}": (3 * WIDTH, WIDTH),
            f"out{n}": (WIDTH, WIDTH),
            f"up{n}": (4 * WIDTH, WIDTH),
            f"down{n}": (WIDTH, 4 * WIDTH),
        }
    narrower = ("out", "down")
    theta = {
        name: 0.02
        / (math.sqrt(2 * LAYERS) if name.startswith(narrower) else 1)
        * torch.randn(shape)
        for name, shape in shapes.items()
    }
    norms = [f"{which}{n}" for n in range(LAYERS) for which in ("before", "between")]
    theta |= {name: torch.ones(WIDTH) for name in (*norms, "after")}
    return {name: value.requires_grad_() for name, value in theta.items()}


def losses(theta: Network, windows: torch.Tensor) -> torch.Tensor:
    """Return −log ŷ of all but the first character of each window, (B · T,), in nats."""
    inputs, targets = windows[:, :-1], windows[:, 1:]
    B, T = inputs.shape
    x = theta["token"][inputs] + theta["position"][:T]
    for n in range(LAYERS):
        qkv = F.linear(F.layer_norm(x, (WIDTH,), theta[f"before{n}"]), theta[f"qkv{n}"])
        q, k, v = qkv.view(B, T, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(seen.transpose(1, 2).reshape(B, T, WIDTH), theta[f"out{n}"])
        up = F.linear(F.layer_norm(x, (WIDTH,), theta[f"between{n}"]), theta[f"up{n}"])
        x = x + F.linear(F.gelu(up), theta[f"down{n}"])
    o = F.linear(F.layer_norm(x, (WIDTH,), theta["after"]), theta["token"])
    return F.cross_entropy(o.flatten(0, 1), targets.flatten(), reduction="none")


def learning_rate(step: int) -> float:
    """Return η of a step: linear warm-up, then half a cosine."""
    if step < WARMUP:
        return HIGHEST * (step + 1) / (WARMUP + 1)
    done = (step - WARMUP) / (STEPS - WARMUP)
    return LOWEST + (HIGHEST - LOWEST) * (1 + math.cos(math.pi * done)) / 2


def drawn(ids: torch.Tensor) -> torch.Tensor:
    """Return a batch of windows from random places."""
    starts = torch.randint(len(ids) - CONTEXT, (BATCH,))
    return ids[starts[:, None] + torch.arange(CONTEXT + 1)]


def main() -> None:
    """Train, and print the time and the losses."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transformer", description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    characters = np.array([ord(character) for character in given.text.read_text(encoding="utf-8")])
    alphabet, numbers = np.unique(characters, return_inverse=True)
    ids = torch.from_numpy(numbers)
    train, val = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    theta = network(len(alphabet))
    matrices = [p for p in theta.values() if p.ndim == 2]
    gains = [p for p in theta.values() if p.ndim == 1]
    adam = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}],
        betas=(0.9, 0.99),
    )
    print(f"{sum(p.numel() for p in theta.values()):,} parameters", flush=True)
    began = time.perf_counter()
    for step in range(STEPS + 1):
        if step % EVAL_EVERY == 0:
            with torch.no_grad():
                means = [
                    float(
                        torch.stack(
                            [losses(theta, drawn(part)).mean() for _ in range(EVAL_BATCHES)]
                        ).mean()
                    )
                    for part in (train, val)
                ]
            seconds = time.perf_counter() - began
            print(
                f"step {step:,}  train {means[0]:.4f}  val {means[1]:.4f}  {seconds:.1f} s",
                flush=True,
            )
        for group in adam.param_groups:
            group["lr"] = learning_rate(step)
        adam.zero_grad(set_to_none=True)
        losses(theta, drawn(train)).mean().backward()
        torch.nn.utils.clip_grad_norm_(theta.values(), 1.0)
        adam.step()
    print(f"{time.perf_counter() - began:.1f} seconds of training, including evaluations")
    rows = val[: (len(val) - 1) // CONTEXT * CONTEXT + 1].unfold(0, CONTEXT + 1, CONTEXT)
    with torch.no_grad():
        whole = torch.cat([losses(theta, part) for part in rows.split(64)]).double().mean()
    print(f"{float(whole):.4f} nats per character over the last tenth, in windows of {CONTEXT}")


if __name__ == "__main__":
    main()
