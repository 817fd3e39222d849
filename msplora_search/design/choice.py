"""A choice: what a sampler picks, before equal models are recognised as one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from msplora_search.design.depth import DepthGroup, spans
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.design.splits import Interval, Scenario


@dataclass(frozen=True)
class Choice:
    """Ranks and boundaries as picked; `mid_ranks` and `layer_ranks` hold one entry a group."""

    targets: tuple[str, ...]
    alpha: float
    global_rank: int
    boundaries: tuple[int, ...]
    mid_ranks: tuple[int, ...]
    layer_ranks: tuple[int, ...]
    scaling: Scaling = Scaling.STANDARD
    """That of the space; nothing to pick."""

    def pyramid(self) -> Pyramid:
        """The model that this choice builds. Raises ValueError where every rank is 0."""
        ranks = zip(spans(self.boundaries), self.mid_ranks, self.layer_ranks, strict=True)
        groups = [DepthGroup(a, b, mid, layer) for (a, b), mid, layer in ranks]
        return Pyramid(self.global_rank, groups, self.targets, self.alpha, self.scaling)


def readings(pyramid: Pyramid) -> list[tuple[int, tuple[DepthGroup, ...]]]:
    """Every assignment of ranks to levels that builds the same stack (see `canonical`)."""
    if len(pyramid.groups) > 1:
        return [(pyramid.global_rank, pyramid.groups)]
    (group,) = pyramid.groups
    ranks = (pyramid.global_rank, group.mid_rank, group.layer_rank)
    orders = set(permutations(ranks)) if group.layers == 1 else {ranks, (ranks[1], ranks[0], ranks[2])}
    return [(g, (DepthGroup(0, group.stop, mid, layer),)) for g, mid, layer in sorted(orders, reverse=True)]


def unfold(
    targets: tuple[str, ...],
    alpha: float,
    scaling: Scaling,
    global_rank: int,
    groups: tuple[DepthGroup, ...],
    scenario: Scenario,
    pieces: list[Interval],
) -> Choice:
    """Read each canonical group as as many groups of a choice as the scenario asks for."""
    boundaries, mids, layers = [0], [], []
    for group, count in zip(groups, _pick_counts(scenario, pieces), strict=True):
        for end in scenario.split.cut(group, count):
            single = end - boundaries[-1] == 1
            mid, layer = _pick_pair(group, scenario, single)
            boundaries.append(end)
            mids.append(mid)
            layers.append(layer)
    return Choice(targets, alpha, global_rank, tuple(boundaries), tuple(mids), tuple(layers), scaling)


def _pick_counts(scenario: Scenario, pieces: list[Interval]) -> list[int]:
    """Fewest groups everywhere, then more from the top until the total is an allowed number."""
    counts = [fewest for fewest, _ in pieces]
    while not scenario.split.closes((sum(counts), sum(counts))):
        grown = next(i for i, (_, most) in enumerate(pieces) if counts[i] < most)
        counts[grown] += 1
    return counts


def _pick_pair(group: DepthGroup, scenario: Scenario, single: bool) -> tuple[int, int]:
    plain = (group.mid_rank, group.layer_rank)
    return plain if plain in scenario.pairs or not single else (group.layer_rank, group.mid_rank)
