"""A Gaussian process of the metric over features, told how exact each measurement is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from msplora_search.results.one_thread import one_thread

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Widths = Mapping[str, float]
"""How far apart the ends of a factor's range lie, where that is not 1: what matters less, as a rule, is nearer."""
WIDTHS: Widths = {
    "parameters": 2.0, "global rank": 0.6, "mid rank": 0.6, "layer rank": 0.6, "groups": 0.6, "boundaries": 0.6,
    "targets": 1.0, "alpha": 1.0, "rate": 2.0,
}  # fmt: skip
OUTLYING = 3.0
"""Distances from the median to the upper quartile, below the median, at which a metric is cut off: how bad a
failure is says nothing of the front."""
STILL = 1e-9
"""Range of a feature that varies by rounding alone."""
NU, LENGTHS, HEIGHTS, JITTER = 2.5, (0.2, 20.0), (0.05, 20.0), 1e-8
"""Of the Matern kernel: smoothness, between which lengths and standard deviations it is fitted, and what is added
to each variance."""
LENGTH, HEIGHT, LUCK = (1.0, 0.5), (1.0, 0.5), (1.0, 1.0)
"""What is believed before anything is measured, each a median and the standard deviation of its logarithm: the
length; the standard deviation, in that of the metrics; the luck of a training, in what is told of it."""
LUCKS = (0.01, 100.0)
"""Between which luck is fitted, likewise."""
BLOCK = 500
"""Configurations that are predicted at a time: their covariances stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """Brings features to comparable ranges, and drops those that never vary."""

    low: Floats
    width: Floats
    """Of each feature that is kept: what it is divided by."""
    kept: Bools
    dropped: Floats
    """The value of each feature that never varies."""

    @classmethod
    def of(cls, features: Floats, factors: Sequence[str], widths: Widths = WIDTHS) -> Scaler:
        """By the range of each feature over (n, features)."""
        low, span = features.min(axis=0), np.ptp(features, axis=0)
        kept = span > STILL
        width = [widths.get(name, 1.0) / np.sqrt(_alike(factors, name, kept)) for name in factors]
        return cls(low[kept], span[kept] / np.array(width)[kept], kept, low[~kept])

    def scaled(self, features: Floats) -> Floats:
        """(n, kept features); one that is always 0 where none is kept."""
        if not self.kept.any():
            return np.zeros((len(features), 1))
        return np.asarray((features[:, self.kept] - self.low) / self.width)

    def holds(self, features: Floats) -> Bools:
        """Which have, in all that is dropped, the value that never varies; (n,)."""
        return np.asarray(np.isclose(features[:, ~self.kept], self.dropped).all(axis=1))


@dataclass(frozen=True, eq=False)
class Surrogate:
    """What was measured, as a function of features."""

    process: GaussianProcessRegressor
    """Its kernel: what the configurations make, and the luck of each training."""
    centre: float
    unit: float

    @classmethod
    @one_thread()
    def fitted(
        cls, features: Floats, metrics: Floats, variances: Floats, luck: float, like: Surrogate | None = None
    ) -> Surrogate:
        """From scaled features (n, d), metrics (n,) and what is known of each variance about the true one (n,).

        `luck`: how much more that variance is believed to be; how much it is, the metrics tell. `like`: takes the
        kernel of that one as it is; otherwise it is the one that is most likely after the measurements.
        """
        # It takes a second to load, and who only looks at a study needs none of it.
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        cut = cut_off(metrics, variances)
        centre, unit = float(cut.mean()), max(float(cut.std()), float(np.sqrt(variances.mean())), 1e-9)
        if like is not None:
            centre, unit = like.centre, like.unit
        told = max(luck / unit**2, JITTER)
        kernel = (
            ConstantKernel(HEIGHT[0] ** 2, (HEIGHTS[0] ** 2, HEIGHTS[1] ** 2)) * Matern(LENGTH[0], LENGTHS, nu=NU)
            + WhiteKernel(told * LUCK[0], (told * LUCKS[0], told * LUCKS[1]))
        )  # fmt: skip
        process = GaussianProcessRegressor(
            kernel if like is None else like.process.kernel_,
            alpha=variances / unit**2 + JITTER,
            optimizer=_likeliest if like is None else None,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length at the end of its range is one
            process.fit(features, (cut - centre) / unit)
        return cls(process, centre, unit)

    @one_thread()
    def predicted(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the true metric, (m,) each, of scaled features (m, d)."""
        blocks = [features[start : start + BLOCK] for start in range(0, len(features), BLOCK)]
        each = [self.process.predict(block, return_std=True) for block in blocks]
        mean, sd = (np.concatenate(found) for found in zip(*each, strict=True))
        true = np.sqrt(np.maximum(sd**2 - self.luck / self.unit**2, 0.0))
        return np.asarray(mean * self.unit + self.centre), np.asarray(true * self.unit)

    @property
    def luck(self) -> float:
        """Variance of a metric by the luck of one training, beside what was known."""
        return float(self.process.kernel_.k2.noise_level * self.unit**2)


def _likeliest(objective: Callable[..., Any], start: Floats, bounds: Floats) -> tuple[Floats, float]:
    """The logarithms of variance, length and luck with the highest posterior density: it begins at the medians."""
    spread = np.array([2 * HEIGHT[1], LENGTH[1], LUCK[1]])

    def negative(at: Floats) -> tuple[float, Floats]:
        value, gradient = objective(at)
        off = (at - start) / spread
        return value + float(off @ off) / 2, gradient + off / spread

    found = minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x, float(found.fun)


def cut_off(metrics: Floats, variances: Floats) -> Floats:
    """Metrics, (n,), those that lie far below the others raised to where that begins (`OUTLYING`)."""
    middle, upper = np.quantile(metrics, [0.5, 0.75])
    lowest = middle - OUTLYING * max(upper - middle, float(np.sqrt(variances.mean())))
    return np.asarray(np.maximum(metrics, lowest))


def _alike(factors: Sequence[str], name: str, kept: Bools) -> int:
    """How many of the features that are kept are of one factor, if they are modules of targets."""
    return max(1, sum(of == name for of in np.array(factors)[kept])) if name == "targets" else 1
