"""Every configuration of a space, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from msplora_search.design.choice import Choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits, RankPair


def every_choice(space: SearchSpace) -> Iterator[tuple[Pyramid, Choice]]:
    """Each canonical pyramid of `space` once, with a choice that builds it: `space.pyramids` of them."""
    met: set[Pyramid] = set()
    for targets, alpha in product(space.targets, space.alpha):
        for global_rank, split in product(space.fitting_global_ranks, every_split(space)):
            for pairs in _pairs_of_groups(space, global_rank, len(split) - 1):
                if not global_rank and not any(mid or layer for mid, layer in pairs):
                    continue
                mids, layers = zip(*pairs, strict=True)
                choice = Choice(targets, alpha, global_rank, split, mids, layers, space.scaling)
                pyramid = choice.pyramid()
                if pyramid not in met:
                    met.add(pyramid)
                    yield pyramid, choice


def every_split(space: SearchSpace) -> Iterator[tuple[int, ...]]:
    """Boundaries 0, ..., layers of every way to cut the depth that the space allows."""
    if not isinstance(space.splits, FreeSplits):
        yield from space.splits
        return
    layers, least = space.layers, space.splits.min_layers
    for count in space.splits.fitting(layers):
        depth = layers - count * (least - 1)  # of a stack in which groups of one layer are allowed
        for cuts in combinations(range(1, depth), count - 1):
            yield (0, *(cut + i * (least - 1) for i, cut in enumerate(cuts, start=1)), layers)


def _pairs_of_groups(space: SearchSpace, global_rank: int, groups: int) -> Iterator[tuple[RankPair, ...]]:
    """The (mid, layer) ranks of each group, where levels that are not searched by group agree."""
    pairs = sorted(space.pairs(global_rank))
    for chosen in product(pairs, repeat=groups) if space.per_group else ((pair,) * groups for pair in pairs):
        alike_mid = space.mid_per_group or len({mid for mid, _ in chosen}) == 1
        alike_layer = space.layer_per_group or len({layer for _, layer in chosen}) == 1
        if alike_mid and alike_layer:
            yield chosen
