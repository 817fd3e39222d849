"""How far two trainings of one configuration differ by their seeds alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import gammaincinv

from msplora_search.results.noise import LEVEL, difference_se
from msplora_search.results.records import Measure


@dataclass(frozen=True)
class TrainingNoise:
    """The standard deviation of the metric over seeds, as repeated trainings tell it.

    Seeds also change which examples are right, and this part is in every paired error already. So what is left is
    the variance over seeds less half the squared error of a difference of two seeds.
    """

    sum_squares: float
    """Of metrics about their configuration's mean, pooled over configurations."""
    degrees: int
    """Trainings beyond the first of each configuration."""
    of_examples: float
    """The variance over seeds that the choice of examples alone would give."""

    @property
    def variance(self) -> float:
        """Of the true metric over seeds."""
        return max(0.0, self.sum_squares / self.degrees - self.of_examples)

    @property
    def sd(self) -> float:
        """Standard deviation of the true metric over seeds."""
        return math.sqrt(self.variance)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Of the standard deviation, by the chi-squared distribution of a variance."""
        ends = (2 * gammaincinv(self.degrees / 2, (1 + side * level) / 2) for side in (1, -1))
        low, high = (math.sqrt(max(0.0, self.sum_squares / float(end) - self.of_examples)) for end in ends)
        return low, high

    def likelihood(self, sd: float) -> float:
        """Logarithm of the likelihood of a standard deviation, up to a constant."""
        variance = sd**2 + self.of_examples
        if variance <= 0:
            return -math.inf if self.sum_squares > 0 else 0.0
        return -self.degrees / 2 * math.log(variance) - self.sum_squares / (2 * variance)

    def to_json(self) -> dict[str, Any]:
        """`training_sd` of `front.json`."""
        low, high = self.interval()
        return {"sd": self.sd, "interval_95": [low, high], "repeats": self.degrees}


def pooled_noise(repeats: Sequence[Sequence[Measure]]) -> TrainingNoise | None:
    """From the measures of each configuration, one a seed; None where none was trained twice."""
    several = [measures for measures in repeats if len(measures) > 1]
    if not several:
        return None
    metrics = [np.array([measure.metric for measure in measures]) for measures in several]
    of_examples = [
        np.mean([difference_se(one, other) ** 2 for one, other in combinations(measures, 2)]) / 2
        for measures in several
    ]
    beyond = [len(measures) - 1 for measures in several]
    return TrainingNoise(
        sum_squares=float(sum(((of - of.mean()) ** 2).sum() for of in metrics)),
        degrees=sum(beyond),
        of_examples=float(np.average(of_examples, weights=beyond)),
    )
