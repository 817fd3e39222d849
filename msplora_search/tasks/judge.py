"""Measures a model's predictions for one part of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msplora_search.results.noise import LEVEL, by_group, interval, quantile, share_interval, standard_error
from msplora_search.results.records import Examples, Measure
from msplora_search.tasks.metrics import Floats, Metric, Values


@dataclass(frozen=True, eq=False)
class Judge:
    """A metric, and what it compares predictions for a part with, in the part's order."""

    metric: Metric
    truth: Values
    """(examples,), or (examples, numbers)"""
    groups: NDArray[np.int64] | None = None
    """Examples with the same number belong together, (examples,); None where each stands for itself."""

    def measure(self, predictions: Values) -> Measure:
        """The metric of `predictions` (examples, ...), or of those for the first of them, and how exact it is."""
        influence = self.influence(predictions)
        return Measure(
            metric=self.metric.score(self.truth[: len(predictions)], predictions),
            metric_se=standard_error(influence),
            examples=Examples(predictions, influence),
        )

    def influence(self, predictions: Values) -> Floats:
        """How far each example, or group, moves the metric of `predictions`, or of those for the first examples.

        Raises ValueError where they are not of these examples.
        """
        count = len(predictions)
        if not 0 < count <= len(self.truth):
            raise ValueError(f"has {count} predictions for {len(self.truth)} examples")
        groups = None if self.groups is None else self.groups[:count]
        return by_group(self.metric.influence(self.truth[:count], predictions), groups)

    def interval(self, measure: Measure, level: float = LEVEL) -> tuple[float, float]:
        """Of a metric, over the choice of examples: Wilson's for a share, else Student's; within its range."""
        units = len(measure.influence)
        if self.metric.is_share:
            return share_interval(measure.metric, measure.metric_se, units, level)
        half = quantile(level, units - 1) * measure.metric_se
        return interval(measure.metric, half, self.metric.bounds)
