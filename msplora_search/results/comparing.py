"""Two sets of configurations compared over a range of sizes, not at one of them: by their envelopes.

The envelope of some points is the best metric at no more cost: a step function of log cost, which begins at the
cheapest point and stays as it is beyond the greatest. Bjontegaard (Calculation of average PSNR differences
between RD-curves, VCEG-M33, 2001) compares codecs by the mean vertical and the mean horizontal distance of two
curves, here `gain` and `size_ratio`. He fits polynomials through the points; steps need none, and all integrals
are exact.

Metrics are such that larger is better, and results are in their units; costs are above 0, in any unit, and what
depends on them is the same for all. Points may stand in any order; dominated ones change nothing.
"""

from __future__ import annotations

import math

import numpy as np

from msplora_search.results import pareto
from msplora_search.results.pareto import Floats

Range = tuple[float, float]


def common_sizes(
    front_metrics: Floats, front_costs: Floats, ladder_metrics: Floats, ladder_costs: Floats
) -> Range | None:
    """Costs over which two envelopes are compared; None where one of them has no points.

    From where both exist, which is the larger of the two cheapest costs, to where neither rises any more, which is
    the larger of the costs of the two best points (the cheaper of equally good ones).
    """
    pairs = ((front_metrics, front_costs), (ladder_metrics, ladder_costs))
    if not all(len(costs) for _, costs in pairs):
        return None
    ends = [costs[pareto.front(metrics, costs)][[0, -1]] for metrics, costs in pairs]
    return float(max(low for low, _ in ends)), float(max(high for _, high in ends))


def gain(
    front_metrics: Floats,
    front_costs: Floats,
    ladder_metrics: Floats,
    ladder_costs: Floats,
    over: Range | None = None,
) -> float | None:
    """Mean over log cost of how far the envelope of a front lies above that of a ladder, in units of the metric.

    All arrays are (points,). `over` is a range of costs, `common_sizes` unless another is given; of a range
    without extent it is the difference there. None where one of the two has no points.
    Raises ValueError for a range that begins where one of them has no point yet.
    """
    if over is None:
        over = common_sizes(front_metrics, front_costs, ladder_metrics, ladder_costs)
        if over is None:
            return None
    front, ladder = _best(front_metrics, front_costs), _best(ladder_metrics, ladder_costs)
    return float(gain_draws(front[0][None], front[1], ladder[0][None], ladder[1], over)[0])


def gain_draws(
    front_metrics: Floats, front_costs: Floats, ladder_metrics: Floats, ladder_costs: Floats, over: Range
) -> Floats:
    """The gain of points as they were chosen in each of several draws of their true metrics; (draws,).

    Metrics are (draws, points) of two fronts as they were measured, by rising cost. At each cost the dearest point
    that it affords counts, which is the one that was chosen, also where a draw says that a cheaper one is better:
    nobody knows that, and the best of each draw would be its luck.
    """
    front = _mean_metric(front_metrics, front_costs, over)
    return np.asarray(front - _mean_metric(ladder_metrics, ladder_costs, over))


def size_ratio(
    front_metrics: Floats,
    front_costs: Floats,
    ladder_metrics: Floats,
    ladder_costs: Floats,
    over: Range | None = None,
) -> float | None:
    """How many times the cost of a ladder a front needs for an equal metric: the geometric mean over the metric.

    Below 1 where the front is smaller. All arrays are (points,). `over` is a range of metrics; unless it is given,
    it goes from the larger of the metrics that the two cheapest points have to the smaller of the two best ones,
    so that a cheap point of little use does not count for all the metrics below it. Of a range without extent it
    is the ratio there. None where there is no such range, or one of the two does not reach its end.
    """
    if not len(front_costs) or not len(ladder_costs):
        return None
    found = _size_ratios(front_metrics[None], front_costs, ladder_metrics[None], ladder_costs, over)[0]
    return None if np.isnan(found) else float(found)


def size_ratio_draws(
    front_metrics: Floats, front_costs: Floats, ladder_metrics: Floats, ladder_costs: Floats
) -> Floats:
    """`size_ratio` in each of several draws of the metrics, which are (draws, points); (draws,), NaN for None."""
    return _size_ratios(front_metrics, front_costs, ladder_metrics, ladder_costs, None)


def regret(
    metrics: Floats,
    costs: Floats,
    all_metrics: Floats,
    all_costs: Floats,
    low: float,
    high: float,
    floor: float,
) -> tuple[float, float]:
    """How far the envelope of what was tried lies below that of all configurations, from cost `low` to `high`.

    The mean over log cost and the largest gap, in units of the metric, which are true metrics here; arrays are
    (points,). `floor` is a metric that is to be had for nothing, such as that of always the most frequent class:
    it is what counts where nothing that was tried is cheap enough, or better.
    Raises ValueError unless 0 < low <= high.
    """
    over = _required(low, high)
    tried = np.append(metrics, floor), np.append(costs, low)
    every = np.append(all_metrics, floor), np.append(all_costs, low)
    means = [_mean_metric(metric[None], cost, over)[0] for metric, cost in (_best(*every), _best(*tried))]
    at = np.concatenate([tried[1], every[1]])
    at = at[(at >= low) & (at <= high)]
    return float(means[0] - means[1]), float((pareto.envelope(*every, at) - pareto.envelope(*tried, at)).max())


def _best(metrics: Floats, costs: Floats) -> tuple[Floats, Floats]:
    """The points whose steps are the envelope, by rising cost."""
    there = pareto.front(metrics, costs)
    return metrics[there], costs[there]


def _mean_metric(metrics: Floats, costs: Floats, over: Range) -> Floats:
    """Mean over the log of the costs in `over` of steps at rising costs, of each row of (draws, points)."""
    low, high = _required(*over)
    if costs[0] > low:
        raise ValueError(f"the range of costs begins at {low:g}; it must not be below {costs[0]:g}, the cheapest")
    if low == high:
        return np.asarray(metrics[:, np.searchsorted(costs, low, side="right") - 1])
    edges = np.log(np.clip(np.append(costs, np.inf), low, high))
    return np.asarray(metrics @ np.diff(edges) / math.log(high / low))


def _size_ratios(
    front_metrics: Floats, front_costs: Floats, ladder_metrics: Floats, ladder_costs: Floats, over: Range | None
) -> Floats:
    pairs = ((front_metrics, front_costs), (ladder_metrics, ladder_costs))
    reached = np.minimum(*(metrics.max(axis=1) for metrics, _ in pairs))
    if over is None:
        cheapest = [metrics[:, costs == costs.min()].max(axis=1) for metrics, costs in pairs]
        low, high = np.maximum(*cheapest), reached
    else:
        low, high = np.full(len(reached), over[0]), np.full(len(reached), over[1])
    found = np.exp(_mean_log_cost(*pairs[0], low, high) - _mean_log_cost(*pairs[1], low, high))
    return np.asarray(np.where((low <= high) & (high <= reached), found, np.nan))


def _mean_log_cost(metrics: Floats, costs: Floats, low: Floats, high: Floats) -> Floats:
    """Mean over the metrics from `low` to `high`, (draws,), of the log of the smallest cost that reaches them."""
    order = np.argsort(costs, kind="stable")
    best, log_cost = np.maximum.accumulate(metrics[:, order], axis=1), np.log(costs[order])
    edges = np.clip(np.insert(best, 0, -np.inf, axis=1), low[:, None], high[:, None])
    extent = high - low
    mean = np.diff(edges, axis=1) @ log_cost / np.where(extent > 0, extent, 1.0)
    return np.asarray(np.where(extent > 0, mean, log_cost[np.argmax(best >= high[:, None], axis=1)]))


def _required(low: float, high: float) -> Range:
    if not 0 < low <= high < math.inf:
        raise ValueError(f"the range of costs is {low:g} to {high:g}; it must be above 0, and its ends in order")
    return low, high
