"""How exact a mean over training seeds is, and a difference of two such means."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtr

from msplora_search.results.noise import LEVEL, quantile
from msplora_search.results.training_noise import TrainingNoise


@dataclass(frozen=True)
class Spread:
    """The estimated variance of an estimate, and what its own uncertainty amounts to in degrees of freedom."""

    variance: float
    degrees: float

    @property
    def se(self) -> float:
        """Standard error."""
        return math.sqrt(self.variance)

    def half(self, level: float = LEVEL) -> float:
        """Half the width of a two-sided interval."""
        return quantile(level, self.degrees) * self.se

    def one_sided(self, level: float = LEVEL) -> float:
        """How far the true value lies above the estimate at most."""
        return self.half(2 * level - 1)

    def p_value(self, difference: float) -> float:
        """Two-sided, of a true difference of 0; 1 where nothing varies."""
        if not self.variance:
            return 1.0
        return float(2 * stdtr(max(1.0, self.degrees), -abs(difference) / self.se))


def spread_over_seeds(of_examples: float, units: int, noise: TrainingNoise | None, share: float) -> Spread:
    """Over the choice of examples and of seeds.

    `of_examples`: variance of the estimate by the influence of its mean over seeds, on so many `units`; paired
    over examples where it is a difference. `noise`: pooled over all points; None with one seed, and then the
    choice of examples alone is in it. `share`: 1 / seeds for a mean, the sum of both for a difference of two,
    whose seeds are taken to be independent.

    The variance over seeds V has a part X that the choice of examples gives, and `of_examples` E has it too. So
    the sum is E - share X + share V. V - X is not cut at 0: intervals would be too wide where training has little
    noise, and cover 97% to 98%. Degrees are those of Satterthwaite, An approximate distribution of estimates of
    variance components, 1946: E has units - 1, V those that were pooled, and X, a mean over many examples, counts
    as known; for them V counts as X at least, which it truly is, as else a V that is small by luck would seem
    exact. `scripts/simulate_confirmation.py` says how true it is.
    """
    beyond = max(1, units - 1)
    if noise is None or noise.sum_squares == 0:
        return Spread(of_examples, beyond)
    of_seeds, of_both = share * noise.sum_squares / noise.degrees, share * noise.of_examples
    variance = max(0.0, of_examples - of_both) + of_seeds
    least = of_examples + max(0.0, of_seeds - of_both)
    uncertain = of_examples**2 / beyond + max(of_seeds, of_both) ** 2 / noise.degrees
    return Spread(variance, least**2 / uncertain)
