"""A Gaussian process that is a sum of one for each factor and one for all: what a few noisy measurements allow.

How much each part contributes is not fitted but drawn from its posterior, as two dozen measurements leave it open:
so the intervals hold what they promise (see `scripts/simulate_importance.py`). The process by which proposals are
chosen, with one length for all features, spreads what one factor does over the others, too sure of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

from msplora_search.results.one_thread import one_thread

LENGTH, LENGTH_OF_ALL = 0.7, 1.2
"""Of the Matern kernels of a factor's features, which range over about 1, and of that of all features."""
DEVIATION, NOISE, SPREAD, NOISE_SPREAD = 0.2, 0.3, 1.5, 1.0
"""Priors: medians of the standard deviations of a part and of noise beyond what is known, as shares of that of the
metrics; and how far their logarithms spread."""
DRAWS, FIRST, THIN = 200, 50, 3
"""Functions that are drawn, steps before the first is taken, and steps for each."""
WORK = 10_000
"""Of measurements times draws of deviations: with many measurements fewer are drawn, as they are known better."""
WAVES = 64
"""Random features of a part of one or two dimensions; of more four times as many."""
PERMUTATIONS = 199

Floats = NDArray[np.float64]
Columns = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class AdditiveProcess:
    """n measurements."""

    features: Floats
    """(n, d), scaled."""
    metrics: Floats
    """(n,), not all equal."""
    variances: Floats
    """(n,): the least of each about the true one; more is allowed for."""
    parts: tuple[Columns, ...]
    """Features of each part; the last is that of all, for interactions."""

    @property
    def unit(self) -> float:
        """Standard deviation of the metrics."""
        return float(self.metrics.std())

    @cached_property
    def values(self) -> Floats:
        """Metrics about their mean, in that unit, (n,)."""
        return np.asarray((self.metrics - self.metrics.mean()) / self.unit)

    @cached_property
    def kernels(self) -> Floats:
        """Of each part, of variance 1: (parts, n, n)."""
        return self._kernels(self.features)

    @one_thread()
    def draws(self, features: Floats, seed: int = 0) -> Floats:
        """Values on other features (m, d) of functions that the measurements leave possible: (`DRAWS`, m).

        Pathwise: a draw of the prior, by random Fourier features, and what the measurements move of it (Wilson et
        al., Efficiently sampling functions from Gaussian process posteriors, 2020).
        """
        random = np.random.default_rng(seed)
        scales = np.resize(self._scales(random), (DRAWS, len(self.parts) + 1))
        waves = [_Waves.of(*part, random) for part in self._lengths]
        weights = [random.normal(size=(DRAWS, of.count)) for of in waves]
        level = random.normal(size=(DRAWS, 1))

        def prior(at: Floats) -> Floats:
            drawn = [w @ of.at(at).T for of, w in zip(waves, weights, strict=True)]
            return np.asarray(np.einsum("sp,psm->sm", scales[:, :-1], np.stack(drawn)) + level)

        noise = np.sqrt(self._known + scales[:, [-1]] ** 2) * random.normal(size=(DRAWS, len(self.values)))
        missed = self.values - prior(self.features) - noise
        roots = map(self._root, scales)
        moved = np.stack([cho_solve((r, True), m, check_finite=False) for r, m in zip(roots, missed, strict=True)])
        found = prior(features)
        for scale, kernel in zip(scales.T[:-1, :, None], self._kernels(features), strict=True):
            found += scale**2 * (moved @ kernel.T)
        return np.asarray((found + moved.sum(axis=1, keepdims=True)) * self.unit + self.metrics.mean())

    @one_thread()
    def chance(self, seed: int = 0) -> float:
        """How often metrics that have nothing to do with the features would go with some part of them as closely.

        A permutation test, whatever the priors: of the largest, over the parts, of how far what neighbours have in
        common stands out.
        """
        random = np.random.default_rng(seed)
        n = len(self.values)
        rows = np.stack([self.values, *(random.permutation(self.values) for _ in range(PERMUTATIONS))])
        middle = np.eye(n) - 1 / n
        alike = np.stack([((rows @ middle @ kernel @ middle) * rows).sum(axis=1) for kernel in self.kernels])
        spread = np.maximum(alike.std(axis=1, keepdims=True), 1e-12)
        most = ((alike - alike.mean(axis=1, keepdims=True)) / spread).max(axis=0)
        return float((most >= most[0]).mean())

    @property
    def _known(self) -> Floats:
        return np.asarray(self.variances / self.unit**2)

    @property
    def _lengths(self) -> list[tuple[Columns, float]]:
        return [*((part, LENGTH) for part in self.parts[:-1]), (self.parts[-1], LENGTH_OF_ALL)]

    def _kernels(self, features: Floats) -> Floats:
        return np.stack([_matern(features[:, of], self.features[:, of], length) for of, length in self._lengths])

    def _root(self, scales: Floats) -> Floats:
        """Cholesky factor of the covariance of the values; a level that all share has variance 1."""
        covariance = 1 + np.tensordot(scales[:-1] ** 2, self.kernels, 1)
        covariance[np.diag_indices(len(covariance))] += self._known + scales[-1] ** 2
        return np.asarray(cholesky(covariance, lower=True, check_finite=False))

    def _likelihood(self, scales: Floats) -> float:
        root = self._root(scales)
        white = solve_triangular(root, self.values, lower=True, check_finite=False)
        return float(-(white @ white) / 2 - np.log(np.diag(root)).sum())

    def _scales(self, random: np.random.Generator) -> Floats:
        """Draws of the parts' standard deviations and that of further noise, (draws, parts + 1).

        Elliptical slice sampling of their logarithms (Murray, Adams and MacKay, 2010): it has nothing to be tuned.
        """
        middle = np.array([DEVIATION] * len(self.parts) + [NOISE])
        spread = np.array([SPREAD] * len(self.parts) + [NOISE_SPREAD])
        wanted = int(np.clip(WORK // len(self.values), DRAWS // 4, DRAWS))
        place, found = np.zeros(len(middle)), []
        likelihood = self._likelihood(middle)
        for _ in range(FIRST + wanted * THIN):
            other, least = random.normal(size=len(middle)), likelihood - random.exponential()
            angle = random.uniform(0, 2 * np.pi)
            low, high = angle - 2 * np.pi, angle
            while True:
                tried = place * np.cos(angle) + other * np.sin(angle)
                likelihood = self._likelihood(middle * np.exp(spread * tried))
                if likelihood > least:
                    break
                low, high = (angle, high) if angle < 0 else (low, angle)
                angle = random.uniform(low, high)
            place = tried
            found.append(middle * np.exp(spread * place))
        return np.array(found[FIRST::THIN])


@dataclass(frozen=True, eq=False)
class _Waves:
    """Random Fourier features of a Matern kernel: its spectrum is Student's t with 2 nu = 5 degrees of freedom."""

    columns: Columns
    frequencies: Floats
    phases: Floats

    @classmethod
    def of(cls, columns: Columns, length: float, random: np.random.Generator) -> _Waves:
        count = WAVES * (1 if len(columns) < 3 else 4)
        heavy = np.sqrt(random.chisquare(5, size=count) / 5)
        frequencies = random.normal(size=(len(columns), count)) / heavy / length
        return cls(columns, frequencies, random.uniform(0, 2 * np.pi, count))

    @property
    def count(self) -> int:
        return len(self.phases)

    def at(self, features: Floats) -> Floats:
        """(m, count)"""
        return np.asarray(
            np.sqrt(2 / self.count) * np.cos(features[:, self.columns] @ self.frequencies + self.phases)
        )


def parts_of(factors: Sequence[str]) -> tuple[Columns, ...]:
    """A part for each factor of some features, and one of all."""
    names = np.array(factors)
    return (*(np.flatnonzero(names == name) for name in dict.fromkeys(factors)), np.arange(len(names)))


def _matern(one: Floats, other: Floats, length: float) -> Floats:
    """With nu = 5/2, (rows of one, rows of the other)."""
    distance = np.sqrt(5) / length * cdist(one, other)
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))
