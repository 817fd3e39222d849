"""What the records of a study say of each configuration, and how exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.costs import Cost
from msplora_search.results import pareto
from msplora_search.results.records import Configuration, State, TrialRecord
from msplora_search.search.model.choosing import gauged_from
from msplora_search.search.model.ending import Endings
from msplora_search.search.model.features import Candidate

MEASURED = (State.COMPLETE, State.PRUNED, State.FAILED)
"""States of trials that say something of their configuration."""
MOST_MODELLED = 250
"""Configurations that a model is made of, stopped ones included: those on the front and the nearest to it. The
time that a model takes grows with their cube."""
LUCK_UNKNOWN, LUCK_KNOWN = 3.0, 0.3
"""What is believed of the variance of a training: where it was never repeated, in the variance by examples, and
where it was, in the whole of what is known."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Of n configurations: first those that were trained to the end, then what was stopped or failed."""

    configurations: tuple[Candidate, ...]
    metrics: Floats
    """(n,), at the end of the proxy, each the mean over its seeds; of a stopped one as it is expected there."""
    variances: Floats
    """(n,): of each about the true one, beside what all share, by the choice of examples and of seeds."""
    complete: int
    """How many were trained to the end."""
    one_training: float
    """The variance of the metric of one training about the true one, likewise."""
    luck: float
    """How much more it is believed to be: by training, where it is not known, else because it is known badly."""

    @property
    def costs(self) -> Floats:
        """What the search makes small, (n,)."""
        return np.array([configuration.cost for configuration in self.configurations], dtype=np.float64)

    def front(self) -> list[Candidate]:
        """Those that no other dominates, as measured."""
        found = pareto.front(self.metrics[: self.complete], self.costs[: self.complete])
        return [self.configurations[i] for i in found]

    @classmethod
    def of(cls, records: Sequence[TrialRecord], training: float, endings: Endings | None = None) -> Measurements:
        """From the records of a study; one that failed counts as no better than the worst of the others.

        `training`: the variance of the metric over seeds. All trials are measured on the same examples, so what
        an example adds to the metric of all of them cancels in every comparison: it is left out of the variances.
        `endings`: of these records, where they are known.
        """
        trainings = defaultdict[Configuration, list[TrialRecord]](list)
        for record in records:
            if record.state == State.COMPLETE:
                trainings[record.configuration].append(record)
        if not trainings:
            return cls((), np.empty(0), np.empty(0), 0, 0.0, 0.0)
        whole = [(of[0], _mean_metric(of), 0.0) for of in trainings.values()]
        worst, endings = min(metric for _, metric, _ in whole), endings or Endings.of(records)
        every = [*whole, *_unfinished(records, trainings, worst, endings)]
        costs = np.array([float(one.cost) for one, _, _ in every])
        kept = _nearest_to_front(np.array([metric for _, metric, _ in every]), costs, len(whole))
        complete = int((kept < len(whole)).sum())
        first, metrics, more = zip(*(every[i] for i in kept), strict=True)
        by_examples = _own_variance(first[:complete])
        one_training = by_examples + training
        luck = LUCK_KNOWN * one_training if training else LUCK_UNKNOWN * by_examples
        seeds = [len(trainings[one.configuration]) for one in first[:complete]] + [1] * (len(first) - complete)
        variances = one_training / np.array(seeds) + np.array(more)
        configurations = tuple(map(candidate_of, first))
        return cls(configurations, np.array(metrics), variances, complete, one_training, luck)


def candidate_of(record: TrialRecord) -> Candidate:
    """What a trial trains. Raises AssertionError for one that adapts nothing."""
    assert record.pyramid is not None
    price = None if record.cost_is is Cost.PARAMS else record.cost
    return Candidate(record.pyramid, record.learning_rate, record.adapter_params, price)


def stages(records: Sequence[TrialRecord]) -> list[tuple[int, State, int]]:
    """What tells two states of a study apart."""
    return [record.stage for record in records]


def first_measured(records: Sequence[TrialRecord]) -> tuple[list[TrialRecord], bool]:
    """The first of what was measured, up to a twentieth less than all (`gauged_from`), and whether it is all."""
    measured = [record for record in records if record.state in MEASURED]
    count = gauged_from(len(measured))
    return measured[:count], count == len(measured)


def pending_in(records: Iterable[TrialRecord]) -> list[Candidate]:
    """What is being trained for the first time."""
    return [candidate_of(r) for r in records if r.state == State.RUNNING and r.repeat_of is None]


def _own_variance(records: Sequence[TrialRecord]) -> float:
    """Of one metric over the choice of examples, beside what all share: half that of a difference, on average."""
    if len(records) < 2:
        return float(np.mean([record.final.metric_se**2 for record in records])) if records else 0.0
    influence = np.stack([record.final.influence for record in records])
    own = influence - influence.mean(axis=0)
    units = influence.shape[1]
    return float((own**2).sum() / (len(records) - 1) / (units * max(1, units - 1)))


def _mean_metric(trainings: Sequence[TrialRecord]) -> float:
    """At the end."""
    if len(trainings) == 1:
        return trainings[0].final.metric
    return float(np.mean([record.final.metric for record in trainings]))


def _unfinished(
    records: Sequence[TrialRecord], whole: Container[Configuration], worst: float, endings: Endings
) -> Iterator[tuple[TrialRecord, float, float]]:
    """What was stopped or failed and is none of `whole`: the metric expected at its end, and its variance."""
    met = set[Configuration]()
    for record in reversed(records):  # of several stops of one configuration the last
        if record.state not in (State.PRUNED, State.FAILED) or record.pyramid is None:
            continue
        configuration = record.configuration
        if configuration in whole or configuration in met:
            continue
        ending = endings.expected(record)
        if record.state == State.PRUNED and ending is None:
            continue
        met.add(configuration)
        yield (record, *((worst, 0.0) if record.state == State.FAILED or ending is None else ending))


def _nearest_to_front(metrics: Floats, costs: Floats, complete: int) -> NDArray[np.intp]:
    """Places of the `MOST_MODELLED` least below the best of the first, complete ones at no more cost."""
    below = pareto.envelope(metrics[:complete], costs[:complete], costs) - metrics
    return np.sort(np.argsort(below, kind="stable")[:MOST_MODELLED])
