"""What full training says of a search: intervals, paired tests, the confirmed front, the proxy's ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from msplora_search.results import pareto
from msplora_search.results.noise import (
    RESAMPLES,
    difference_interval,
    draws,
    interval,
    replicates,
    share_interval,
    standard_error,
)
from msplora_search.results.records import Measure
from msplora_search.search.points import Point
from msplora_search.search.results import StudyResults
from msplora_search.tasks.judge import Judge


@dataclass(frozen=True)
class Comparison:
    """A confirmed point against a baseline; positive is better than the baseline."""

    baseline: str
    difference: float
    interval: tuple[float, float]
    """95%."""
    p_value: float
    """Two-sided."""


@dataclass(frozen=True)
class Confirmed:
    """One point after full training with every seed."""

    point: Point
    runs: tuple[Measure, ...]
    """On the test part, one a seed."""
    interval: tuple[float, float]
    """95% of the mean, over test examples and seeds."""
    comparisons: tuple[Comparison, ...] = ()

    @property
    def mean(self) -> float:
        """Mean metric over seeds; rounded so that equal means are equal, whatever they were summed from."""
        return round(float(np.mean([run.metric for run in self.runs])), 12)

    @property
    def name(self) -> str:
        """Of its point."""
        return self.point.name


@dataclass(frozen=True)
class Confirmation:
    """What full training says of a search."""

    results: StudyResults
    points: tuple[Confirmed, ...]
    """By rising parameters."""
    front: tuple[Confirmed, ...]
    tau: float
    """Kendall's tau-b between the proxy's metric and the confirmed mean."""
    tau_interval: tuple[float, float]
    """95%, by resampling validation and test examples."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "study": self.results.settings.name,
            "metric": self.results.settings.task.metric_label,
            "points": [_plain(confirmed) for confirmed in self.points],
            "front": [confirmed.name for confirmed in self.front],
            "seeds": len(self.points[0].runs),
            "test_examples": len(self.points[0].runs[0].predictions),
            "kendall_tau": _known(self.tau),
            "kendall_tau_interval_95": [_known(bound) for bound in self.tau_interval],
        }


def judge_found(
    results: StudyResults, found: Sequence[tuple[Point, tuple[Measure, ...]]], judge: Judge
) -> Confirmation:
    """Compare what full training reached on the test part, which is that of `judge`."""
    plain = [Confirmed(point, runs, _interval(runs, judge)) for point, runs in found]
    named = {confirmed.name: confirmed for confirmed in plain}
    points = tuple(
        Confirmed(c.point, c.runs, c.interval, tuple(_compare(c, other, judge) for other in _rivals(c, named)))
        for c in plain
    )
    means = np.array([c.mean for c in points])
    params = np.array([float(c.point.params) for c in points])
    front = tuple(points[i] for i in pareto.front(means, params))
    tau, tau_interval = _rank_agreement(points)
    return Confirmation(results, points, front, tau, tau_interval)


def _rivals(confirmed: Confirmed, named: dict[str, Confirmed]) -> list[Confirmed]:
    """The paper's pyramid, and the smallest plain LoRA with no fewer parameters."""
    found = [named["paper"]] if "paper" in named else []
    ladder = [
        c for name, c in named.items() if name.startswith("lora-") and c.point.params >= confirmed.point.params
    ]
    found += sorted(ladder, key=lambda c: c.point.params)[:1]
    return [rival for rival in found if rival.name != confirmed.name]


def _compare(one: Confirmed, other: Confirmed, judge: Judge) -> Comparison:
    """Seed by seed and example by example: both come from the same rows, and seeds share their head."""
    scale = one.mean - other.mean
    of_examples = standard_error(_influence(one) - _influence(other)) ** 2
    by_seed = np.array([a.metric - b.metric for a, b in zip(one.runs, other.runs, strict=True)])
    of_seeds = float(by_seed.var(ddof=1)) / len(by_seed) if len(by_seed) > 1 else 0.0
    degrees = _degrees(of_examples, len(one.runs[0].influence), of_seeds, len(by_seed))
    se = float(np.sqrt(of_examples + of_seeds))
    half = float(stats.t.ppf(0.975, degrees)) * se
    p_value = float(2 * stats.t.sf(abs(scale) / se, degrees)) if se > 0 else 1.0
    return Comparison(other.name, scale, difference_interval(scale, half, judge.metric.bounds), p_value)


def _interval(runs: tuple[Measure, ...], judge: Judge) -> tuple[float, float]:
    """95% of the mean metric: test examples and, with several seeds, seeds."""
    values = np.array([run.metric for run in runs])
    of_examples = float(np.mean([run.metric_se for run in runs])) ** 2
    of_seeds = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    units = len(runs[0].influence)
    if judge.metric.is_share:
        return share_interval(float(values.mean()), float(np.sqrt(of_examples + of_seeds)), units)
    half = float(stats.t.ppf(0.975, _degrees(of_examples, units, of_seeds, len(values))))
    half *= float(np.sqrt(of_examples + of_seeds))
    return interval(float(values.mean()), half, judge.metric.bounds)


def _degrees(of_examples: float, examples: int, of_seeds: float, seeds: int) -> float:
    total = of_examples + of_seeds
    if total == 0:
        return float(max(1, examples - 1))
    return total**2 / (of_examples**2 / max(1, examples - 1) + (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0))


def _influence(confirmed: Confirmed) -> pareto.Floats:
    """On the mean metric over seeds, (units,)."""
    return np.asarray(np.mean([run.influence for run in confirmed.runs], axis=0))


def _replicates(confirmed: Confirmed) -> pareto.Floats:
    """The mean metric over seeds on every bootstrap resample of the test examples."""
    drawn = draws(len(confirmed.runs[0].influence), seed=2)
    return np.asarray(np.mean([replicates(run, drawn) for run in confirmed.runs], axis=0))


def _rank_agreement(points: Sequence[Confirmed]) -> tuple[float, tuple[float, float]]:
    """Kendall's tau-b of proxy metric and confirmed mean, with a bootstrap interval; NaN below two points."""
    if len(points) < 2:
        return float("nan"), (float("nan"), float("nan"))
    tau = float(stats.kendalltau([c.point.metric for c in points], [c.mean for c in points]).statistic)
    proxies = [c.point.record.final for c in points]
    of_validation = draws(len(proxies[0].influence), seed=1)
    proxy = np.stack([replicates(measured, of_validation) for measured in proxies])
    full = np.stack([_replicates(c) for c in points])
    taus = np.array([stats.kendalltau(proxy[:, i], full[:, i]).statistic for i in range(RESAMPLES)])
    told = taus[np.isfinite(taus)]  # where all are alike in a resample, there is no ranking
    low, high = np.quantile(told, [0.025, 0.975]) if len(told) else (float("nan"), float("nan"))
    return tau, (float(low), float(high))


def _plain(confirmed: Confirmed) -> dict[str, Any]:
    return {
        "name": confirmed.name,
        "trial": confirmed.point.record.number,
        "pyramid": str(confirmed.point.record.pyramid),
        "adapter_params": confirmed.point.params,
        "proxy_metric": confirmed.point.metric,
        "mean": confirmed.mean,
        "interval_95": list(confirmed.interval),
        "seeds": [run.metric for run in confirmed.runs],
        "comparisons": [
            {
                "baseline": c.baseline,
                "difference": c.difference,
                "interval_95": list(c.interval),
                "p_value": c.p_value,
            }
            for c in confirmed.comparisons
        ],
    }


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
