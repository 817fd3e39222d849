"""How exact a metric of some examples is, and a difference of two of them: one formula for all metrics.

A metric of many examples varies with their choice as the mean of their influences does, so its standard error is
`sd(influence) / sqrt(n)`, and that of a difference `sd(influence1 - influence2) / sqrt(n)`. For accuracy both are
exact. Where examples belong together, the group is what was chosen: influences are summed within it, and n counts
groups (Liang and Zeger, Longitudinal data analysis using generalized linear models, 1986).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from msplora_search.results.records import Measure

Floats = NDArray[np.float64]
RESAMPLES = 1000
LEVEL = 0.95
"""Of intervals, unless another is given."""


def by_group(influence: Floats, groups: NDArray[np.int64] | None) -> Floats:
    """Influences of groups of examples, (groups,), in the order of their numbers; as they are without groups.

    Scaled so that `standard_error` of them is that of the metric.
    """
    if groups is None:
        return influence
    _, place = np.unique(groups, return_inverse=True)
    summed = np.bincount(place, weights=influence)
    return np.asarray(summed * (len(summed) / len(influence)))


def standard_error(influence: Floats) -> float:
    """Of a metric over the choice of examples, from their influence (n,); 0 of fewer than two."""
    if len(influence) < 2:
        return 0.0
    return float(np.std(influence, ddof=1) / math.sqrt(len(influence)))


def difference_se(one: Measure, other: Measure) -> float:
    """Standard error of the difference of two metrics, paired over examples where they are of the same ones."""
    if len(one.influence) != len(other.influence) or not len(one.influence):
        return math.hypot(one.metric_se, other.metric_se)
    return standard_error(one.influence - other.influence)


def draws(units: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each example, or group, is drawn in each resample, (resamples, units); the same for a seed."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1 / units), size=resamples).astype(np.float64)


def replicates(measure: Measure, drawn: Floats) -> Floats:
    """The metric on each resample of `drawn` (resamples, units): (resamples,).

    Exact for accuracy, else to first order in the weights of the examples (Efron, The jackknife, the bootstrap and
    other resampling plans, 1982, chapter 6).
    """
    return np.asarray(measure.metric + drawn @ measure.influence / drawn.shape[1])


def quantile(level: float, degrees: float) -> float:
    """Of Student's t with so many degrees of freedom, two-sided: 95% of it lies within ± `quantile(0.95, ...)`."""
    return float(stdtrit(max(1.0, degrees), (1 + level) / 2))


def interval(centre: float, half: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """`centre` ± `half`, and no value outside `bounds`, which are those of the metric."""
    low, high = bounds
    return max(low, min(high, centre - half)), min(high, max(low, centre + half))


def difference_interval(centre: float, half: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """The same for the difference of two values of a metric within `bounds`."""
    low, high = bounds
    return interval(centre, half, (low - high, high - low))


def share_interval(
    share: float, se: float, units: int, level: float = LEVEL, degrees: float | None = None
) -> tuple[float, float]:
    """Wilson's interval of a share whose standard error over `units` examples, or groups of them, is `se`.

    `degrees` of freedom of that error: `units` - 1 unless given.

    Wald's is too narrow near 0 and 1: at 0.995 of 400 it covers 88% (Brown, Cai and DasGupta, Interval estimation
    for a binomial proportion, 2001). Where examples are no equal, independent units, it is that of as many
    examples as would have the same standard error.
    """
    spread = share * (1 - share)
    alike = spread / se**2 if se > 0 and spread > 0 else float(units)
    square = quantile(level, units - 1 if degrees is None else degrees) ** 2
    centre = (share + square / (2 * alike)) / (1 + square / alike)
    half = math.sqrt(square * (spread / alike + square / (4 * alike**2))) / (1 + square / alike)
    return interval(centre, half, (0.0, 1.0))
