"""Metrics of a whole part: by a well-known library for a value, and for many bootstrap resamples at once.

Every metric is larger for a better model; so `loss` is the negative mean loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
"""One number for each example: classes (int64), or measured values (float64)."""
Floats = NDArray[np.float64]
RESAMPLES = 1000


class Metric(Protocol):
    """A metric of `truth` and `predictions`, each (examples,); larger is better."""

    @property
    def name(self) -> str:
        """As in a study file."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest value that it can have."""

    def score(self, truth: Values, predictions: Values) -> float:
        """The metric of all examples."""

    def qualities(self, truth: Values, predictions: Values) -> Floats:
        """How well each example did, (examples,); the metric of an example alone where there is such a thing."""

    def replicates(self, truth: Values, predictions: Values, draws: Floats) -> Floats:
        """The metric on every bootstrap resample; `draws` (resamples, examples) counts each example."""

    def standard_error(self, truth: Values, predictions: Values) -> float:
        """Standard error over the choice of examples."""


@dataclass(frozen=True)
class ClassMetric:
    """A metric of predicted classes."""

    name: str
    by_sklearn: Callable[[Values, Values], float]
    """(classes, predicted classes) -> value."""
    from_counts: Callable[[Floats, Floats, Floats], Floats]
    """Right, true and predicted examples of each class, (resamples, classes) each -> values (resamples,)."""
    bounds: tuple[float, float] = (0.0, 1.0)
    classes: int = 0
    """How many the task has, also where some do not occur; 0 where they do not matter."""

    def score(self, truth: Values, predictions: Values) -> float:
        """By scikit-learn."""
        return self.by_sklearn(truth, predictions)

    def qualities(self, truth: Values, predictions: Values) -> Floats:
        """1 where the class is right, else 0."""
        return np.asarray(truth == predictions, dtype=np.float64)

    def replicates(self, truth: Values, predictions: Values, draws: Floats) -> Floats:
        """From the counts of each class."""
        every = np.arange(max(self.classes, int(truth.max()) + 1, int(predictions.max()) + 1))
        true, predicted = ((of[:, None] == every).astype(np.float64) for of in (truth, predictions))
        return self.from_counts(draws @ (true * predicted), draws @ true, draws @ predicted)

    def standard_error(self, truth: Values, predictions: Values) -> float:
        """Exact for accuracy, else bootstrap."""
        if self.name == "accuracy":
            share = float(np.mean(truth == predictions))
            return float(np.sqrt(share * (1 - share) / len(truth)))
        return _bootstrap_error(self, truth, predictions)


@dataclass(frozen=True)
class Correlation:
    """Pearson's correlation of predicted and true values, or Spearman's, which is Pearson's of ranks."""

    name: str
    of_ranks: bool
    bounds: tuple[float, float] = (-1.0, 1.0)

    def score(self, truth: Values, predictions: Values) -> float:
        """By SciPy; 0 where either side is constant."""
        from scipy import stats

        if _is_constant(truth) or _is_constant(predictions):
            return 0.0
        by = stats.spearmanr if self.of_ranks else stats.pearsonr
        return float(by(truth, predictions).statistic)

    def qualities(self, truth: Values, predictions: Values) -> Floats:
        """Minus the squared error."""
        return -np.square(truth.astype(np.float64) - predictions)

    def replicates(self, truth: Values, predictions: Values, draws: Floats) -> Floats:
        """By weighted moments; ranks are those within each resample."""
        x, y = truth.astype(np.float64), predictions.astype(np.float64)
        if self.of_ranks:
            return _weighted_pearson(_weighted_ranks(x, draws), _weighted_ranks(y, draws), draws)
        return _weighted_pearson(x[None], y[None], draws)

    def standard_error(self, truth: Values, predictions: Values) -> float:
        """By bootstrap."""
        return _bootstrap_error(self, truth, predictions)


@dataclass(frozen=True)
class TokenMean:
    """A mean over tokens of many examples, which have different numbers of them.

    `truth` counts the tokens of each example, `predictions` sums over them what is averaged.
    """

    name: str
    sign: float = 1.0
    """-1 where smaller is better."""
    bounds: tuple[float, float] = (0.0, 1.0)

    def score(self, truth: Values, predictions: Values) -> float:
        """Sum over tokens by number of tokens."""
        return self.sign * float(predictions.sum(dtype=np.float64) / truth.sum())

    def qualities(self, truth: Values, predictions: Values) -> Floats:
        """The mean within each example."""
        return self.sign * predictions.astype(np.float64) / truth

    def replicates(self, truth: Values, predictions: Values, draws: Floats) -> Floats:
        """Both sums, resampled."""
        return np.asarray(
            self.sign * (draws @ predictions.astype(np.float64)) / (draws @ truth.astype(np.float64))
        )

    def standard_error(self, truth: Values, predictions: Values) -> float:
        """Of a ratio of sums, linearised (Cochran, Sampling Techniques, 1977, section 2.11)."""
        residuals = predictions.astype(np.float64) - abs(self.score(truth, predictions)) * truth
        return float(np.sqrt(np.sum(residuals**2) * len(truth) / max(1, len(truth) - 1)) / truth.sum())


def bootstrap_draws(examples: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each example is drawn in each resample, (resamples, examples); always the same for a seed."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(examples, np.full(examples, 1 / examples), size=resamples).astype(np.float64)


def metric(name: str, classes: int = 0, positive: int | None = None) -> Metric:
    """The metric called `name`.

    f1 needs to know how many classes the task has: it is that of the class `positive` (of two classes the second
    unless said otherwise), or with more than two the mean over all, in which one that does not occur counts 0.
    Raises ValueError for f1 of fewer than two classes.
    """
    return _f1_of(classes, positive) if name == "f1" else METRICS[name]


def _f1_of(classes: int, positive: int | None) -> Metric:
    if classes < 2:
        raise ValueError(f"f1 of {classes} classes; it needs to know how many the task has, at least two")
    of = 1 if classes == 2 and positive is None else positive
    return ClassMetric("f1", partial(_sk_f1, classes, of), partial(_f1, of), classes=classes)


def _bootstrap_error(judge: Metric, truth: Values, predictions: Values) -> float:
    return float(np.std(judge.replicates(truth, predictions, bootstrap_draws(len(truth))), ddof=1))


def _sk_accuracy(labels: Values, predictions: Values) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def _sk_f1(classes: int, positive: int | None, labels: Values, predictions: Values) -> float:
    from sklearn.metrics import f1_score

    chosen = range(classes) if positive is None else [positive]
    return float(f1_score(labels, predictions, labels=list(chosen), average="macro", zero_division=0))


def _sk_matthews(labels: Values, predictions: Values) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def _accuracy(right: Floats, true: Floats, predicted: Floats) -> Floats:
    return np.asarray(right.sum(axis=1) / true.sum(axis=1))


def _f1(positive: int | None, right: Floats, true: Floats, predicted: Floats) -> Floats:
    scores = 2 * right / np.maximum(true + predicted, 1)
    return np.asarray(scores.mean(axis=1) if positive is None else scores[:, positive])


def _matthews(right: Floats, true: Floats, predicted: Floats) -> Floats:
    """The multi-class correlation R_K (Gorodkin, 2004)."""
    total = true.sum(axis=1)
    covariance = right.sum(axis=1) * total - (true * predicted).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    return np.asarray(np.where(spread > 0, covariance / np.sqrt(np.maximum(spread, 1e-12)), 0.0))


def _is_constant(values: Values) -> bool:
    return bool((values == values[0]).all())


def _weighted_pearson(x: Floats, y: Floats, draws: Floats) -> Floats:
    """x, y: (resamples or 1, examples); draws: (resamples, examples) -> (resamples,); 0 where one is constant."""
    total = draws.sum(axis=1, keepdims=True)
    x = x - (draws * x).sum(axis=1, keepdims=True) / total
    y = y - (draws * y).sum(axis=1, keepdims=True) / total
    of_x, of_y, of_both = ((draws * product).sum(axis=1) for product in (x * x, y * y, x * y))
    spread = of_x * of_y
    return np.asarray(np.where(spread > 1e-24, of_both / np.sqrt(np.maximum(spread, 1e-24)), 0.0))


def _weighted_ranks(values: Floats, draws: Floats) -> Floats:
    """Ranks of the examples within each resample, ties at their mean: (resamples, examples)."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) > 0])
    drawn = np.add.reduceat(draws[:, order], starts, axis=1)  # (resamples, different values)
    middle = np.cumsum(drawn, axis=1) - drawn / 2
    ranks = np.empty_like(draws)
    ranks[:, order] = np.repeat(middle, np.diff(np.r_[starts, len(values)]), axis=1)
    return ranks


METRICS: dict[str, Metric] = {
    found.name: found
    for found in (
        ClassMetric("accuracy", _sk_accuracy, _accuracy),
        ClassMetric("matthews", _sk_matthews, _matthews, bounds=(-1.0, 1.0)),
        Correlation("pearson", of_ranks=False),
        Correlation("spearman", of_ranks=True),
        TokenMean("loss", sign=-1.0, bounds=(-math.inf, 0.0)),
        TokenMean("token-accuracy"),
        TokenMean("exact-match"),
    )
}
"""Those that need to know nothing of the task."""
