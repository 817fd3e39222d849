"""The best contiguous depth groups for given costs of a group, by dynamic programming."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msplora_search.compression.levels import Spans

Floats = NDArray[np.float64]


def best_groups(costs: Floats, count: int) -> Spans:
    """`count` contiguous groups with the least sum of costs.

    `costs` (layers, layers + 1): `costs[a, b]` is that of the layers a to b - 1. Raises ValueError where
    there are fewer layers than groups.
    """
    layers = len(costs)
    if not 1 <= count <= layers:
        raise ValueError(f"{count} groups of {layers} layers")
    best = np.full((count + 1, layers + 1), np.inf)
    last = np.zeros((count + 1, layers + 1), dtype=int)
    best[0, 0] = 0.0
    for k in range(1, count + 1):
        for stop in range(k, layers + 1):
            sums = best[k - 1, :stop] + costs[:stop, stop]
            last[k, stop] = int(np.argmin(sums))
            best[k, stop] = sums[last[k, stop]]
    found, stop = [], layers
    for k in range(count, 0, -1):
        found.append((int(last[k, stop]), stop))
        stop = int(last[k, stop])
    return tuple(reversed(found))


def sharing_energies(updates: Tensor) -> Tensor:
    """`[a, b, r]`: the energy of updates a to b - 1, (p, q) each, that one shared matrix of rank r explains.

    For n matrices, that matrix is the truncated SVD of their mean, and explains n times its energy.
    """
    layers, size = len(updates), min(updates.shape[1:])
    sums = torch.cat([updates.new_zeros(1, *updates.shape[1:]), updates.cumsum(0)])
    found = updates.new_zeros(layers, layers + 1, size + 1)
    for a in range(layers):
        lengths = torch.arange(1, layers - a + 1, dtype=updates.dtype)
        values = torch.linalg.svdvals((sums[a + 1 :] - sums[a]) / lengths[:, None, None])
        found[a, a + 1 :, 1:] = (values**2).cumsum(-1) * lengths[:, None]
    return found


def sharing_costs(energies: list[Tensor], rank: int) -> Floats:
    """Costs for `best_groups`: what sharing at `rank` explains, summed over families, with its sign turned.

    The energy of all updates is the same for every split, and left out.
    """
    explained = [e[:, :, min(rank, e.shape[2] - 1)].numpy() for e in energies]
    return np.asarray(-np.sum(explained, axis=0), dtype=np.float64)
