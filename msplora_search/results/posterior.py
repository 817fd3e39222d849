"""What a study's noisy metrics say of the true ones: draws from their joint posterior.

A hierarchical model, because the best of many noisy measurements is worse than it looks:

    measured = true + noise of training / sqrt(seeds) + noise of the choice of examples (paired: its covariance)
    true     = level + a smooth curve in log parameters + a deviation of each configuration's own

The curve is a Gaussian process, linear plus squared exponential. How large the noise of training, the curve and
the deviations are is integrated over a grid, weighted by the marginal likelihood, by what repeated trainings say
of the first, and by half-Cauchy priors whose scales are stated in errors of a difference. So measurements are
drawn towards what their neighbours say, by as much as the data support (James and Stein, 1961; Efron,
Large-scale inference, 2010, chapter 1; for half-Cauchy priors Gelman, 2006). What all share of the error over
examples is told apart from what each has of its own, and weighs all alike: an accuracy that is high by luck seems
exact too, and would raise the level of all. `scripts/simulate_fronts.py` says
how true it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from msplora_search.results.one_thread import one_thread
from msplora_search.results.training_noise import TrainingNoise

Floats = NDArray[np.float64]
RESAMPLES = 1000
SCALES = {"training": 0.7, "deviation": 1.0, "curve": 1.5}
"""Of the half-Cauchy priors, in errors of a difference."""
LEAST, STEP, STEPS = (0.08, 0.15), 1.8, 8
"""The grid of scales: 0, the least (of training and deviations; of the curve), and each so many times the one
before it; so many steps, and on until the range of the metrics is reached."""
HOPELESS = 4.0
"""Errors below the best at no more parameters from which on a configuration says nothing of the curve."""
UNKNOWN = 100.0
"""Deviation that such a configuration is given, in errors of a difference."""
JITTER, TINY = 1e-9, 1e-16


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of n configurations, by rising parameters."""

    metrics: Floats
    """(n,), each the mean over its seeds."""
    influence: Floats
    """(n, units): how far each example, or group of them, moves the metric, the mean over seeds."""
    parameters: Floats
    """(n,)"""
    seeds: Floats
    """(n,): how many trainings each is the mean of."""


@one_thread()
def draw_true(
    measured: Measured,
    noise: TrainingNoise | None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    stretch: float = 1.0,
) -> Floats:
    """Draws of the true metrics given the measured ones, (resamples, n). Always the same for a seed.

    `noise` None: trainings are taken to have none. `stretch`: of the priors' scales; more examples make errors
    smaller, but not what is thought of trainings and configurations before any is measured.
    """
    model, generator = _Model.of(measured, noise, stretch), np.random.default_rng(seed)
    scales = model.scales()
    weights = np.array([model.weight(of) for of in scales])
    shares = np.exp(weights - weights.max())
    counts = generator.multinomial(resamples, shares / shares.sum())
    drawn = [model.draw(of, int(count), generator) for of, count in zip(scales, counts, strict=True) if count]
    return np.asarray(generator.permutation(np.concatenate(drawn)) * model.unit)


@dataclass(frozen=True)
class _Scale:
    """One cell of the grid; lengths in errors of a difference."""

    training: float
    deviation: float
    curve: float
    prior: float
    """Logarithm of its prior mass."""


@dataclass(frozen=True, eq=False)
class _Model:
    """The model above; lengths in errors of a difference, n configurations."""

    unit: float
    """An error of a difference, in units of the metric."""
    metrics: Floats
    examples: Floats
    """(n, n): covariance over the choice of examples."""
    seeds: Floats
    curve: Floats
    """(n, n): covariance of a curve of scale 1."""
    hopeless: NDArray[np.bool_]
    noise: TrainingNoise | None
    stretch: float

    @classmethod
    def of(cls, measured: Measured, noise: TrainingNoise | None, stretch: float = 1.0) -> _Model:
        centred = measured.influence - measured.influence.mean(axis=1, keepdims=True)
        units = centred.shape[1]
        shared = centred.mean(axis=0)
        own, divisor = centred - shared, units * max(1, units - 1)
        examples = own @ own.T / divisor + float(shared @ shared) / divisor
        unit = _error_of_a_difference(examples)
        size = np.log(measured.parameters)
        size = (size - size.mean()) / max(float(size.std()), 1e-9)
        apart = np.subtract.outer(size, size)
        below = np.maximum.accumulate(measured.metrics) - measured.metrics
        return cls(
            unit=unit,
            metrics=measured.metrics / unit,
            examples=examples / unit**2,
            seeds=measured.seeds,
            curve=np.outer(size, size) + np.exp(-(apart**2) / 2),
            hopeless=below > HOPELESS * math.hypot(unit, math.sqrt(2) * noise.sd if noise else 0.0),
            noise=noise,
            stretch=stretch,
        )

    def scales(self) -> list[_Scale]:
        """The grid."""
        small, large = (_reaching(float(np.ptp(self.metrics)), least) for least in LEAST)
        prior = {name: self.stretch * scale for name, scale in SCALES.items()}
        trainings = _masses(small, prior["training"]) if self.noise else [(0.0, 0.0)]
        return [
            _Scale(training, deviation, curve, p + q + r)
            for training, p in trainings
            for deviation, q in _masses(small, prior["deviation"])
            for curve, r in _masses(large, prior["curve"])
        ]

    def weight(self, of: _Scale) -> float:
        """Logarithm of its posterior mass, up to a constant; the level is integrated out (Harville, 1974)."""
        covariance = self.examples + of.curve**2 * self.curve
        np.einsum("ii->i", covariance)[:] += self._own_signal(of) + self._own_noise(of)
        root = np.linalg.cholesky(covariance)
        both = solve_triangular(
            root, np.column_stack([np.ones_like(self.metrics), self.metrics]), lower=True, check_finite=False
        )
        ones, metrics = both[:, 0], both[:, 1]
        weight = float(ones @ ones)
        left = metrics - ones * float(ones @ metrics) / weight
        found = -np.log(np.diag(root)).sum() - math.log(weight) / 2 - float(left @ left) / 2
        repeats = self.noise.likelihood(of.training * self.unit) if self.noise else 0.0
        return float(found) + repeats + of.prior

    def draw(self, of: _Scale, count: int, generator: np.random.Generator) -> Floats:
        """(count, n)"""
        signal = self._signal(of)
        inverse = np.linalg.inv(self._noise(of) + signal)
        weight = float(inverse.sum())
        level = generator.normal(float((inverse @ self.metrics).sum()) / weight, weight**-0.5, size=(count, 1))
        gain = signal @ inverse
        spread, turn = np.linalg.eigh(signal - gain @ signal)
        noise = generator.normal(size=(count, len(self.metrics))) * np.sqrt(np.maximum(spread, 0.0))
        return np.asarray(level + (self.metrics - level) @ gain.T + noise @ turn.T)

    def _signal(self, of: _Scale) -> Floats:
        """Covariance of the true metrics about their level."""
        return np.asarray(of.curve**2 * self.curve + np.diag(self._own_signal(of)))

    def _noise(self, of: _Scale) -> Floats:
        """Covariance of the measured metrics about the true ones."""
        return np.asarray(self.examples + np.diag(self._own_noise(of)))

    def _own_signal(self, of: _Scale) -> Floats:
        """Variances of the deviations."""
        return np.asarray(np.where(self.hopeless, UNKNOWN, of.deviation) ** 2)

    def _own_noise(self, of: _Scale) -> Floats:
        """Variances by training."""
        return np.asarray(of.training**2 / self.seeds + JITTER)


def _reaching(span: float, least: float) -> Floats:
    """Scales of the grid, beside 0."""
    steps = max(STEPS, 1 + math.ceil(math.log(max(span, least) / least, STEP)))
    return np.asarray(least * STEP ** np.arange(steps))


def _masses(scales: Floats, prior: float) -> list[tuple[float, float]]:
    """Each scale, and 0, with the logarithm of its mass under a half-Cauchy prior."""
    every = np.concatenate([[0.0], scales])
    masses = np.log(np.gradient(every)) - np.log1p((every / prior) ** 2)
    return [(float(scale), float(mass)) for scale, mass in zip(every, masses, strict=True)]


def _error_of_a_difference(examples: Floats) -> float:
    """The median over pairs that differ at all; where none does, of a metric alone."""
    own = np.diag(examples)
    squares = (np.add.outer(own, own) - 2 * examples)[np.triu_indices(len(own), 1)]
    some = squares[squares > TINY]
    if len(some):
        return math.sqrt(float(np.median(some)))
    return math.sqrt(max(float(own.max()), TINY))
