"""Fronts of a metric (larger is better) against cost (smaller is better), on plain arrays."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def dominates(metric: float, cost: float, other_metric: float, other_cost: float) -> bool:
    """At least as good in both, better in one."""
    return metric >= other_metric and cost <= other_cost and (metric > other_metric or cost < other_cost)


def front(metrics: Floats, costs: Floats) -> NDArray[np.intp]:
    """Indices of the non-dominated points by rising cost; of equal points the first alone."""
    order = np.lexsort((np.arange(len(costs)), -np.asarray(metrics), costs))
    kept = []
    best = -np.inf
    for i in order:
        if metrics[i] > best:
            kept.append(i)
            best = metrics[i]
    return np.array(kept, dtype=np.intp)


def ranks(metrics: Floats, costs: Floats) -> NDArray[np.intp]:
    """Non-domination rank of each point: 0 on the front, 1 on the front of the rest, and so on.

    Equal points share a rank (Deb et al., 2002). By rising cost, a point is on the first front whose best metric
    so far it surpasses (Jensen, Reducing the run-time complexity of multiobjective EAs, 2003).
    """
    found = np.empty(len(metrics), dtype=np.intp)
    highest: list[float] = []  # metric of each front so far, negated: it falls from front to front
    before: tuple[float, float] | None = None
    rank = 0
    for i in np.lexsort((-np.asarray(metrics), costs)):
        point = (float(metrics[i]), float(costs[i]))
        if point != before:
            rank = bisect_right(highest, -point[0])
            highest[rank : rank + 1] = [-point[0]]
        found[i], before = rank, point
    return found


def envelope(metrics: Floats, costs: Floats, at: Floats) -> Floats:
    """Best metric at no more cost than each of `at`; -inf where nothing is that cheap."""
    order = np.argsort(costs, kind="stable")
    best = np.maximum.accumulate(np.concatenate([[-np.inf], np.asarray(metrics)[order]]))
    return np.asarray(best[np.searchsorted(np.asarray(costs)[order], at, side="right")])


def hypervolume(metrics: Floats, costs: Floats, reference: tuple[float, float]) -> float:
    """Area dominated within the reference point (metric floor, cost ceiling).

    Points below the floor or above the ceiling add nothing.
    """
    floor, ceiling = reference
    area, best = 0.0, floor
    inside = [i for i in front(metrics, costs) if metrics[i] > floor and costs[i] < ceiling]
    for i in inside:
        area += (metrics[i] - best) * (ceiling - costs[i])
        best = float(metrics[i])
    return area


def hypervolumes(metrics: Floats, costs: Floats, reference: tuple[float, float]) -> Floats:
    """The hypervolume of the first point, of the first two, and so on; (points,)."""
    found, kept = np.zeros(len(metrics)), np.empty(0, dtype=np.intp)
    for i in range(len(metrics)):
        kept = np.append(kept, i)
        kept = kept[front(metrics[kept], costs[kept])]
        found[i] = hypervolume(metrics[kept], costs[kept], reference)
    return found


def front_probability(replicates: Floats, costs: Floats) -> Floats:
    """Share of resamples in which each point is non-dominated.

    `replicates` (resamples, points) are the metrics on common resamples of the validation
    examples (paired bootstrap), so what all points get right or wrong together cancels.
    """
    counts = np.zeros(len(costs))
    for metrics in replicates:
        counts[front(metrics, costs)] += 1
    return np.asarray(counts / len(replicates))
