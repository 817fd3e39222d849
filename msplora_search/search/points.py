"""The configurations that were measured to the end: each with all its trainings, and what they say of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from msplora_search.results import pareto
from msplora_search.results.noise import difference_se, draws, replicates, standard_error
from msplora_search.results.pareto import Floats
from msplora_search.results.posterior import RESAMPLES, Measured, draw_true
from msplora_search.results.records import NO_EXAMPLES, Examples, Measure, TrialRecord
from msplora_search.results.training_noise import TrainingNoise, pooled_noise

MOST_MODELLED = 200
"""Configurations that the model of true metrics is made of: those on the envelope, the baselines at their best
rates, and those nearest to the envelope."""


@dataclass(frozen=True, eq=False)
class Point:
    """One completely measured configuration."""

    trainings: tuple[TrialRecord, ...]
    """One a seed; the first is the search's own."""
    front_probability: float = 0.0
    """That it is on the true front: the share of `draws` in which it is."""
    draws: Floats = field(default_factory=lambda: NO_EXAMPLES, repr=False)
    """Of its true metric by the validation part, (resamples,); of one configuration and another they are paired.

    Empty for one that is far below the front.
    """
    told: Floats = field(default_factory=lambda: NO_EXAMPLES, repr=False)
    """The same by validation and judging part together: for what is said of a choice, and never to choose by."""

    @property
    def record(self) -> TrialRecord:
        """The search's own training of it."""
        return self.trainings[0]

    @property
    def name(self) -> str:
        """`trial 5`, or the baseline's name."""
        return self.record.baseline or f"trial {self.record.number}"

    @cached_property
    def measure(self) -> Measure:
        """On the validation part, the mean over seeds."""
        return mean_measure([record.final for record in self.trainings])

    @property
    def judged(self) -> Measure | None:
        """On the judging part, the mean over seeds; None where it was not measured there."""
        found = [record.judged for record in self.trainings if record.judged is not None]
        return mean_measure(found) if len(found) == len(self.trainings) else None

    @cached_property
    def metric(self) -> float:
        """At the end of the proxy, on the validation part, the mean over seeds."""
        return float(np.mean([record.final.metric for record in self.trainings]))

    @property
    def params(self) -> int:
        """Adapter parameters."""
        return self.record.adapter_params

    @property
    def cost(self) -> int:
        """What the search makes small."""
        return self.record.cost

    def to_json(self) -> dict[str, Any]:
        """POINT of `front.json`."""
        assert self.record.pyramid is not None
        judged = self.judged
        return {
            "trial": self.record.number,
            "baseline": self.record.baseline,
            "metric": self.metric,
            "metric_se": self.measure.metric_se,
            "metric_judged": judged and judged.metric,
            "metric_judged_se": judged and judged.metric_se,
            "seeds": len(self.trainings),
            "adapter_params": self.params,
            "trainable_params": self.record.trainable_params,
            "cost": self.cost,
            "costs": self.record.costs and self.record.costs.to_json(),
            "front_probability": self.front_probability,
            "learning_rate": self.record.learning_rate,
            "pyramid": self.record.pyramid.to_json(),
        }


def error_of_difference(one: Point, other: Point, noise: TrainingNoise | None) -> float:
    """Standard error of the difference of two points' metrics: paired over examples, and the seeds of each."""
    of_examples = difference_se(one.measure, other.measure)
    if noise is None or one is other:
        return of_examples
    of_seeds = noise.variance * (1 / len(one.trainings) + 1 / len(other.trainings))
    return math.sqrt(of_examples**2 + of_seeds)


def resampled(points: Sequence[Point], noise: TrainingNoise | None, resamples: int = RESAMPLES) -> Floats:
    """The metrics of points had other examples been drawn, and other seeds: (resamples, points)."""
    measures = [point.measure for point in points]
    drawn = draws(len(measures[0].influence), resamples)
    found = np.stack([replicates(measure, drawn) for measure in measures], axis=1)
    seeds = np.array([len(point.trainings) for point in points])
    luck = np.random.default_rng(0).normal(size=found.shape) / np.sqrt(seeds)
    return np.asarray(found + (noise.sd if noise else 0.0) * luck)


def mean_measure(measures: Sequence[Measure]) -> Measure:
    """The mean metric of several models on the same examples; it has no predictions of its own."""
    if len(measures) == 1:
        return measures[0]
    influence = np.mean([measure.influence for measure in measures], axis=0)
    metric = float(np.mean([measure.metric for measure in measures]))
    return Measure(metric, standard_error(influence), Examples(influence=influence))


def together(one: Measure, other: Measure) -> Measure:
    """The metric on two parts together, to first order: the mean over all their examples, or groups."""
    units = len(one.influence), len(other.influence)
    influence = np.concatenate([one.influence, other.influence])
    metric = float(np.average([one.metric, other.metric], weights=units))
    return Measure(metric, standard_error(influence), Examples(influence=influence))


def points_of(
    complete: Sequence[TrialRecord], limit: int | None
) -> tuple[tuple[Point, ...], TrainingNoise | None]:
    """Every configuration of the complete trials, in the order of their first, and the noise of training.

    `limit`: most adapter parameters of what may be chosen; others have no probability of being on the front.
    """
    trainings: dict[Any, list[TrialRecord]] = {}
    for record in complete:
        trainings.setdefault(record.configuration, []).append(record)
    points = [Point(tuple(records)) for records in trainings.values()]
    noise = pooled_noise([[record.final for record in point.trainings] for point in points])
    modelled = _modelled(points)
    chosen_by = [[r.final for r in p.trainings] for p in modelled]
    chosen = _draws(modelled, chosen_by, noise)
    told = chosen
    if all(point.judged is not None for point in modelled) and modelled:
        both = [[together(r.final, r.judged) for r in p.trainings if r.judged is not None] for p in modelled]
        told = _draws(modelled, both, pooled_noise(both), math.sqrt(_units(both) / _units(chosen_by)))
    open_to_choice = [i for i, p in enumerate(modelled) if limit is None or p.params <= limit]
    shares = pareto.front_probability(chosen[:, open_to_choice], _costs(modelled)[open_to_choice])
    probabilities = dict(zip(open_to_choice, shares, strict=True))
    place = {id(point): i for i, point in enumerate(modelled)}
    found = tuple(
        Point(point.trainings, float(probabilities.get(i, 0.0)), chosen[:, i], told[:, i])
        if (i := place.get(id(point))) is not None
        else point
        for point in points
    )
    return found, noise


def best_of_baselines(points: Sequence[Point]) -> dict[str, Point]:
    """Each baseline at the best of its learning rates, by the validation part; of equals the first."""
    found: dict[str, Point] = {}
    for point in points:
        name = point.record.baseline
        if name and (name not in found or point.metric > found[name].metric):
            found[name] = point
    return found


def _modelled(points: Sequence[Point]) -> list[Point]:
    """By rising parameters."""
    best = pareto.envelope(_metrics(points), _costs(points), _costs(points))
    below = best - _metrics(points)
    spoken_of = {id(point) for point in best_of_baselines(points).values()}
    nearest = sorted(range(len(points)), key=lambda i: (below[i] > 0, id(points[i]) not in spoken_of, below[i]))
    return sorted((points[i] for i in nearest[:MOST_MODELLED]), key=lambda p: (p.params, p.record.number))


def _units(measures: Sequence[Sequence[Measure]]) -> int:
    """Examples, or groups of them, that the metrics are of."""
    return len(measures[0][0].influence)


def _draws(
    points: Sequence[Point],
    measures: Sequence[Sequence[Measure]],
    noise: TrainingNoise | None,
    stretch: float = 1.0,
) -> Floats:
    """(resamples, points)"""
    if not points:
        return np.empty((RESAMPLES, 0))
    means = [mean_measure(of_one) for of_one in measures]
    measured = Measured(
        metrics=np.array([mean.metric for mean in means]),
        influence=np.stack([mean.influence for mean in means]),
        parameters=_params(points),
        seeds=np.array([len(of_one) for of_one in measures], dtype=np.float64),
    )
    return draw_true(measured, noise, stretch=stretch)


def _metrics(points: Sequence[Point]) -> Floats:
    return np.array([point.metric for point in points], dtype=np.float64)


def _costs(points: Sequence[Point]) -> Floats:
    return np.array([point.cost for point in points], dtype=np.float64)


def _params(points: Sequence[Point]) -> Floats:
    return np.array([point.params for point in points], dtype=np.float64)
