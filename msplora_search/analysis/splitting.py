"""Where along the depth the updates of layers change: the best contiguous split, against chance.

A group of n layers could share one update, their mean; of their energy, each layer made 1, it holds the sum of
their cosines over n. The split into k groups that holds most is found exactly, by dynamic programming (Fisher, On
grouping for maximum homogeneity, 1958). More groups hold more in any case, so k grows only as long as the best
split into one more holds more than in all but 5% of shuffles of the layers within the groups so far: if layers of
a group are alike whatever their places are, that happens in one of 20 adapters (exactly, by permutation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from msplora_search.analysis.updates import Floats

LEVEL = 0.05
SHUFFLES = 399
MOST_GROUPS = 6
FEWEST_LAYERS = 7
"""With fewer, even two halves of equal layers are found in more than 5% of shuffles: 2 (3! 3!) / 6! is 10%."""


@dataclass(frozen=True)
class Split:
    """The split that is suggested."""

    boundaries: tuple[int, ...]
    """0, ..., n, as places among the layers that were looked at; (0, n) where no structure was found."""
    held: float
    """Share of the energy that one update a group would hold."""
    held_by_one: float
    """The same of a single group."""
    p_values: tuple[float, ...]
    """Of 2, 3, ... groups, up to the first that chance explains; none with too few layers."""

    @property
    def groups(self) -> int:
        """How many."""
        return len(self.boundaries) - 1

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "boundaries": list(self.boundaries),
            "held": self.held,
            "held_by_one_group": self.held_by_one,
            "p_values": list(self.p_values),
        }


def suggested_split(similarity: Floats, shuffles: int = SHUFFLES, seed: int = 0) -> Split:
    """The split of layers with these cosines, (n, n). The same for a seed."""
    layers = len(similarity)
    generator, p_values = np.random.default_rng(seed), list[float]()
    boundaries: tuple[int, ...] = (0, layers)
    if layers >= FEWEST_LAYERS:
        while len(boundaries) <= min(MOST_GROUPS, layers // 2):
            groups = len(boundaries)
            held, wider = best_split(similarity, groups)
            more = 0
            for _ in range(shuffles):
                order = np.concatenate([a + generator.permutation(b - a) for a, b in pairwise(boundaries)])
                more += best_split(similarity[np.ix_(order, order)], groups)[0] >= held - 1e-12
            p_values.append((1 + more) / (1 + shuffles))
            if p_values[-1] > LEVEL:
                break
            boundaries = wider
    one = float(similarity.mean()) if layers else 0.0
    return Split(boundaries, held_by(similarity, boundaries), one, tuple(p_values))


def held_by(similarity: Floats, boundaries: Sequence[int]) -> float:
    """Share of the energy that one update a group would hold."""
    layers = len(similarity)
    within = (similarity[a:b, a:b].sum() / (b - a) for a, b in pairwise(boundaries) if b > a)
    return float(sum(within)) / layers if layers else 0.0


def best_split(similarity: Floats, groups: int) -> tuple[float, tuple[int, ...]]:
    """The share held by the best contiguous split into so many groups, and its boundaries."""
    layers = len(similarity)
    gain = _gains(similarity)
    best, froms = gain[0].copy(), list[Floats]()
    for _ in range(groups - 1):
        every = best[:, None] + gain  # (where the last group begins, where it ends)
        froms.append(every.argmax(axis=0))
        best = every.max(axis=0)
    cuts, end = [layers], layers
    for begin in reversed(froms):
        end = int(begin[end])
        cuts.append(end)
    return float(best[layers]) / layers, (0, *reversed(cuts))


def _gains(similarity: Floats) -> Floats:
    """(n + 1, n + 1): what a group from one place to another holds; -inf where it has no layer."""
    layers = len(similarity)
    sums = np.zeros((layers + 1, layers + 1))
    sums[1:, 1:] = similarity.cumsum(axis=0).cumsum(axis=1)
    own = np.diag(sums)
    size = np.subtract.outer(np.arange(layers + 1), np.arange(layers + 1)).T.astype(np.float64)
    block = own[None, :] - sums - sums.T + own[:, None]
    return np.where(size > 0, block / np.where(size > 0, size, 1.0), -np.inf)
