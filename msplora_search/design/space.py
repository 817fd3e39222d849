"""What may be proposed: rank choices, depth groups, shapes, targets, scaling and learning rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise, product

from msplora_search.design.choice import Choice, readings, unfold
from msplora_search.design.counting import MOST_SCENARIOS, TooLargeError, count_canonical
from msplora_search.design.depth import DepthGroup, split_evenly
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.design.splits import FixedSplit, FreeSplits, RankPair, Scenario

MOST_COUNTED = 10**300
"""Python turns no numbers into text that are much larger."""


class Shape(StrEnum):
    """Which ranks may stand together. Rank 0 drops a level, so it never breaks a shape but geometric."""

    ANY = "any"
    NON_INCREASING = "non-increasing"
    GEOMETRIC = "geometric"

    def allows(self, global_rank: int, mid_rank: int, layer_rank: int) -> bool:
        """Non-increasing compares the levels that are present; geometric is r, r // 2, r // 4."""
        match self:
            case Shape.ANY:
                return True
            case Shape.NON_INCREASING:
                present = [rank for rank in (global_rank, mid_rank, layer_rank) if rank]
                return present == sorted(present, reverse=True)
            case Shape.GEOMETRIC:
                return (mid_rank, layer_rank) == (global_rank // 2, global_rank // 4)


@dataclass(frozen=True)
class LogRange:
    """A continuous range of learning rates; `log` draws them uniformly in their logarithm."""

    low: float
    high: float
    log: bool = True


@dataclass(frozen=True)
class SearchSpace:
    """All pyramids that a search may propose for a stack of `layers` layers.

    `splits` is either `FreeSplits` (every split into an allowed number of groups) or a tuple of
    boundaries. `learning_rate` holds choices, or a range.

    Raises ValueError when no split fits the depth, or no combination of ranks fits the shape.
    """

    layers: int
    targets: tuple[tuple[str, ...], ...]
    global_rank: tuple[int, ...]
    mid_rank: tuple[int, ...]
    layer_rank: tuple[int, ...]
    splits: FreeSplits | tuple[tuple[int, ...], ...]
    ranks: frozenset[tuple[int, int, int]] | None = None
    """The (global, mid, layer) ranks that may stand together, where not all may."""
    mid_per_group: bool = False
    layer_per_group: bool = False
    shape: Shape = Shape.ANY
    alpha: tuple[float, ...] = (16.0,)
    learning_rate: tuple[float, ...] | LogRange = (2e-3,)
    most_groups: int | None = None
    """Depth groups that fit every stack of a model with a shallower one; None: as many as layers."""
    scaling: Scaling = Scaling.STANDARD
    """Of every pyramid, and of the baselines."""

    def __post_init__(self) -> None:
        if isinstance(self.splits, FreeSplits):
            if not self.splits.fitting(self.layers):
                raise ValueError(
                    f"no depth groups fit: {self.splits} in a stack of {self.layers} layers; "
                    "allow fewer groups or fewer layers in each"
                )
        elif not self.splits:
            raise ValueError("no split is given; there must be at least one")
        else:
            for split in self.splits:
                _require_split(split, self.layers)
        if not any(g or mid or layer for g in self.global_rank for mid, layer in self.pairs(g)):
            raise ValueError(
                f"no combination of the ranks has the shape {self.shape.value!r} and adapts anything; "
                "widen the choices"
            )

    @property
    def fitting_global_ranks(self) -> tuple[int, ...]:
        """The global ranks that some mid and layer rank can stand beside."""
        return tuple(g for g in self.global_rank if self.pairs(g))

    @property
    def max_groups(self) -> int:
        """The largest number of depth groups in any split."""
        if isinstance(self.splits, FreeSplits):
            return max(self.splits.fitting(self.layers))
        return max(len(split) - 1 for split in self.splits)

    @property
    def max_rank_units(self) -> int:
        """An upper bound of `Pyramid.rank_units` over the space."""
        widest = max(self.mid_rank) * self.max_groups + max(self.layer_rank) * self.layers
        return max(self.global_rank) + widest

    @property
    def max_unrolled_rank(self) -> int:
        """An upper bound of `Pyramid.unrolled_rank` over the space."""
        return max(self.global_rank) + max(self.mid_rank) + max(self.layer_rank)

    @property
    def listed(self) -> tuple[tuple[int, int, int], ...]:
        """The combinations of ranks to choose from, where they are listed and hold for every group; else none."""
        if self.ranks is None or self.per_group:
            return ()
        return tuple(sorted(ranks for ranks in self.ranks if self.shape.allows(*ranks)))

    @property
    def per_group(self) -> bool:
        """Whether groups of one pyramid may have ranks of their own."""
        return self.mid_per_group or self.layer_per_group

    def pairs(self, global_rank: int) -> frozenset[RankPair]:
        """The (mid, layer) ranks that a group may have beside `global_rank`."""
        return self._pairs.get(global_rank, frozenset())

    @cached_property
    def _pairs(self) -> dict[int, frozenset[RankPair]]:
        """By global rank."""
        listed = product(self.global_rank, self.mid_rank, self.layer_rank) if self.ranks is None else self.ranks
        lists = [set(ranks) for ranks in (self.global_rank, self.mid_rank, self.layer_rank)]
        found: defaultdict[int, set[RankPair]] = defaultdict(set)
        for ranks in listed:
            if self.shape.allows(*ranks) and all(r in known for r, known in zip(ranks, lists, strict=True)):
                found[ranks[0]].add(ranks[1:])
        return {global_rank: frozenset(pairs) for global_rank, pairs in found.items()}

    def _scenarios(self, global_rank: int, groups: Sequence[DepthGroup] = ()) -> Iterator[Scenario]:
        """Every way to fix what the groups of one pyramid have in common: shared ranks, and a fixed split.

        Ways that cannot build a canonical pyramid of these `groups` may be left out.
        """
        wanted = [{(g.mid_rank, g.layer_rank), (g.layer_rank, g.mid_rank)} for g in groups]
        for pairs in self.shared_pairs(global_rank):
            if not any(pairs.isdisjoint(either) for either in wanted):
                if isinstance(self.splits, FreeSplits):
                    yield Scenario(pairs, self.splits)
                else:
                    yield from (Scenario(pairs, FixedSplit(split)) for split in self.splits)

    def shared_pairs(self, global_rank: int) -> list[frozenset[RankPair]]:
        """The (mid, layer) ranks that the groups of one pyramid choose from, each group for itself.

        One set for each rank of a level that all groups share; of one pair where they share both.
        """
        found: defaultdict[tuple[int, int], set[RankPair]] = defaultdict(set)
        for mid, layer in self.pairs(global_rank):
            shared_mid = -1 if self.mid_per_group else self.mid_rank.index(mid)
            shared_layer = -1 if self.layer_per_group else self.layer_rank.index(layer)
            found[shared_mid, shared_layer].add((mid, layer))
        return [frozenset(pairs) for _, pairs in sorted(found.items())]

    @cached_property
    def pyramids(self) -> int | None:
        """How many different models the space holds (canonical pyramids), exact, without listing them.

        None where there are too many to be counted, or to be written down.
        """
        splits = 1 if isinstance(self.splits, FreeSplits) else len(self.splits)
        if splits * sum(map(len, self._pairs.values())) > MOST_SCENARIOS:
            return None
        try:
            per_alpha = count_canonical({g: list(self._scenarios(g)) for g in self.global_rank}, self.layers)
        except TooLargeError:
            return None
        if per_alpha > MOST_COUNTED:
            return None
        targets = {tuple(sorted(set(names))) for names in self.targets}
        return per_alpha * len(targets) * len(set(self.alpha))

    @cached_property
    def size(self) -> int | None:
        """Canonical pyramids times learning rates; None for a range of rates, and where there are too many."""
        if isinstance(self.learning_rate, LogRange) or self.pyramids is None:
            return None
        return self.pyramids * len(set(self.learning_rate))

    @property
    def extent(self) -> str:
        """How large the space is, for people."""
        return extent_of(self.size, self.pyramids)

    def locate(self, pyramid: Pyramid) -> Choice | None:
        """A choice of this space that builds `pyramid`; None where there is none."""
        targets = next((names for names in self.targets if tuple(sorted(set(names))) == pyramid.targets), None)
        alpha = pyramid.alpha.to_json()
        if targets is None or isinstance(alpha, dict) or alpha not in self.alpha:
            return None
        if pyramid.layers != self.layers or not pyramid.scales_by(self.scaling):
            return None
        for global_rank, groups in readings(pyramid):
            for scenario in self._scenarios(global_rank, groups):
                pieces = scenario.total(groups)
                if pieces is not None:
                    return unfold(targets, alpha, self.scaling, global_rank, groups, scenario, pieces)
        return None

    def contains(self, pyramid: Pyramid) -> bool:
        """Whether some choice of this space builds `pyramid`."""
        return self.locate(pyramid) is not None

    def contains_rate(self, rate: float) -> bool:
        """Whether the learning rate may be proposed."""
        match self.learning_rate:
            case LogRange(low, high):
                return low <= rate <= high
            case choices:
                return rate in choices

    def fit(
        self, global_rank: int, mids: tuple[int, ...], layers: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The mid and layer ranks of the groups nearest to those asked for that have the space's shape.

        `mids` and `layers` hold one rank a group. A level that is not searched per group comes
        with equal entries and keeps them equal.
        """
        allowed = self.pairs(global_rank)
        if self.mid_per_group and not self.layer_per_group:
            own = tuple(_nearest(self.layer_rank, {r for _, r in allowed}, r) for r in layers)
            fitted = [
                _nearest(self.mid_rank, {m for m, s in allowed if s == r}, m)
                for m, r in zip(mids, own, strict=True)
            ]
            return tuple(fitted), own
        shared = tuple(_nearest(self.mid_rank, {m for m, _ in allowed}, m) for m in mids)
        fitted = [
            _nearest(self.layer_rank, {r for n, r in allowed if n == m}, r)
            for m, r in zip(shared, layers, strict=True)
        ]
        return shared, tuple(fitted)


def extent_of(size: int | None, pyramids: int | None) -> str:
    """How large a space of so many configurations and pyramids is, for people; see `SearchSpace`."""
    if pyramids is None:
        return "more configurations than can be counted"
    return f"{pyramids:,} pyramids times a range of rates" if size is None else f"{size:,} configurations"


def _require_split(split: tuple[int, ...], layers: int) -> None:
    rises = all(a < b for a, b in pairwise(split))
    if len(split) < 2 or not rises or split[0] != 0 or split[-1] != layers:
        raise ValueError(f"split {list(split)} must rise from 0 to the {layers} layers of the stack")


def uniform_splits(layers: int, counts: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """One split of equal groups for each count that fits the depth."""
    return tuple(split_evenly(layers, count) for count in counts if count <= layers)


def _nearest(choices: tuple[int, ...], allowed: set[int], wanted: int) -> int:
    """The allowed choice whose place among the choices is nearest to that of `wanted`."""
    place = choices.index(wanted)
    return min((c for c in choices if c in allowed), key=lambda c: (abs(choices.index(c) - place), c))
