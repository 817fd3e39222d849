"""How well the proxy ranked what full training ranked anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msplora_search.results.holm import adjusted
from msplora_search.results.noise import LEVEL, RESAMPLES, difference_se
from msplora_search.results.pareto import Floats
from msplora_search.results.posterior import Measured, draw_true
from msplora_search.results.records import Measure
from msplora_search.results.seed_means import Spread, spread_over_seeds
from msplora_search.results.training_noise import TrainingNoise, pooled_noise
from msplora_search.search.points import Point

Ranked = tuple[Point, Measure]
"""A point, and the mean over seeds of its full training on the test part."""


@dataclass(frozen=True)
class Ranking:
    """What is known of the proxy's order of the points."""

    pairs: int
    told_apart: int
    """Pairs of which full training says that one is truly better: by Holm's method over all pairs, so that the
    chance of any false one is at most 5%."""
    rightly: int
    """Of those, the pairs that the proxy ordered in the same way."""
    tau: float
    """Kendall's tau-b of the proxy's metric and the confirmed mean; NaN where either is the same for all."""
    tau_interval: tuple[float, float]
    """95%, by the noise of both."""
    perfect_tau: float
    """What a proxy whose true metric is that of full training would reach at the noise of both: the median."""


def rank(points: Sequence[Ranked], noise: TrainingNoise | None, seeds: int) -> Ranking:
    """Judge the proxy by full training with so many seeds, whose noise is `noise`.

    For the tau of a perfect proxy, true metrics are drawn from what full training says of them (see
    `results.posterior`). To each draw is added what the choice of examples, paired, and of seeds does to proxy and
    to full training. The proxy's noise of training is what the search's own repeats say, none without repeats.
    """
    proxy, full = (np.array(column) for column in zip(*((p.metric, m.metric) for p, m in points), strict=True))
    full = full.round(12)  # so that equal means are equal, whatever they were summed from
    told, rightly = told_apart(points, noise, seeds)
    of_proxy = pooled_noise([[record.final for record in point.trainings] for point, _ in points])
    generator = np.random.default_rng(1)
    trainings = np.array([float(len(point.trainings)) for point, _ in points])
    luck = _luck([point.measure for point, _ in points], of_proxy, trainings, generator)
    full_seeds = np.full(len(points), float(seeds))
    full_luck = _luck([measure for _, measure in points], noise, full_seeds, generator)
    taus = _taus(proxy + luck, full + full_luck)
    perfect = np.full(1, np.nan)
    if len(points) > 1 and full_luck.any():
        influence = np.stack([measure.influence for _, measure in points])
        parameters = np.array([float(point.params) for point, _ in points])
        truth = draw_true(Measured(full, influence, parameters, full_seeds), noise)
        perfect = _taus(truth + luck, truth + full_luck)
    low, high = _quantiles(taus, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ranking(
        pairs=len(points) * (len(points) - 1) // 2,
        told_apart=told,
        rightly=rightly,
        tau=float(_taus(proxy[None], full[None])[0]),
        tau_interval=(low, high),
        perfect_tau=_quantiles(perfect, [0.5])[0],
    )


def difference_spread(one: Measure, other: Measure, noise: TrainingNoise | None, seeds: int) -> Spread:
    """Of the difference of two means over so many seeds on the same examples."""
    of_examples = difference_se(one, other) ** 2
    return spread_over_seeds(of_examples, len(one.influence), noise, 2 / seeds)


def told_apart(points: Sequence[Ranked], noise: TrainingNoise | None, seeds: int) -> tuple[int, int]:
    """Pairs that full training tells apart, and how many of them the proxy ordered in the same way."""
    pairs = [(points[i], points[j]) for j in range(len(points)) for i in range(j)]
    gaps = [one[1].metric - other[1].metric for one, other in pairs]
    p_values = [
        difference_spread(one[1], other[1], noise, seeds).p_value(gap)
        for (one, other), gap in zip(pairs, gaps, strict=True)
    ]
    told = [p < 1 - LEVEL for p in adjusted(p_values)]
    alike = [gap * (one[0].metric - other[0].metric) > 0 for (one, other), gap in zip(pairs, gaps, strict=True)]
    return sum(told), sum(t and a for t, a in zip(told, alike, strict=True))


def _luck(
    measures: Sequence[Measure], noise: TrainingNoise | None, seeds: Floats, generator: np.random.Generator
) -> Floats:
    """What other examples and other seeds do to the metrics of points: (draws, points)."""
    influence = np.stack([measure.influence for measure in measures])
    spread, turn = np.linalg.eigh(influence @ influence.T / influence.shape[1] ** 2)
    shape = (RESAMPLES, len(measures))
    of_examples = (generator.normal(size=shape) * np.sqrt(np.maximum(spread, 0.0))) @ turn.T
    sd = noise.sd if noise else 0.0
    return np.asarray(of_examples + generator.normal(size=shape) * sd / np.sqrt(seeds))


def _taus(one: Floats, other: Floats) -> Floats:
    """Kendall's tau-b of each row of two arrays (draws, points), (draws,); NaN where a row has no order."""
    first, second = np.triu_indices(one.shape[1], 1)
    signs = [np.sign(of[:, first] - of[:, second]) for of in (one, other)]
    untied = [(sign != 0).sum(axis=1) for sign in signs]
    with np.errstate(invalid="ignore"):
        return np.asarray((signs[0] * signs[1]).sum(axis=1) / np.sqrt(untied[0] * untied[1]))


def _quantiles(taus: Floats, levels: Sequence[float]) -> list[float]:
    """Of those that are known; NaN where none is."""
    known = taus[np.isfinite(taus)]
    return [float(np.quantile(known, level)) if len(known) else float("nan") for level in levels]
