"""What a study found: the front with its noise, the baselines, counts and cost. Computes; prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from msplora_search.design.costs import Cost
from msplora_search.files import public_name
from msplora_search.results import pareto
from msplora_search.results.noise import LEVEL
from msplora_search.results.records import State, TrialRecord
from msplora_search.results.training_noise import TrainingNoise
from msplora_search.search.against_lora import Gain, SizeRatio, gain_over, size_ratio_to
from msplora_search.search.baselines import AT, word_for, word_of
from msplora_search.search.points import Point, best_of_baselines, error_of_difference, points_of
from msplora_search.search.results import StudyResults

if TYPE_CHECKING:
    from msplora_search.search.importance import Importance

WIDER = 1.2
"""How far a bound lies from the mean of the draws, over what they say: their scales are learned from a few dozen
configurations and a handful of repeats, and in `scripts/simulate_fronts.py` errors are a tenth larger."""


@dataclass(frozen=True)
class Spent:
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
    """Every completely measured configuration."""
    front: tuple[Point, ...]
    """By rising cost."""
    baselines: dict[str, Point]
    """The best of each baseline's learning rates."""
    noise: TrainingNoise | None
    """Of training; None where nothing was trained twice."""
    hypervolume: float
    counts: dict[str, int]
    cost: Spent

    @property
    def cost_is(self) -> Cost:
        """What the search makes small; `cost` is what the search itself took."""
        return self.results.settings.search.cost

    @property
    def paper(self) -> Point | None:
        """The paper's setting."""
        return self.baselines.get("paper")

    @property
    def lora(self) -> list[Point]:
        """Plain LoRA of every choice of targets, by rising cost."""
        return sorted((p for name, p in self.baselines.items() if name != "paper"), key=lambda p: p.cost)

    @property
    def ladders(self) -> dict[str, list[Point]]:
        """Plain LoRA by rising cost, by the word for its targets; those of the first choice first."""
        first = word_of(self.results.settings.space.targets[0])
        found: dict[str, list[Point]] = {}
        for point in sorted(self.lora, key=lambda p: AT in p.name):
            found.setdefault(point.name.partition(AT)[2] or first, []).append(point)
        return found

    def word_for(self, targets: Sequence[str]) -> str:
        """As plain LoRA on the same targets has it: all-linear, rather than the names of modules."""
        ladders = ((word, of[0].record.pyramid) for word, of in self.ladders.items())
        return word_for(targets, {word: pyramid.targets for word, pyramid in ladders if pyramid})

    @property
    def edges(self) -> dict[tuple[str, float], list[str]]:
        """Baselines of several rates whose best is the `lowest` or `highest` tried: names by that and the rate."""
        found: dict[tuple[str, float], list[str]] = {}
        for name, best in self.baselines.items():
            tried = {r.learning_rate for r in self.results.records if r.baseline == name}
            rate = best.record.learning_rate
            if len(tried) > 1 and rate in (min(tried), max(tried)):
                side = "lowest" if rate == min(tried) else "highest"
                found.setdefault((side, rate), []).append(name)
        return found

    @cached_property
    def gain_over_lora(self) -> Gain | None:
        """Of the front at equal size, over all ladders together; None without a ladder within `max_params`."""
        return gain_over(self._ladder, self.front)

    @cached_property
    def size_ratio(self) -> SizeRatio | None:
        """Of the front to the ladders at an equal metric; None without a ladder, and where it cannot be told."""
        return size_ratio_to(self._ladder, self.front)

    @cached_property
    def importance(self) -> Importance | None:
        """What decides the metric; None where too little was measured."""
        from msplora_search.search.importance import importance_of  # loads what takes a while

        return importance_of(self.results)

    @property
    def _ladder(self) -> list[Point]:
        limit = self.results.settings.search.max_params
        return [point for point in self.lora if limit is None or point.params <= limit]

    @property
    def candidates(self) -> list[Point]:
        """Every point that may be chosen, by rising cost."""
        limit = self.results.settings.search.max_params
        return sorted(
            (p for p in self.points if limit is None or p.params <= limit),
            key=lambda p: (p.cost, p.record.number),
        )

    def error(self, one: Point, other: Point) -> float:
        """Standard error of the difference of two points on the validation part."""
        return error_of_difference(one, other, self.noise)

    def worse_by_at_most(self, point: Point, other: Point, level: float = LEVEL) -> float:
        """How much worse than another a point is at most, by validation and judging part; negative: it is better.

        A one-sided bound of its true metric: with several seeds, and of all configurations together, so that it
        holds for a point that was chosen (see `results.posterior`), and `WIDER` than the draws say.
        """
        worse = other.told - point.told
        return float(worse.mean() + WIDER * (np.quantile(worse, level) - worse.mean()))

    def to_json(self) -> dict[str, Any]:
        """`front.json`."""
        floor, ceiling = self.results.reference_point
        return {
            "study": self.results.settings.name,
            "model": public_name(self.results.settings.model),
            "metric": self.results.settings.task.metric_label,
            "direction": "maximize",
            "cost_is": self.cost_is.value,
            "training_sd": self.noise and self.noise.to_json(),
            "gain_over_lora": self.gain_over_lora and self.gain_over_lora.to_json(),
            "size_ratio": self.size_ratio and self.size_ratio.to_json(),
            "importance": [share.to_json() for share in self.importance.shares] if self.importance else [],
            "hypervolume": self.hypervolume,
            "reference_point": {"metric": floor, self.cost_is.key: ceiling},
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
    limit = results.settings.search.max_params
    points, noise = points_of(results.in_state(State.COMPLETE), limit)
    eligible = [point for point in points if limit is None or point.params <= limit]
    metrics, costs = np.array([p.metric for p in eligible]), np.array([float(p.cost) for p in eligible])
    return Summary(
        results=results,
        points=points,
        front=tuple(eligible[i] for i in pareto.front(metrics, costs)),
        baselines=best_of_baselines(points),
        noise=noise,
        hypervolume=pareto.hypervolume(metrics, np.log10(costs), results.reference_point),
        counts=_counts(results),
        cost=_cost(results),
    )


def hypervolumes_of(results: StudyResults, records: list[TrialRecord]) -> pareto.Floats:
    """Of the first 0, 1, 2, ... records, (records + 1,), in (metric, log10 of cost).

    Against the study's reference point.
    """
    found = pareto.hypervolumes(_metrics(records), np.log10(_costs(records)), results.reference_point)
    return np.concatenate([[0.0], found])


def _metrics(records: list[TrialRecord]) -> pareto.Floats:
    return np.array([r.final.metric for r in records], dtype=np.float64)


def _costs(records: list[TrialRecord]) -> pareto.Floats:
    return np.array([r.cost for r in records], dtype=np.float64)


def _counts(results: StudyResults) -> dict[str, int]:
    found = Counter(record.state for record in results.records)
    told = (State.COMPLETE, State.PRUNED, State.FAILED, State.DUPLICATE, State.REFUSED)
    return {state.value: found[state] for state in told}


def _cost(results: StudyResults) -> Spent:
    trained = results.in_state(State.COMPLETE) + results.in_state(State.PRUNED)
    failed = results.in_state(State.FAILED)
    lost = sum(record.steps for record in failed)
    return Spent(
        seconds=sum(record.seconds for record in trained + failed),
        steps=sum(record.steps for record in trained) + lost,
        steps_without_pruning=sum(record.planned_steps for record in trained) + lost,
    )
