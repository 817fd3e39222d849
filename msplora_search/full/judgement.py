"""What full training says of a search: intervals, paired comparisons, the confirmed front, the proxy's ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from msplora_search.full.ranking import Ranking, difference_spread, rank
from msplora_search.full.serving import Serving
from msplora_search.results import pareto
from msplora_search.results.holm import adjusted
from msplora_search.results.noise import difference_interval, interval, share_interval
from msplora_search.results.records import Measure
from msplora_search.results.seed_means import spread_over_seeds
from msplora_search.results.training_noise import TrainingNoise, pooled_noise
from msplora_search.search.points import Point, mean_measure
from msplora_search.search.results import StudyResults
from msplora_search.tasks.judge import Judge


@dataclass(frozen=True)
class Comparison:
    """A confirmed point against a baseline; positive is better than the baseline."""

    baseline: str
    difference: float
    interval: tuple[float, float]
    """95%, of this comparison alone."""
    worse_by_at_most: float
    """With 95% confidence, of this comparison alone; negative: it is better by at least so much."""
    p_value: float
    """Two-sided, of this comparison alone."""
    p_adjusted: float = 1.0
    """The same by Holm's method, for all comparisons of the confirmation."""


@dataclass(frozen=True)
class Tried:
    """A learning rate that a point was trained at."""

    rate: float
    metric: float
    """On the rows that are kept for this choice, the mean over seeds."""


@dataclass(frozen=True)
class Confirmed:
    """One point after full training with every seed."""

    point: Point
    runs: tuple[Measure, ...]
    """On the test part, one a seed; at the better rate where several were tried."""
    interval: tuple[float, float]
    """95% of the mean, over test examples and, with several seeds, seeds."""
    comparisons: tuple[Comparison, ...] = ()
    tried: tuple[Tried, ...] = ()
    """By rising rate; none where there was no choice."""
    adapters: tuple[Path, ...] = ()
    """Folders of what these runs trained."""
    serving: Serving | None = None
    """What serving it takes, as measured; None where it was not."""

    @property
    def mean(self) -> float:
        """Mean metric over seeds; rounded so that equal means are equal, whatever they were summed from."""
        return round(float(np.mean([run.metric for run in self.runs])), 12)

    @property
    def measure(self) -> Measure:
        """The mean over seeds."""
        return mean_measure(self.runs)

    @property
    def name(self) -> str:
        """Of its point."""
        return self.point.name

    @property
    def rate(self) -> float | None:
        """The learning rate that was best of those tried."""
        return chosen_rate(self.tried) if self.tried else None


def chosen_rate(tried: Sequence[Tried]) -> float:
    """The best; the lower of equals."""
    return max(tried, key=lambda t: (t.metric, -t.rate)).rate


@dataclass(frozen=True)
class Confirmation:
    """What full training says of a search."""

    results: StudyResults
    points: tuple[Confirmed, ...]
    """By rising cost."""
    front: tuple[Confirmed, ...]
    noise: TrainingNoise | None
    """Over the seeds of full training, pooled over all points; None with one seed."""
    ranking: Ranking

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        ranking = self.ranking
        return {
            "study": self.results.settings.name,
            "metric": self.results.settings.task.metric_label,
            "cost_is": self.results.settings.search.cost.value,
            "metric_bounds": [_known(bound) for bound in self.results.metric.bounds],
            "points": [_plain(confirmed) for confirmed in self.points],
            "front": [confirmed.name for confirmed in self.front],
            "seeds": len(self.points[0].runs),
            "training_sd": self.noise and self.noise.to_json(),
            "test_examples": len(self.points[0].runs[0].predictions),
            "pairs": ranking.pairs,
            "pairs_told_apart": ranking.told_apart,
            "pairs_ordered_rightly": ranking.rightly,
            "kendall_tau": _known(ranking.tau),
            "kendall_tau_interval_95": [_known(bound) for bound in ranking.tau_interval],
            "kendall_tau_of_a_perfect_proxy": _known(ranking.perfect_tau),
        }


Found = tuple[Point, tuple[Measure, ...]]
"""A point, and what each seed of its full training reached on the test part."""


def judge_found(
    results: StudyResults,
    found: Sequence[Found],
    judge: Judge,
    tried: Sequence[tuple[Tried, ...]] = (),
    adapters: Sequence[tuple[Path, ...]] = (),
    servings: Sequence[Serving | None] = (),
) -> Confirmation:
    """Compare what full training reached on the test part, which is that of `judge`.

    `tried`: for each point, the learning rates among which that of its runs was chosen. `adapters`: for each, the
    folders of what its runs trained. `servings`: for each, what serving it takes, where that was measured.
    """
    noise = pooled_noise([runs for _, runs in found])
    points = compared(found, noise, judge)
    if tried:
        points = tuple(replace(point, tried=rates) for point, rates in zip(points, tried, strict=True))
    if adapters:
        points = tuple(replace(point, adapters=of) for point, of in zip(points, adapters, strict=True))
    if servings:
        points = tuple(replace(point, serving=of) for point, of in zip(points, servings, strict=True))
    means = np.array([c.mean for c in points])
    costs = np.array([float(c.point.cost) for c in points])
    front = tuple(points[i] for i in pareto.front(means, costs))
    ranking = rank([(c.point, c.measure) for c in points], noise, len(points[0].runs))
    return Confirmation(results, points, front, noise, ranking)


def compared(found: Sequence[Found], noise: TrainingNoise | None, judge: Judge) -> tuple[Confirmed, ...]:
    """Each point with its interval, and compared with its rivals; p-values are adjusted for all comparisons.

    Two points that are each other's rivals are one comparison.
    """
    plain = [Confirmed(point, runs, _interval(runs, noise, judge)) for point, runs in found]
    named = {confirmed.name: confirmed for confirmed in plain}
    versus = [[_compare(c, rival, noise, judge) for rival in _rivals(c, named)] for c in plain]
    family = {
        frozenset((c.name, one.baseline)): one.p_value
        for c, of_point in zip(plain, versus, strict=True)
        for one in of_point
    }
    told = dict(zip(family, adjusted(list(family.values())), strict=True))
    return tuple(
        replace(
            c, comparisons=tuple(replace(o, p_adjusted=told[frozenset((c.name, o.baseline))]) for o in of_point)
        )
        for c, of_point in zip(plain, versus, strict=True)
    )


def _rivals(confirmed: Confirmed, named: dict[str, Confirmed]) -> list[Confirmed]:
    """The paper's pyramid, and the smallest plain LoRA that is no smaller."""
    found = [named["paper"]] if "paper" in named else []
    ladder = [c for name, c in named.items() if name.startswith("lora-") and c.point.cost >= confirmed.point.cost]
    found += sorted(ladder, key=lambda c: c.point.cost)[:1]
    return [rival for rival in found if rival.name != confirmed.name]


def _compare(one: Confirmed, other: Confirmed, noise: TrainingNoise | None, judge: Judge) -> Comparison:
    """Example by example, as both come from the same rows; their seeds are taken to be independent."""
    difference = one.mean - other.mean
    spread = difference_spread(one.measure, other.measure, noise, len(one.runs))
    return Comparison(
        baseline=other.name,
        difference=difference,
        interval=difference_interval(difference, spread.half(), judge.metric.bounds),
        worse_by_at_most=spread.one_sided() - difference,
        p_value=spread.p_value(difference),
    )


def _interval(runs: tuple[Measure, ...], noise: TrainingNoise | None, judge: Judge) -> tuple[float, float]:
    """95% of the mean metric."""
    mean, units = mean_measure(runs), len(runs[0].influence)
    spread = spread_over_seeds(mean.metric_se**2, units, noise, 1 / len(runs))
    if judge.metric.is_share:
        return share_interval(mean.metric, spread.se, units, degrees=spread.degrees)
    return interval(mean.metric, spread.half(), judge.metric.bounds)


def _plain(confirmed: Confirmed) -> dict[str, Any]:
    return {
        "name": confirmed.name,
        "trial": confirmed.point.record.number,
        "pyramid": str(confirmed.point.record.pyramid),
        "adapter_params": confirmed.point.params,
        "cost": confirmed.point.cost,
        "costs": confirmed.point.record.costs and confirmed.point.record.costs.to_json(),
        "serving": confirmed.serving and confirmed.serving.to_json(),
        "proxy_metric": confirmed.point.metric,
        "front_probability": confirmed.point.front_probability,
        "mean": confirmed.mean,
        "interval_95": list(confirmed.interval),
        "seeds": [run.metric for run in confirmed.runs],
        "rates": [{"learning_rate": t.rate, "metric": t.metric} for t in confirmed.tried],
        "learning_rate": confirmed.rate,
        "comparisons": [
            {
                "baseline": c.baseline,
                "difference": c.difference,
                "interval_95": list(c.interval),
                "worse_by_at_most": c.worse_by_at_most,
                "p_value": c.p_value,
                "p_adjusted": c.p_adjusted,
            }
            for c in confirmed.comparisons
        ],
    }


def _known(value: float) -> float | None:
    """JSON has no NaN, and no infinity."""
    return value if math.isfinite(value) else None
