"""Which canonical pyramids the choices of a space reach.

Many choices of ranks and boundaries build one canonical pyramid (see `canonical`). Read
backwards: a canonical group is either one group of the choice, or, where it has no mid level, a
run of neighbouring groups whose boundaries vanished. How many groups such a run may stand for
is an interval, so adding these up over the depth decides membership exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msplora_search.design.depth import DepthGroup

RankPair = tuple[int, int]
"""(mid rank, layer rank) of a depth group."""

Interval = tuple[int, int]
"""Fewest and most groups of a choice that a canonical group stands for."""


@dataclass(frozen=True)
class FreeSplits:
    """Every split into one of `counts` groups of at least `min_layers` layers each."""

    counts: tuple[int, ...]
    min_layers: int = 1

    def fitting(self, layers: int) -> tuple[int, ...]:
        """The counts that fit a stack of `layers` layers."""
        return tuple(count for count in self.counts if count * self.min_layers <= layers)

    def pieces(self, group: DepthGroup, pairs: frozenset[RankPair]) -> Interval | None:
        """How many groups of a choice with `pairs` the canonical `group` can stand for."""
        whole, singles = _readings(group, pairs)
        if whole and group.layers >= self.min_layers:
            return 1, 1 if group.mid_rank else group.layers // self.min_layers
        if singles and self.min_layers == 1:
            return group.layers, group.layers
        return None

    @property
    def alike_from(self) -> int:
        """Groups of this many layers and more can stand for the same numbers of groups that are allowed."""
        return max(2, self.min_layers * max(self.counts) + 1)

    def closes(self, total: Interval) -> bool:
        """Whether an allowed number of groups lies in the interval."""
        return any(total[0] <= count <= total[1] for count in self.counts)

    def may_close(self, total: Interval) -> bool:
        """Whether more groups could still lead to an allowed number."""
        return total[0] <= max(self.counts)

    def capped(self, total: Interval) -> Interval:
        """The interval without numbers that are too large to be allowed, so that fewer of them differ."""
        return total[0], min(total[1], max(self.counts))

    def cut(self, group: DepthGroup, pieces: int) -> list[int]:
        """Where `pieces` groups of a choice end inside the canonical `group`."""
        return [*(group.start + i * self.min_layers for i in range(1, pieces)), group.stop]

    def __str__(self) -> str:
        return f"{' or '.join(map(str, self.counts))} groups of at least {self.min_layers} layers"


@dataclass(frozen=True)
class FixedSplit:
    """One given split: boundaries 0, ..., layers."""

    boundaries: tuple[int, ...]

    def pieces(self, group: DepthGroup, pairs: frozenset[RankPair]) -> Interval | None:
        """The number of groups between the bounds of `group`, where its ranks can be built of them."""
        ends = self._ends(group)
        if not {group.start, group.stop} <= set(self.boundaries) or (group.mid_rank and len(ends) > 1):
            return None
        whole, singles = _readings(group, pairs)
        one_layer_each = len(ends) == group.layers
        return (len(ends), len(ends)) if whole or (singles and one_layer_each) else None

    def closes(self, total: Interval) -> bool:
        """The split is given, so its number of groups is right by construction."""
        return total == (len(self.boundaries) - 1,) * 2

    def may_close(self, total: Interval) -> bool:
        """Boundaries were compared group by group; nothing else can fail."""
        return True

    def capped(self, total: Interval) -> Interval:
        """Each number is exact."""
        return total

    def cut(self, group: DepthGroup, pieces: int) -> list[int]:
        """Where the groups of the split end inside the canonical `group`; there are `pieces` of them."""
        return self._ends(group)

    def _ends(self, group: DepthGroup) -> list[int]:
        return [b for b in self.boundaries if group.start < b <= group.stop]


@dataclass(frozen=True)
class Scenario:
    """What the groups of one choice have in common: the ranks they may have, and how they split."""

    pairs: frozenset[RankPair]
    split: FreeSplits | FixedSplit

    def extend(self, total: Interval, group: DepthGroup) -> Interval | None:
        """`total` after the canonical `group` is appended; None where this scenario cannot build it."""
        pieces = self.split.pieces(group, self.pairs)
        return None if pieces is None else self.split.capped((total[0] + pieces[0], total[1] + pieces[1]))

    def total(self, groups: Sequence[DepthGroup]) -> list[Interval] | None:
        """Pieces of each canonical group, where a choice of this scenario builds them all."""
        pieces = []
        for group in groups:
            interval = self.split.pieces(group, self.pairs)
            if interval is None:
                return None
            pieces.append(interval)
        return pieces if self.split.closes((sum(a for a, _ in pieces), sum(b for _, b in pieces))) else None


def _readings(group: DepthGroup, pairs: frozenset[RankPair]) -> tuple[bool, bool]:
    """Whether pieces of any length, and whether one-layer pieces, can have the ranks of `group`.

    A one-layer group (m, r) is written (min, max), so it can also come from the swapped pair.
    """
    swapped = (group.layer_rank, group.mid_rank) in pairs
    plain = (group.mid_rank, group.layer_rank) in pairs
    if group.layers == 1:
        return plain or swapped, plain or swapped
    return plain, swapped and group.mid_rank == 0
