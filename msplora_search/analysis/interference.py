"""Whether the levels of a pyramid pull a weight the same way in training.

A step of gradient descent on the factors of one level changes the weight of a site by, to first order,

    -rate * s * (dB A + B dA),    dA = dL/dA, dB = dL/dB,

where dA and dB of a shared level sum over all layers that share it. The cosine of two levels' changes at a site is
1 where they do the same, 0 where they do not touch, and below 0 where one undoes what the other does. Only the
gradients of the factors are needed, never that of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msplora_search.adapters.bank import AdapterBank, bank_of
from msplora_search.adapters.layer import LowRankAdapter
from msplora_search.analysis.updates import Floats, Update

Cosines = dict[str, dict[tuple[str, str], float]]
"""By the path of a site, then by pairs of levels, the wider first."""


def steps_of(bank: AdapterBank) -> dict[str, dict[str, Update]]:
    """What gradient descent at rate 1 does to the weight of each site through each level, to first order.

    To be called after `backward`; levels without a gradient are left out.
    """
    levels = {id(adapter): key.level for key, adapter in zip(bank.keys, bank.adapters, strict=True)}
    found: dict[str, dict[str, Update]] = {}
    for path, adapters in bank.sites.items():
        for adapter in adapters:
            if adapter.A.grad is not None and adapter.B.grad is not None:
                found.setdefault(path, {})[levels[id(adapter)]] = _step(adapter, adapter.A.grad, adapter.B.grad)
    return found


def cosines_of(bank: AdapterBank) -> Cosines:
    """Of the changes of each two levels at each site; a pair of which one does nothing is left out."""
    found: Cosines = {}
    for path, steps in steps_of(bank).items():
        for (one, first), (other, second) in combinations(steps.items(), 2):
            size = math.sqrt(first.inner(first) * second.inner(second))
            if size > 0:
                found.setdefault(path, {})[one, other] = first.inner(second) / size
    return found


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


def _step(adapter: LowRankAdapter, of_down: Tensor, of_up: Tensor) -> Update:
    down = torch.cat([adapter.A.detach(), of_down])
    up = torch.cat([of_up, adapter.B.detach()], dim=1)
    return Update(-adapter.scaling * _plain(down), _plain(up))


def _plain(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy())
