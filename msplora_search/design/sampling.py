"""Choices of a space that is too large to be listed: at random, and beside a given one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from msplora_search.design.choice import Choice
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits


def random_choice(space: SearchSpace, draw: random.Random) -> Choice:
    """Each dimension drawn evenly, one after another; it may adapt nothing."""
    global_rank = draw.choice(space.fitting_global_ranks)
    split = random_split(space, draw)
    pairs = sorted(draw.choice(space.shared_pairs(global_rank)))
    mids, layers = zip(*(draw.choice(pairs) for _ in split[1:]), strict=True)
    targets, alpha = draw.choice(space.targets), draw.choice(space.alpha)
    return Choice(targets, alpha, global_rank, split, mids, layers, space.scaling)


def random_split(space: SearchSpace, draw: random.Random) -> tuple[int, ...]:
    """Boundaries 0, ..., layers, for a number of groups that is drawn first."""
    if not isinstance(space.splits, FreeSplits):
        return draw.choice(space.splits)
    layers, least = space.layers, space.splits.min_layers
    count = draw.choice(space.splits.fitting(layers))
    depth = layers - count * (least - 1)  # of a stack in which groups of one layer are allowed
    cuts = sorted(draw.sample(range(1, depth), count - 1))
    return (0, *(cut + i * (least - 1) for i, cut in enumerate(cuts, start=1)), layers)


def neighbours(space: SearchSpace, pyramid: Pyramid) -> Iterator[tuple[Pyramid, Choice]]:
    """Pyramids of `space` that differ from `pyramid` in one respect, by one step, with choices that build them.

    One level's rank, everywhere or in one group; one boundary, by a layer; one boundary less or more; the targets.
    """
    met = {pyramid}
    for other in _beside(space, pyramid):
        if other not in met:
            met.add(other)
            choice = space.locate(other)
            if choice is not None:
                yield other, choice


def _beside(space: SearchSpace, pyramid: Pyramid) -> Iterator[Pyramid]:
    groups = pyramid.groups
    alpha = next(alpha for alpha in pyramid.alpha.levels if alpha is not None)  # of a space: one for all levels

    def built(global_rank: int, changed: list[DepthGroup]) -> Iterator[Pyramid]:
        if global_rank or any(group.mid_rank or group.layer_rank for group in changed):
            yield Pyramid(global_rank, changed, pyramid.targets, alpha, space.scaling)

    for rank in _steps(space.global_rank, pyramid.global_rank):
        yield from built(rank, list(groups))
    for level, ranks in (("mid_rank", space.mid_rank), ("layer_rank", space.layer_rank)):
        for places in (range(len(groups)), *([i] for i in range(len(groups)))):
            for up in (False, True):
                changed = list(groups)
                for i in places:
                    steps = _steps(ranks, getattr(groups[i], level))
                    changed[i] = replace(groups[i], **{level: steps[-1] if up else steps[0]})
                yield from built(pyramid.global_rank, changed)
    for i, (one, other) in enumerate(pairwise(groups)):
        yield from built(pyramid.global_rank, [*groups[:i], replace(one, stop=other.stop), *groups[i + 2 :]])
        for cut in (other.start - 1, other.start + 1):
            if one.start < cut < other.stop:
                moved = [replace(one, stop=cut), replace(other, start=cut)]
                yield from built(pyramid.global_rank, [*groups[:i], *moved, *groups[i + 2 :]])
    for i, group in enumerate(groups):
        for cut in range(group.start + 1, group.stop):
            halves = [replace(group, stop=cut), replace(group, start=cut)]
            yield from built(pyramid.global_rank, [*groups[:i], *halves, *groups[i + 1 :]])
    for targets in space.targets:
        yield Pyramid(pyramid.global_rank, groups, targets, alpha, space.scaling)


def _steps(choices: tuple[int, ...], rank: int) -> list[int]:
    """The next lower and the next higher choice; where there is none, the rank itself."""
    lower = [choice for choice in choices if choice < rank]
    higher = [choice for choice in choices if choice > rank]
    return [max(lower, default=rank), min(higher, default=rank)]
