"""Every configuration of a space, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations, product

from msplora_search.design.choice import Choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits


def every_choice(space: SearchSpace) -> Iterator[tuple[Pyramid, Choice]]:
    """Each canonical pyramid of `space` once, with a choice that builds it: `space.pyramids` of them."""
    met: set[Pyramid] = set()
    for targets, alpha in product(space.targets, space.alpha):
        for global_rank, split in product(space.fitting_global_ranks, every_split(space)):
            each = (product(sorted(pairs), repeat=len(split) - 1) for pairs in space.shared_pairs(global_rank))
            for pairs in chain.from_iterable(each):
                if not global_rank and not any(map(any, pairs)):
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
