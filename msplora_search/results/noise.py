"""How far two measurements on the same examples can be told apart."""

from __future__ import annotations

import numpy as np

from msplora_search.results.records import Evaluation, TrialRecord


def difference_se(one: Evaluation, other: Evaluation) -> float:
    """Standard error of the difference of two metrics measured on the same examples.

    `sqrt(se1^2 + se2^2 - 2 rho se1 se2)` with rho the correlation of how well each example did.
    For accuracy this is exactly the paired standard error; for other metrics it takes the
    correlation over from being right, or from the squared errors, or from the examples' means.
    """
    rho = 0.0
    if len(one.qualities) == len(other.qualities) and one.qualities.std() > 0 and other.qualities.std() > 0:
        rho = float(np.corrcoef(one.qualities, other.qualities)[0, 1])
    variance = one.metric_se**2 + other.metric_se**2 - 2 * rho * one.metric_se * other.metric_se
    return float(np.sqrt(max(0.0, variance)))


def interval(centre: float, half: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """`centre` ± `half`, and no value outside `bounds`, which are those of the metric."""
    low, high = bounds
    return max(low, min(high, centre - half)), min(high, max(low, centre + half))


def difference_interval(centre: float, half: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """The same for the difference of two values of a metric within `bounds`."""
    low, high = bounds
    return interval(centre, half, (low - high, high - low))


def indistinct(one: TrialRecord, other: TrialRecord, standard_errors: float = 1.0) -> bool:
    """Whether two trials differ by no more than so many standard errors of their paired difference."""
    gap = abs(one.final.metric - other.final.metric)
    return gap <= standard_errors * difference_se(one.final, other.final)
