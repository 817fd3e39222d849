"""Rules that choose one point of a front, on plain arrays: by rising cost, metrics rise too."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from msplora_search.results import pareto
from msplora_search.results.pareto import Floats

Rule = Callable[[Floats, Floats, Floats], int]
"""(metrics (n,), costs (n,), errors of differences (n, n)) of a front -> the place of the chosen point."""


def best(metrics: Floats, costs: Floats, errors: Floats) -> int:
    """The greatest metric."""
    return len(metrics) - 1


def knee(metrics: Floats, costs: Floats, errors: Floats) -> int:
    """The point farthest above the line through the ends of the front, on log cost.

    With fewer than three points, or none above the line, the smallest.
    """
    width = math.log10(costs[-1] / costs[0]) if len(metrics) > 2 else 0.0
    if width == 0:
        return 0
    slope = (metrics[-1] - metrics[0]) / width
    # Vertical distance orders points as the distance to the chord does. The last lies on it, as the first does.
    heights = metrics - metrics[0] - slope * np.log10(costs / costs[0])
    return int(np.argmax(heights[:-1]))


def one_se(metrics: Floats, costs: Floats, errors: Floats) -> int:
    """The smallest within one standard error of the difference of the best (Breiman et al., CART, 1984)."""
    return int(np.argmax(metrics[-1] - metrics <= errors[-1]))


def share_of(rule: Rule, resampled: Floats, costs: Floats, errors: Floats, chosen: int) -> float:
    """In what share of resamples (resamples, n) a rule chooses the same of n points from the front found there."""
    same = 0
    for metrics in resampled:
        there = pareto.front(metrics, costs)
        picked = rule(metrics[there], costs[there], errors[np.ix_(there, there)])
        same += int(there[picked]) == chosen
    return same / len(resampled)
