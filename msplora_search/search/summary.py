"""What a study found: the front with its noise, the baselines, counts and cost. Computes; prints nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from msplora_search.results import pareto
from msplora_search.results.noise import draws, replicates
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.results import StudyResults


@dataclass(frozen=True)
class Point:
    """A completely measured trial."""

    record: TrialRecord
    front_probability: float
    """Share of paired bootstrap resamples of the validation examples in which it is on the front."""

    @property
    def name(self) -> str:
        """`trial 5`, or the baseline's name."""
        return self.record.baseline or f"trial {self.record.number}"

    @property
    def metric(self) -> float:
        """The metric at the end of the proxy."""
        return self.record.final.metric

    @property
    def params(self) -> int:
        """Adapter parameters."""
        return self.record.adapter_params

    def to_json(self) -> dict[str, Any]:
        """POINT of `front.json`."""
        assert self.record.pyramid is not None
        return {
            "trial": self.record.number,
            "baseline": self.record.baseline,
            "metric": self.metric,
            "metric_se": self.record.final.metric_se,
            "adapter_params": self.params,
            "trainable_params": self.record.trainable_params,
            "front_probability": self.front_probability,
            "learning_rate": self.record.learning_rate,
            "pyramid": self.record.pyramid.to_json(),
        }


@dataclass(frozen=True)
class Cost:
    """Time and training steps spent, and the steps that the same trials cost without pruning."""

    seconds: float
    steps: int
    steps_without_pruning: int

    @property
    def share(self) -> float:
        """Share of the steps that was spent."""
        return self.steps / self.steps_without_pruning if self.steps_without_pruning else 1.0


@dataclass(frozen=True)
class Summary:
    """A study's findings."""

    results: StudyResults
    points: tuple[Point, ...]
    """Every completely measured trial."""
    front: tuple[Point, ...]
    """By rising parameters."""
    baselines: dict[str, Point]
    """The best of each baseline's learning rates."""
    hypervolume: float
    counts: dict[str, int]
    cost: Cost

    @property
    def paper(self) -> Point | None:
        """The paper's setting."""
        return self.baselines.get("paper")

    @property
    def lora(self) -> list[Point]:
        """Plain LoRA by rising rank."""
        return sorted((p for name, p in self.baselines.items() if name != "paper"), key=lambda p: p.params)

    def to_json(self) -> dict[str, Any]:
        """`front.json`."""
        floor, ceiling = self.results.reference_point
        return {
            "study": self.results.settings.name,
            "metric": self.results.settings.task.metric_label,
            "direction": "maximize",
            "hypervolume": self.hypervolume,
            "reference_point": {"metric": floor, "log10_adapter_params": ceiling},
            "front": [point.to_json() for point in self.front],
            "baselines": {
                "paper": self.paper.to_json() if self.paper else None,
                "lora": [point.to_json() for point in self.lora],
            },
            "counts": self.counts,
            "cost": {
                "seconds": self.cost.seconds,
                "steps": self.cost.steps,
                "steps_without_pruning": self.cost.steps_without_pruning,
            },
        }


def summarise(results: StudyResults) -> Summary:
    """Judge the records of a study."""
    complete = results.in_state(State.COMPLETE)
    limit = results.settings.search.max_params
    eligible = [r for r in complete if limit is None or r.adapter_params <= limit]
    probabilities = _front_probabilities(eligible)
    points = tuple(Point(r, probabilities.get(r.number, 0.0)) for r in complete)
    by_number = {point.record.number: point for point in points}
    on_front = pareto.front(_metrics(eligible), _params(eligible))
    baselines: dict[str, Point] = {}
    for point in points:
        name = point.record.baseline
        if name and (name not in baselines or point.metric > baselines[name].metric):
            baselines[name] = point
    return Summary(
        results=results,
        points=points,
        front=tuple(by_number[eligible[i].number] for i in on_front),
        baselines=baselines,
        hypervolume=hypervolume_of(results, eligible),
        counts=_counts(results),
        cost=_cost(results),
    )


def hypervolume_of(results: StudyResults, records: list[TrialRecord]) -> float:
    """Hypervolume of (metric, log10 of adapter parameters) against the study's reference point."""
    return pareto.hypervolume(_metrics(records), np.log10(_params(records)), results.reference_point)


def _front_probabilities(records: list[TrialRecord]) -> dict[int, float]:
    if not records:
        return {}
    drawn = draws(len(records[0].final.influence))
    resampled = np.stack([replicates(record.final, drawn) for record in records], axis=1)
    shares = pareto.front_probability(resampled, _params(records))
    return {r.number: float(share) for r, share in zip(records, shares, strict=True)}


def _metrics(records: list[TrialRecord]) -> pareto.Floats:
    return np.array([r.final.metric for r in records], dtype=np.float64)


def _params(records: list[TrialRecord]) -> pareto.Floats:
    return np.array([r.adapter_params for r in records], dtype=np.float64)


def _counts(results: StudyResults) -> dict[str, int]:
    found = Counter(record.state for record in results.records)
    told = (State.COMPLETE, State.PRUNED, State.FAILED, State.DUPLICATE, State.REFUSED)
    return {state.value: found[state] for state in told}


def _cost(results: StudyResults) -> Cost:
    trained = results.in_state(State.COMPLETE) + results.in_state(State.PRUNED)
    failed = results.in_state(State.FAILED)
    lost = sum(record.steps for record in failed)
    return Cost(
        seconds=sum(record.seconds for record in trained + failed),
        steps=sum(record.steps for record in trained) + lost,
        steps_without_pruning=sum(record.planned_steps for record in trained) + lost,
    )
