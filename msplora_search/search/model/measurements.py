"""What the records of a study say of each configuration, and how exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msplora_search.results import pareto
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.model.features import Configuration

MOST_MODELLED = 250
"""Configurations that a model is made of: those on the front and the nearest to it. The time that a model takes
grows with their cube."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Of n configurations."""

    configurations: tuple[Configuration, ...]
    metrics: Floats
    """(n,), at the end of the proxy, each the mean over its seeds."""
    variances: Floats
    """(n,): of each about the true one, beside what all share, by the choice of examples and of seeds."""

    @property
    def costs(self) -> Floats:
        """Adapter parameters, (n,)."""
        return np.array([configuration.params for configuration in self.configurations], dtype=np.float64)

    def front(self) -> NDArray[np.intp]:
        """Places of those that no other dominates, as measured."""
        return pareto.front(self.metrics, self.costs)

    @classmethod
    def of(cls, records: Sequence[TrialRecord], training: float) -> Measurements:
        """By the trials that were trained to the end; one that failed counts as no better than the worst of these.

        `training`: the variance of the metric over seeds. All trials are measured on the same examples, so what
        an example adds to the metric of all of them cancels in every comparison: it is left out of the variances.
        """
        trainings = defaultdict[Configuration, list[TrialRecord]](list)
        for record in records:
            if record.state == State.COMPLETE:
                trainings[configuration_of(record)].append(record)
        some = list(trainings.items())
        metrics = np.array([np.mean([record.final.metric for record in of]) for _, of in some])
        if len(some) > MOST_MODELLED:
            kept = _nearest_to_front(metrics, np.array([float(one.params) for one, _ in some]))
            some, metrics = [some[i] for i in kept], metrics[kept]
        seeds = np.array([len(of) for _, of in some], dtype=np.float64)
        variances = (_own_variance([of[0] for _, of in some]) + training) / seeds
        failed = {configuration_of(r) for r in records if r.state == State.FAILED and r.pyramid is not None}
        worst = [one for one in failed if one not in trainings] if some else []
        return cls(
            (*(one for one, _ in some), *sorted(worst, key=lambda one: (one.params, str(one.pyramid), one.rate))),
            np.concatenate([metrics, np.full(len(worst), metrics.min(initial=np.inf))]),
            np.concatenate([variances, np.full(len(worst), variances.mean() if some else 0.0)]),
        )


def configuration_of(record: TrialRecord) -> Configuration:
    """What a trial trains. Raises AssertionError for one that adapts nothing."""
    assert record.pyramid is not None
    return Configuration(record.pyramid, record.learning_rate, record.adapter_params)


def _own_variance(records: Sequence[TrialRecord]) -> float:
    """Of one metric over the choice of examples, beside what all share: half that of a difference, on average."""
    if len(records) < 2:
        return float(np.mean([record.final.metric_se**2 for record in records])) if records else 0.0
    influence = np.stack([record.final.influence for record in records])
    own = influence - influence.mean(axis=0)
    units = influence.shape[1]
    return float((own**2).sum() / (len(records) - 1) / (units * max(1, units - 1)))


def _nearest_to_front(metrics: Floats, costs: Floats) -> NDArray[np.intp]:
    """Places of the `MOST_MODELLED` that lie the least below the best at no more cost."""
    below = pareto.envelope(metrics, costs, costs) - metrics
    return np.sort(np.argsort(below, kind="stable")[:MOST_MODELLED])
