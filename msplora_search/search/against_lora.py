"""A front against the ladder of plain LoRA, over all sizes that both have: see `results.comparing`.

Both sides are the points that were chosen, by the validation part: the front, and those rungs of the ladder than
which no smaller one was as good. What is said of them comes from the draws of their true metrics by validation and
judging part, of all configurations together; so the luck of the chosen is out of it. An estimate is the median of
its draws, and its interval the central 95% of them. Plain LoRA that the search found itself is the front's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msplora_search.results import pareto
from msplora_search.results.comparing import Range, common_sizes, gain_draws, size_ratio_draws
from msplora_search.results.noise import LEVEL
from msplora_search.results.pareto import Floats
from msplora_search.search.points import Point

LEAST_SHARE = 0.5
"""Of the draws in which a size ratio must exist, that it may be told."""


@dataclass(frozen=True)
class Gain:
    """Mean over log cost of how much better a front is than plain LoRA of equal cost."""

    metric: float
    """In units of the metric; below 0 where it is worse."""
    interval: Range
    sizes: tuple[int, int]
    """Costs between which they are compared; see `results.comparing.common_sizes`."""

    def to_json(self) -> dict[str, Any]:
        """`gain_over_lora` of `front.json`."""
        return {"metric": self.metric, "interval_95": list(self.interval), "sizes": list(self.sizes)}


@dataclass(frozen=True)
class SizeRatio:
    """How many times the cost of plain LoRA a front has for an equal metric, a geometric mean."""

    ratio: float
    interval: Range
    share: float
    """Of the draws in which the two reach equal metrics; the ratio is that of those."""

    def to_json(self) -> dict[str, Any]:
        """`size_ratio` of `front.json`."""
        return {"ratio": self.ratio, "interval_95": list(self.interval), "share_of_draws": self.share}


def gain_over(ladder: Sequence[Point], front: Sequence[Point]) -> Gain | None:
    """None where one of the two has no points."""
    (ours, our_sizes), (theirs, their_sizes) = _chosen(front), _chosen(ladder)
    over = common_sizes(_metrics(front), _sizes(front), _metrics(ladder), _sizes(ladder))
    if over is None:
        return None
    found = gain_draws(ours, our_sizes, theirs, their_sizes, over)
    return Gain(float(np.median(found)), _central(found), (round(over[0]), round(over[1])))


def gains_over(ladder: Sequence[Point], measured: Sequence[Point]) -> list[Gain | None]:
    """The gain of the front of the first point, of the first two, and so on, over the ladder as it is in the end.

    All over the sizes at which the last is compared; None before the whole of that range can be compared.
    """
    over = common_sizes(_metrics(measured), _sizes(measured), _metrics(ladder), _sizes(ladder))
    if over is None:
        return [None] * len(measured)
    (theirs, their_sizes), found, before = _chosen(ladder), list[Gain | None](), list[Point]()
    for point in measured:
        front = _front([*before, point])
        if front == before and found:
            found.append(found[-1])
            continue
        before, (ours, our_sizes) = front, _chosen(front)
        if our_sizes[0] > over[0]:
            found.append(None)
            continue
        drawn = gain_draws(ours, our_sizes, theirs, their_sizes, over)
        found.append(Gain(float(np.median(drawn)), _central(drawn), (round(over[0]), round(over[1]))))
    return found


def size_ratio_to(ladder: Sequence[Point], front: Sequence[Point]) -> SizeRatio | None:
    """None where one of the two has no points, or too few draws have a metric that both reach."""
    (ours, our_sizes), (theirs, their_sizes) = _chosen(front), _chosen(ladder)
    if not len(our_sizes) or not len(their_sizes):
        return None
    found = size_ratio_draws(ours, our_sizes, theirs, their_sizes)
    told = found[~np.isnan(found)]
    share = len(told) / len(found)
    return SizeRatio(float(np.median(told)), _central(told), share) if share >= LEAST_SHARE else None


def _chosen(points: Sequence[Point]) -> tuple[Floats, Floats]:
    """Draws (draws, n) and costs (n,) of those on the front as measured, by rising cost."""
    there = _front(points)
    if not there:
        return np.empty((0, 0)), np.empty(0)
    return np.stack([point.told for point in there], axis=1), _sizes(there)


def _front(points: Sequence[Point]) -> list[Point]:
    return [points[i] for i in pareto.front(_metrics(points), _sizes(points))]


def _metrics(points: Sequence[Point]) -> Floats:
    return np.array([point.metric for point in points], dtype=np.float64)


def _sizes(points: Sequence[Point]) -> Floats:
    return np.array([point.cost for point in points], dtype=np.float64)


def _central(found: Floats) -> Range:
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
