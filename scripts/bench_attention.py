"""Times the proxy's own attention in bf16 beside torch's kernels on this machine's CPU, forward and backward.

    python scripts/bench_attention.py --json attention.json

Each row is a number of keys, with MiniLM's heads (12 of width 32) and a padded batch of 32; the formulations
are timed in turn. `short` pays where it is lowest: so `proxy/attention.py` leaves longer sequences alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from msplora_search.proxy import attention

BATCH, HEADS, WIDTH = 32, 12, 32
KEYS = (16, 32, 55, 64, 96, 128, 192, 256)
Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    """Print and write milliseconds, forward and backward."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    attention.MOST_KEYS = max(KEYS)
    figures: dict[str, dict[str, tuple[float, float]]] = {}
    print("keys   " + "".join(f"{name:>22}" for name in WAYS) + "   softmax")
    for keys in KEYS:
        figures[str(keys)] = found = measure(keys, options.repeats)
        cells = "".join(f"{forward:10.2f} + {backward:6.2f} ms" for forward, backward in found.values())
        print(f"{keys:4}   {cells}  {softmax_ms(keys, options.repeats):7.2f} ms", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(keys: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of every formulation, forward and backward."""
    seen = torch.arange(keys)[None] < torch.randint(max(1, keys - 5), keys + 1, (BATCH, 1))
    mask = seen[:, None, None]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for repeat in range(repeats + 2):
        for name, attend in WAYS.items():
            shape = (BATCH, keys, HEADS, WIDTH)
            q, k, v = (torch.randn(shape, dtype=torch.bfloat16).transpose(1, 2).requires_grad_() for _ in range(3))
            began = time.perf_counter()
            out = attend(q, k, v, mask)
            between = time.perf_counter()
            out.backward(torch.ones_like(out))  # type: ignore[no-untyped-call]
            if repeat >= 2:  # the first two warm up
                times[name].append((1000 * (between - began), 1000 * (time.perf_counter() - between)))
    medians = {name: np.median(np.array(each), axis=0) for name, each in times.items()}
    return {name: (float(forward), float(backward)) for name, (forward, backward) in medians.items()}


def softmax_ms(columns: int, repeats: int) -> float:
    """Median milliseconds of a softmax over so many columns, as many rows as a batch of 55 tokens has."""
    scores = torch.randn(BATCH * HEADS, 55, columns, dtype=torch.bfloat16)
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        torch.softmax(scores, dim=-1)
        took.append(1000 * (time.perf_counter() - began))
    return float(np.median(took))


def short(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """The proxy's own."""
    return attention.short_attention(nn.Module(), query, key, value, mask, is_causal=False)[0]


def fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Torch's fused kernel."""
    mask = mask.expand(-1, -1, query.shape[2], -1)
    return F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2)


def fused_fp32(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Torch's fused kernel in fp32."""
    return fused(query.float(), key.float(), value.float(), mask).to(query.dtype)


def plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Torch's plain formulation."""
    with sdpa_kernel(SDPBackend.MATH):
        return fused(query, key, value, mask)


WAYS: dict[str, Attend] = {"short": short, "fused": fused, "fused, fp32": fused_fp32, "plain": plain}


if __name__ == "__main__":
    main()
