"""Whether the levels of a pyramid pull a weight the same way in training.

A step of gradient descent on the factors of one level changes the weight of a site by, to first order,

    -rate * s * (dB A + B dA),    dA = dL/dA, dB = dL/dB,

where dA and dB of a shared level sum over all layers that share it. The cosine of two levels' changes at a site is
1 where they do the same, 0 where they do not touch, and below 0 where one undoes what the other does. Only the
gradients of the factors are needed, never that of the weight. Adam, which scales every entry of a factor by its
own past, makes another step of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from msplora_search.adapters.bank import AdapterBank, bank_of
from msplora_search.adapters.layer import LowRankAdapter

Step = tuple[Tensor, Tensor]
"""`up @ down` is what is added to a weight: up (d_out, k), down (k, d_in)."""
Pair = tuple[str, str]
"""Of levels, the wider first."""
Cosines = dict[str, dict[Pair, float]]
"""By the path of a site, then by pairs."""


def steps_of(bank: AdapterBank) -> dict[str, dict[str, Step]]:
    """What gradient descent at rate 1 does to the weight of each site through each level, to first order; float64.

    To be called after `backward`; levels without a gradient are left out.
    """
    levels = {id(adapter): key.level for key, adapter in zip(bank.keys, bank.adapters, strict=True)}
    found: dict[str, dict[str, Step]] = {}
    for path, adapters in bank.sites.items():
        for adapter in adapters:
            if adapter.A.grad is not None and adapter.B.grad is not None:
                found.setdefault(path, {})[levels[id(adapter)]] = _step(adapter, adapter.A.grad, adapter.B.grad)
    return found


def cosines_of(bank: AdapterBank) -> Cosines:
    """Of the changes of each two levels at each site.

    A pair of which one does nothing, or overflows, is left out.
    """
    found: Cosines = {}
    for path, steps in steps_of(bank).items():
        names, inner = list(steps), _inner(list(steps.values()))
        for i, j in combinations(range(len(names)), 2):
            size = math.sqrt(inner[i][i]) * math.sqrt(inner[j][j])
            if 0 < size < math.inf:
                found.setdefault(path, {})[names[i], names[j]] = inner[i][j] / size
    return found


def by_layer(bank: AdapterBank, cosines: Cosines) -> dict[Pair, list[float | None]]:
    """Means over the sites of each layer; None where a pair does not meet in it.

    Of several stacks, layers of the same number are taken together.
    """
    several: dict[Pair, list[list[float]]] = {}
    for site in bank.anatomy.sites:
        for pair, cosine in cosines.get(site.path, {}).items():
            several.setdefault(pair, [[] for _ in range(bank.anatomy.layers)])[site.layer].append(cosine)
    return {
        pair: [sum(found) / len(found) if found else None for found in layers] for pair, layers in several.items()
    }


def interference(model: nn.Module, batches: Iterable[Mapping[str, Any]]) -> Iterator[Cosines]:
    """The cosines at each batch, of an adapted model whose `forward` gives a loss; it is not trained by this.

    In a training loop call `cosines_of(bank)` after `backward` instead. Raises ValueError where the model is not
    adapted. Gradients that were there before are lost.
    """
    bank = bank_of(model)
    for batch in batches:
        model.zero_grad()
        model(**batch).loss.backward()
        yield cosines_of(bank)
    model.zero_grad()


def _step(adapter: LowRankAdapter, of_down: Tensor, of_up: Tensor) -> Step:
    up = torch.cat([of_up, adapter.B.detach()], dim=1)
    down = torch.cat([adapter.A.detach(), of_down])
    return -adapter.scaling * up.double(), down.double()


def _inner(steps: list[Step]) -> list[list[float]]:
    """Frobenius inner products of steps, (steps, steps): traces of (up^T up') (down' down^T), in one product."""
    ups, downs = torch.cat([up for up, _ in steps], dim=1), torch.cat([down for _, down in steps])
    products = (ups.T @ ups) * (downs @ downs.T)
    of_step = torch.arange(len(steps)).repeat_interleave(torch.tensor([len(down) for _, down in steps]))
    one_hot = torch.nn.functional.one_hot(of_step, len(steps)).to(products)
    found: list[list[float]] = (one_hot.T @ products @ one_hot).tolist()
    return found
