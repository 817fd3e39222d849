"""What full training says of a search: intervals, paired tests, the confirmed front, the proxy's ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from msplora_search.results import pareto
from msplora_search.results.records import Evaluation
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Point
from msplora_search.tasks.metrics import RESAMPLES, Labels, bootstrap_draws, metric


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
            "metric": self.results.settings.task.metric,
            "points": [_plain(confirmed) for confirmed in self.points],
            "front": [confirmed.name for confirmed in self.front],
            "seeds": len(self.points[0].runs),
            "test_examples": len(self.points[0].runs[0].right),
            "kendall_tau": _known(self.tau),
            "kendall_tau_interval_95": [_known(bound) for bound in self.tau_interval],
        }


def judge(
    results: StudyResults, found: Sequence[tuple[Point, tuple[Evaluation, ...]]], labels: Labels
) -> Confirmation:
    """Compare what full training reached on the test part, whose classes are `labels`."""
    plain = [Confirmed(point, runs, _interval(runs)) for point, runs in found]
    named = {confirmed.name: confirmed for confirmed in plain}
    points = tuple(
        Confirmed(c.point, c.runs, c.interval, tuple(_compare(c, other) for other in _rivals(c, named)))
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


def _compare(one: Confirmed, other: Confirmed) -> Comparison:
    """Seed by seed and example by example: both come from the same rows, and seeds share their head."""
    right = _right(one) - _right(other)  # (seeds, examples)
    scale = one.mean - other.mean
    mean, se, degrees = _mean_se(right)
    if abs(mean) > 1e-12:  # a metric other than accuracy has its own units
        se *= abs(scale / mean)
    half = float(stats.t.ppf(0.975, degrees)) * se
    p_value = float(2 * stats.t.sf(abs(scale) / se, degrees)) if se > 0 else 1.0
    return Comparison(other.name, scale, (scale - half, scale + half), p_value)


def _interval(runs: tuple[Evaluation, ...]) -> tuple[float, float]:
    """95% of the mean metric: test examples and, with several seeds, seeds."""
    values = np.array([run.metric for run in runs])
    of_examples = float(np.mean([run.metric_se for run in runs])) ** 2
    of_seeds = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    degrees = _degrees(of_examples, len(runs[0].right), of_seeds, len(values))
    half = float(stats.t.ppf(0.975, degrees)) * float(np.sqrt(of_examples + of_seeds))
    return float(values.mean()) - half, float(values.mean()) + half


def _mean_se(differences: pareto.Floats) -> tuple[float, float, float]:
    """Mean of (seeds, examples), its standard error over both, and degrees of freedom (Welch-Satterthwaite)."""
    seeds, examples = differences.shape
    of_examples = float(differences.mean(axis=0).var(ddof=1)) / examples
    of_seeds = float(differences.mean(axis=1).var(ddof=1)) / seeds if seeds > 1 else 0.0
    degrees = _degrees(of_examples, examples, of_seeds, seeds)
    return float(differences.mean()), float(np.sqrt(of_examples + of_seeds)), degrees


def _degrees(of_examples: float, examples: int, of_seeds: float, seeds: int) -> float:
    total = of_examples + of_seeds
    if total == 0:
        return float(max(1, examples - 1))
    return total**2 / (of_examples**2 / max(1, examples - 1) + (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0))


def _right(confirmed: Confirmed) -> pareto.Floats:
    return np.stack([run.right for run in confirmed.runs]).astype(np.float64)


def _rank_agreement(
    results: StudyResults, points: Sequence[Confirmed], labels: Labels
) -> tuple[float, tuple[float, float]]:
    """Kendall's tau-b of proxy metric and confirmed mean, with a bootstrap interval; NaN below two points."""
    if len(points) < 2:
        return float("nan"), (float("nan"), float("nan"))
    tau = float(stats.kendalltau([c.point.metric for c in points], [c.mean for c in points]).statistic)
    judged = metric(results.settings.task.metric)
    proxies = [c.point.record.final.predictions for c in points]
    of_validation = bootstrap_draws(len(results.labels), seed=1)
    proxy = np.stack([judged.replicates(results.labels, p, of_validation) for p in proxies])
    of_test = bootstrap_draws(len(labels), seed=2)
    full = np.stack(
        [np.mean([judged.replicates(labels, run.predictions, of_test) for run in c.runs], axis=0) for c in points]
    )
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
