"""Metrics of a whole part: by a well-known library for a value, in closed form for what each example does to it.

Every metric is larger for a better model; so `loss` is the negative mean loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from msplora_search.tasks.recall import Recall

Values = NDArray[Any]
"""One number for each example, or several, (examples, numbers): classes (int64), or measured values (float64)."""
Floats = NDArray[np.float64]


class Metric(Protocol):
    """A metric of `truth` and `predictions`, each (examples,) or (examples, numbers); larger is better."""

    @property
    def name(self) -> str:
        """As in a study file."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest value that it can have."""

    @property
    def is_share(self) -> bool:
        """Whether it is the share of examples, or of tokens, that are right."""

    def score(self, truth: Values, predictions: Values) -> float:
        """The metric of all examples."""

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """How far each example moves the metric, (examples,), of mean 0: the empirical influence function.

        That is the derivative of the metric by the weight of an example, times the number of examples. So a metric
        of many examples varies with their choice as the mean of the influences does (Hampel, The influence curve
        and its role in robust estimation, 1974; Efron, The jackknife, the bootstrap and other resampling plans,
        1982, chapter 6). All 0 where the metric is not defined, and said to be 0.
        """


@dataclass(frozen=True)
class Accuracy:
    """The share of examples whose class is right."""

    name: str = "accuracy"
    bounds: tuple[float, float] = (0.0, 1.0)
    is_share: bool = True

    def score(self, truth: Values, predictions: Values) -> float:
        """By scikit-learn."""
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(truth, predictions))

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """1 or 0, less the share."""
        right = np.asarray(truth == predictions, dtype=np.float64)
        return np.asarray(right - right.mean())


@dataclass(frozen=True)
class F1:
    """The f1 of one class, or the mean over all."""

    classes: int
    """How many the task has, also where some do not occur: those count 0."""
    positive: int | None
    """The class; None for the mean over all."""
    name: str = "f1"
    bounds: tuple[float, float] = (0.0, 1.0)
    is_share: bool = False

    def score(self, truth: Values, predictions: Values) -> float:
        """By scikit-learn."""
        from sklearn.metrics import f1_score

        return float(f1_score(truth, predictions, labels=self._counted, average="macro", zero_division=0))

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Of `2 E[ab] / (E[a] + E[b])`, a and b whether an example is, and is called, of the class."""
        found = np.zeros(len(truth))
        for label in self._counted:
            true, called = (np.asarray(of == label, dtype=np.float64) for of in (truth, predictions))
            both, size = true * called, float(true.mean() + called.mean())
            if size > 0:
                found += (2 * both - 2 * both.mean() / size * (true + called)) / size
        return np.asarray(found / len(self._counted))

    @property
    def _counted(self) -> list[int]:
        return list(range(self.classes)) if self.positive is None else [self.positive]


@dataclass(frozen=True)
class Matthews:
    """Matthews' correlation; of more than two classes R_K (Gorodkin, 2004)."""

    name: str = "matthews"
    bounds: tuple[float, float] = (-1.0, 1.0)
    is_share: bool = False

    def score(self, truth: Values, predictions: Values) -> float:
        """By scikit-learn."""
        from sklearn.metrics import matthews_corrcoef

        return float(matthews_corrcoef(truth, predictions))

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Of `cov / sqrt(v_t v_p)`: cov the share right less what chance gives, v the spread of the classes."""
        right = np.asarray(truth == predictions, dtype=np.float64)
        every = 1 + int(max(truth.max(), predictions.max()))
        true, called = (np.bincount(of, minlength=every) / len(truth) for of in (truth, predictions))
        spread_true, spread_called = 1 - float(true @ true), 1 - float(called @ called)
        if spread_true * spread_called <= 0:
            return np.zeros(len(truth))
        chance, share = float(true @ called), float(right.mean())
        covariance = right - share - (called[truth] - chance) - (true[predictions] - chance)
        of_true = -2 * (true[truth] - float(true @ true)) / spread_true
        of_called = -2 * (called[predictions] - float(called @ called)) / spread_called
        root = math.sqrt(spread_true * spread_called)
        return np.asarray(covariance / root - (share - chance) / root * (of_true + of_called) / 2)


@dataclass(frozen=True)
class Correlation:
    """Pearson's correlation of predicted and true values, or Spearman's, which is Pearson's of ranks."""

    name: str
    of_ranks: bool
    bounds: tuple[float, float] = (-1.0, 1.0)
    is_share: bool = False

    def score(self, truth: Values, predictions: Values) -> float:
        """By SciPy; 0 where either side is constant."""
        from scipy import stats

        if _is_constant(truth) or _is_constant(predictions):
            return 0.0
        by = stats.spearmanr if self.of_ranks else stats.pearsonr
        return float(by(truth, predictions).statistic)

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Pearson's `zx zy - r (zx^2 + zy^2) / 2` (Devlin, Gnanadesikan and Kettenring, 1975).

        Spearman's has two further terms, because an example moves the ranks of all others too (Croux and Dehon,
        Influence functions of the Spearman and Kendall correlation measures, 2010).
        """
        from scipy import stats

        if _is_constant(truth) or _is_constant(predictions):
            return np.zeros(len(truth))
        x, y = truth.astype(np.float64), predictions.astype(np.float64)
        if not self.of_ranks:
            return _pearson_influence(x, y)[0]
        u, v = (stats.rankdata(of) / len(of) for of in (x, y))
        found, by_u, by_v = _pearson_influence(u, v)
        return np.asarray(found + _passed_on(x, by_u) + _passed_on(y, by_v))


@dataclass(frozen=True)
class TokenMean:
    """A mean over tokens of many examples, which have different numbers of them.

    `truth` counts the tokens of each example, `predictions` sums over them what is averaged.
    """

    name: str
    sign: float = 1.0
    """-1 where smaller is better."""
    bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def is_share(self) -> bool:
        """What is averaged is 1 or 0 then."""
        return self.bounds == (0.0, 1.0)

    def score(self, truth: Values, predictions: Values) -> float:
        """Sum over tokens by number of tokens."""
        return self.sign * float(predictions.sum(dtype=np.float64) / truth.sum())

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Of a ratio of sums (Cochran, Sampling Techniques, 1977, section 2.11)."""
        tokens = truth.astype(np.float64)
        residuals = self.sign * predictions.astype(np.float64) - self.score(truth, predictions) * tokens
        return np.asarray(residuals / tokens.mean())


@dataclass(frozen=True)
class MeanOfExamples:
    """The mean of values from 0 to 1, one an example, which are the predictions; `truth` plays no part."""

    name: str
    is_share: bool
    """Whether every value is 0 or 1."""
    bounds: tuple[float, float] = (0.0, 1.0)

    def score(self, truth: Values, predictions: Values) -> float:
        """The mean."""
        return float(predictions.mean(dtype=np.float64))

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Each value, less the mean."""
        values = predictions.astype(np.float64)
        return np.asarray(values - values.mean())


def metric(name: str, classes: int = 0, positive: int | None = None) -> Metric:
    """The metric called `name`.

    f1 needs to know how many classes the task has: it is that of the class `positive` (of two classes the second
    unless said otherwise), or with more than two the mean over all, in which one that does not occur counts 0.
    Raises ValueError for f1 of fewer than two classes.
    """
    if name != "f1":
        return METRICS[name]
    if classes < 2:
        raise ValueError(f"f1 of {classes} classes; it needs to know how many the task has, at least two")
    return F1(classes, 1 if classes == 2 and positive is None else positive)


def _is_constant(values: Values) -> bool:
    return bool((values == values[0]).all())


def _pearson_influence(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """The influence of each pair, and the derivative of the correlation by each x and each y."""
    spread_x, spread_y = float(x.std()), float(y.std())
    zx, zy = (x - x.mean()) / spread_x, (y - y.mean()) / spread_y
    r = float((zx * zy).mean())
    return np.asarray(zx * zy - r * (zx**2 + zy**2) / 2), (zy - r * zx) / spread_x, (zx - r * zy) / spread_y


def _passed_on(values: Floats, derivative: Floats) -> Floats:
    """What an example does to a metric by raising the ranks of those above it; `derivative` is by their ranks."""
    order = np.argsort(values, kind="stable")
    _, starts, counts = np.unique(values[order], return_index=True, return_counts=True)
    of_ties = np.add.reduceat(derivative[order], starts)
    above = of_ties.sum() - np.cumsum(of_ties) + of_ties / 2
    found = np.empty(len(values))
    found[order] = np.repeat(above, counts) / len(values)
    return np.asarray(found - found.mean())


_ALONE: tuple[Metric, ...] = (
    Accuracy(),
    Matthews(),
    Correlation("pearson", of_ranks=False),
    Correlation("spearman", of_ranks=True),
    TokenMean("loss", sign=-1.0, bounds=(-math.inf, 0.0)),
    TokenMean("token-accuracy"),
    TokenMean("exact-match"),
    TokenMean("reward-accuracy"),
    Recall(1),
    Recall(5),
    Recall(10),
)
METRICS: dict[str, Metric] = {found.name: found for found in _ALONE}
"""Those that need to know nothing of the task."""
