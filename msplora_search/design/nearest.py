"""The choice of a space that is nearest to a pyramid, which may come from another space and another depth.

Boundaries keep their fraction of the depth. How far ranks are apart is told by log2(1 + rank), which makes
a doubling about one step, and dropping a level of rank 1 one step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from msplora_search.design.choice import Choice, readings
from msplora_search.design.depth import DepthGroup, spans
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.design.splits import FreeSplits, RankPair

DIGITS = 9
"""Distances that agree to so many are equal: sums of logarithms are not exact."""


@dataclass(frozen=True)
class Piece:
    """A depth group that may end within a layer."""

    start: float
    stop: float
    ranks: RankPair

    @property
    def depth(self) -> float:
        """In layers."""
        return self.stop - self.start


def nearest_choice(pyramid: Pyramid, space: SearchSpace, targets: tuple[str, ...]) -> Choice:
    """The choice of `space` with these targets, one of its own choices, that is nearest to `pyramid`.

    A pyramid that the space holds at its depth is that pyramid. For others the number of groups comes first,
    then where they end, then the ranks; of what is equally near, that with fewer parameters.
    """
    alpha = min(space.alpha, key=lambda value: (_apart_in_alpha(pyramid, value), value))
    held = space.locate(_at_depth(pyramid, space, targets, alpha))
    if held is not None:
        return held
    boundaries, pieces = _nearest_split(_pieces(pyramid.groups, space.layers), space)
    wanted = [(pyramid.global_rank, [piece.ranks for piece in pieces])]
    if len(pyramid.groups) == 1 and len(boundaries) == 2:  # the global and the mid level are one
        wanted = [(rank, [(group.mid_rank, group.layer_rank)]) for rank, (group,) in readings(pyramid)]
    found = (_nearest_ranks(*asked, boundaries, space) for asked in wanted)
    _, _, global_rank, pairs = min(found)
    mids, layers = zip(*pairs, strict=True)
    return Choice(targets, alpha, global_rank, boundaries, mids, layers, space.scaling)


def nearest_rate(rate: float, space: SearchSpace) -> float:
    """The learning rate of `space` that is nearest by its logarithm; of two that are equally near, the lower."""
    match space.learning_rate:
        case LogRange(low, high):
            return min(max(rate, low), high)
        case choices:
            return min(choices, key=lambda choice: (round(abs(math.log(choice / rate)), DIGITS), choice))


Cuts = tuple[int, "Cuts"] | None
"""Where groups end, the last first."""


def nearest_cuts(wanted: Sequence[float], layers: int, least: int) -> tuple[int, ...]:
    """Where groups of at least `least` layers end, but for the last: nearest to `wanted` by the sum of squares.

    `wanted` rises, and there is room for that many groups. Of two layers that are equally near, the later.
    """
    to_spare = layers - (len(wanted) + 1) * least
    ways: list[tuple[float, Cuts]] = [(0.0, None)] * (to_spare + 1)
    """To end here, by the layers spared so far."""
    for before, want in enumerate(wanted, start=1):
        best, following = ways[0], list[tuple[float, Cuts]]()
        for spared, way in enumerate(ways):
            best = way if way[0] <= best[0] else best
            cut = before * least + spared
            following.append((best[0] + (cut - want) ** 2, (cut, best[1])))
        ways = following
    _, cuts = min(reversed(ways), key=lambda way: way[0])
    found: list[int] = []
    while cuts is not None:
        cut, cuts = cuts
        found.append(cut)
    return tuple(reversed(found))


def regrouped(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """As many groups as asked for, of which not all are without a rank where these are not.

    The two neighbours that are the shallowest together become one, with the ranks of the deeper, or of the other
    where that has none; or the deepest group becomes two of equal depth.
    """
    found = list(pieces)
    while len(found) > count:
        at = min(range(len(found) - 1), key=lambda i: found[i].depth + found[i + 1].depth)
        one, other = found[at : at + 2]
        decides = max(one, other, key=lambda piece: (any(piece.ranks), piece.depth))
        found[at : at + 2] = [Piece(one.start, other.stop, decides.ranks)]
    while len(found) < count:
        at = max(range(len(found)), key=lambda i: found[i].depth)
        whole = found[at]
        middle = (whole.start + whole.stop) / 2
        found[at : at + 1] = [Piece(whole.start, middle, whole.ranks), Piece(middle, whole.stop, whole.ranks)]
    return found


def _pieces(groups: Sequence[DepthGroup], layers: int) -> list[Piece]:
    """Groups over another depth."""
    own = groups[-1].stop
    return [Piece(g.start * layers / own, g.stop * layers / own, (g.mid_rank, g.layer_rank)) for g in groups]


def _at_depth(pyramid: Pyramid, space: SearchSpace, targets: tuple[str, ...], alpha: float) -> Pyramid:
    """Its ranks in the groups that fit the depth, with other targets, one alpha, and the scaling of the space."""
    layers = space.layers
    pieces = _pieces(pyramid.groups, layers)
    pieces = regrouped(pieces, min(len(pieces), layers))
    boundaries = (0, *nearest_cuts([piece.stop for piece in pieces[:-1]], layers, 1), layers)
    groups = [DepthGroup(a, b, *piece.ranks) for (a, b), piece in zip(spans(boundaries), pieces, strict=True)]
    return Pyramid(pyramid.global_rank, groups, targets, alpha, space.scaling)


def _nearest_split(pieces: list[Piece], space: SearchSpace) -> tuple[tuple[int, ...], list[Piece]]:
    """Boundaries 0, ..., layers that the space allows, and what was wanted of each of its groups."""
    splits, layers = space.splits, space.layers
    counts = splits.fitting(layers) if isinstance(splits, FreeSplits) else [len(split) - 1 for split in splits]
    count = min(counts, key=lambda allowed: (abs(allowed - len(pieces)), allowed))
    pieces = regrouped(pieces, count)
    wanted = [piece.stop for piece in pieces[:-1]]
    if isinstance(splits, FreeSplits):
        return (0, *nearest_cuts(wanted, layers, splits.min_layers), layers), pieces
    alike = [split for split in splits if len(split) == count + 1]
    return min(alike, key=lambda split: (math.dist(split[1:-1], wanted), split)), pieces


class Extent(NamedTuple):
    """Of all groups that want the same ranks."""

    groups: int
    layers: int


Ranked = tuple[float, int, int, tuple[RankPair, ...]]
"""Distance, rank units, global rank, and the ranks for each that groups want: what comes first is the nearest."""


def _nearest_ranks(
    global_rank: int, wanted: Sequence[RankPair], boundaries: Sequence[int], space: SearchSpace
) -> Ranked:
    """The nearest of `_candidates`, with the ranks of each group."""
    extents: dict[RankPair, Extent] = {}
    for pair, (start, stop) in zip(wanted, spans(boundaries), strict=True):
        groups, layers = extents.get(pair, Extent(0, 0))
        extents[pair] = Extent(groups + 1, layers + stop - start)
    distance, units, chosen, pairs = min(_candidates(global_rank, extents, space))
    nearest = dict(zip(extents, pairs, strict=True))
    return distance, units, chosen, tuple(nearest[pair] for pair in wanted)


def _candidates(global_rank: int, wanted: Mapping[RankPair, Extent], space: SearchSpace) -> Iterable[Ranked]:
    """The nearest ranks for every global rank, and for every rank of a level that all groups share.

    `wanted`: by the ranks of groups. Groups count by their depth, and those that want the same get the same.
    """
    whole = sum(extent.layers for extent in wanted.values())
    for chosen in space.fitting_global_ranks:
        for allowed in space.shared_pairs(chosen):
            pairs = _nearest_pairs(wanted, allowed, not chosen)
            if pairs is None:
                continue
            each = zip(wanted.items(), pairs, strict=True)
            distance, units = whole * _apart((global_rank,), (chosen,)), chosen
            for (pair, extent), (mid, layer) in each:
                distance += extent.layers * _apart(pair, (mid, layer))
                units += extent.groups * mid + extent.layers * layer
            yield round(distance / whole, DIGITS), units, chosen, pairs


def _nearest_pairs(
    wanted: Mapping[RankPair, Extent], allowed: frozenset[RankPair], alone: bool
) -> tuple[RankPair, ...] | None:
    """The allowed ranks that are the nearest to each; `alone`: not all of them may be 0."""
    found = [min(allowed, key=lambda known: (_apart(pair, known), known)) for pair in wanted]
    if alone and not any(map(any, found)):
        present = [pair for pair in allowed if any(pair)]
        if not present:
            return None
        _, at, pair = min(
            (extent.layers * (_apart(want, pair) - _apart(want, (0, 0))), at, pair)
            for at, (want, extent) in enumerate(wanted.items())
            for pair in present
        )
        found[at] = pair
    return tuple(found)


@lru_cache(maxsize=100_000)
def _apart(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    return sum(abs(math.log2((1 + a) / (1 + b))) for a, b in zip(one, other, strict=True))


def _apart_in_alpha(pyramid: Pyramid, alpha: float) -> float:
    return sum(math.log(level / alpha) ** 2 for level in pyramid.alpha.levels if level is not None)
