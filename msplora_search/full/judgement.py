"""What full training says of a search: intervals, paired tests, the confirmed front, the proxy's ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from msplora_search.results import pareto
from msplora_search.results.noise import difference_interval, interval
from msplora_search.results.records import Evaluation
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Point
from msplora_search.tasks.metrics import RESAMPLES, Metric, Values, bootstrap_draws


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
    runs: tuple[Evaluation, ...]
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
            "test_examples": len(self.points[0].runs[0].qualities),
            "kendall_tau": _known(self.tau),
            "kendall_tau_interval_95": [_known(bound) for bound in self.tau_interval],
        }


def judge(
    results: StudyResults, found: Sequence[tuple[Point, tuple[Evaluation, ...]]], labels: Values
) -> Confirmation:
    """Compare what full training reached on the test part, whose truth is `labels`."""
    judged = results.judge
    plain = [Confirmed(point, runs, _interval(runs, judged)) for point, runs in found]
    named = {confirmed.name: confirmed for confirmed in plain}
    points = tuple(
        Confirmed(
            c.point, c.runs, c.interval, tuple(_compare(c, other, judged, labels) for other in _rivals(c, named))
        )
        for c in plain
    )
    means = np.array([c.mean for c in points])
    params = np.array([float(c.point.params) for c in points])
    front = tuple(points[i] for i in pareto.front(means, params))
    tau, tau_interval = _rank_agreement(results, points, labels)
    return Confirmation(results, points, front, tau, tau_interval)


def _rivals(confirmed: Confirmed, named: dict[str, Confirmed]) -> list[Confirmed]:
    """The paper's pyramid, and the smallest plain LoRA with no fewer parameters."""
    found = [named["paper"]] if "paper" in named else []
    ladder = [
        c for name, c in named.items() if name.startswith("lora-") and c.point.params >= confirmed.point.params
    ]
    found += sorted(ladder, key=lambda c: c.point.params)[:1]
    return [rival for rival in found if rival.name != confirmed.name]


def _compare(one: Confirmed, other: Confirmed, judged: Metric, truth: Values) -> Comparison:
    """Seed by seed and example by example: both come from the same rows, and seeds share their head."""
    scale = one.mean - other.mean
    qualities = _qualities(one) - _qualities(other)  # (seeds, examples)
    if abs(qualities.mean() - scale) < 1e-9:  # the metric is the mean over examples
        of_examples = float(qualities.mean(axis=0).var(ddof=1)) / qualities.shape[1]
    else:
        of_examples = float((_replicates(one, judged, truth) - _replicates(other, judged, truth)).var(ddof=1))
    by_seed = np.array([a.metric - b.metric for a, b in zip(one.runs, other.runs, strict=True)])
    of_seeds = float(by_seed.var(ddof=1)) / len(by_seed) if len(by_seed) > 1 else 0.0
    degrees = _degrees(of_examples, qualities.shape[1], of_seeds, len(by_seed))
    se = float(np.sqrt(of_examples + of_seeds))
    half = float(stats.t.ppf(0.975, degrees)) * se
    p_value = float(2 * stats.t.sf(abs(scale) / se, degrees)) if se > 0 else 1.0
    return Comparison(other.name, scale, difference_interval(scale, half, judged.bounds), p_value)


def _interval(runs: tuple[Evaluation, ...], judged: Metric) -> tuple[float, float]:
    """95% of the mean metric: test examples and, with several seeds, seeds."""
    values = np.array([run.metric for run in runs])
    of_examples = float(np.mean([run.metric_se for run in runs])) ** 2
    of_seeds = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    degrees = _degrees(of_examples, len(runs[0].qualities), of_seeds, len(values))
    half = float(stats.t.ppf(0.975, degrees)) * float(np.sqrt(of_examples + of_seeds))
    return interval(float(values.mean()), half, judged.bounds)


def _degrees(of_examples: float, examples: int, of_seeds: float, seeds: int) -> float:
    total = of_examples + of_seeds
    if total == 0:
        return float(max(1, examples - 1))
    return total**2 / (of_examples**2 / max(1, examples - 1) + (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0))


def _qualities(confirmed: Confirmed) -> pareto.Floats:
    return np.stack([run.qualities for run in confirmed.runs])


def _replicates(confirmed: Confirmed, judged: Metric, truth: Values) -> pareto.Floats:
    """The mean metric over seeds on every bootstrap resample of the test examples."""
    draws = bootstrap_draws(len(truth), seed=2)
    return np.asarray(
        np.mean([judged.replicates(truth, run.predictions, draws) for run in confirmed.runs], axis=0)
    )


def _rank_agreement(
    results: StudyResults, points: Sequence[Confirmed], labels: Values
) -> tuple[float, tuple[float, float]]:
    """Kendall's tau-b of proxy metric and confirmed mean, with a bootstrap interval; NaN below two points."""
    if len(points) < 2:
        return float("nan"), (float("nan"), float("nan"))
    tau = float(stats.kendalltau([c.point.metric for c in points], [c.mean for c in points]).statistic)
    judged = results.judge
    proxies = [c.point.record.final.predictions for c in points]
    of_validation = bootstrap_draws(len(results.labels), seed=1)
    proxy = np.stack([judged.replicates(results.labels, p, of_validation) for p in proxies])
    full = np.stack([_replicates(c, judged, labels) for c in points])
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
