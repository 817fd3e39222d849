"""Classification metrics: scikit-learn's for a value, and from confusion counts for many resamples at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
RESAMPLES = 1000


@dataclass(frozen=True)
class Metric:
    """A metric of predicted classes; larger is better."""

    name: str
    score: Callable[[Labels, Labels], float]
    """(labels, predictions) -> value, by scikit-learn."""
    from_confusion: Callable[[Floats], Floats]
    """Confusion counts (resamples, true class, predicted class) -> values (resamples,)."""

    def replicates(self, labels: Labels, predictions: Labels, draws: Floats) -> Floats:
        """The metric on every bootstrap resample; `draws` (resamples, examples) counts each example."""
        classes = int(max(labels.max(), predictions.max())) + 1
        cells = np.zeros((len(labels), classes * classes))
        cells[np.arange(len(labels)), labels * classes + predictions] = 1
        return self.from_confusion((draws @ cells).reshape(len(draws), classes, classes))

    def standard_error(self, labels: Labels, predictions: Labels) -> float:
        """Standard error over the choice of validation examples: exact for accuracy, else bootstrap."""
        if self.name == "accuracy":
            share = float(np.mean(labels == predictions))
            return float(np.sqrt(share * (1 - share) / len(labels)))
        return float(np.std(self.replicates(labels, predictions, bootstrap_draws(len(labels))), ddof=1))


def bootstrap_draws(examples: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each example is drawn in each resample, (resamples, examples); always the same for a seed."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(examples, np.full(examples, 1 / examples), size=resamples).astype(np.float64)


def metric(name: str) -> Metric:
    """The metric called `name`: accuracy, f1 (of class 1, or macro over more than two), matthews."""
    return METRICS[name]


def _sk_accuracy(labels: Labels, predictions: Labels) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def _sk_f1(labels: Labels, predictions: Labels) -> float:
    from sklearn.metrics import f1_score

    two = max(labels.max(), predictions.max()) <= 1
    return float(f1_score(labels, predictions, average="binary" if two else "macro", zero_division=0))


def _sk_matthews(labels: Labels, predictions: Labels) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def _accuracy(counts: Floats) -> Floats:
    right: Floats = np.trace(counts, axis1=1, axis2=2)
    return np.asarray(right / counts.sum(axis=(1, 2)))


def _f1(counts: Floats) -> Floats:
    right = np.diagonal(counts, axis1=1, axis2=2)
    seen = counts.sum(axis=1) + counts.sum(axis=2)
    scores = 2 * right / np.maximum(seen, 1)
    if counts.shape[1] == 2:
        binary: Floats = scores[:, 1]
        return binary
    present = np.maximum((seen > 0).sum(axis=1), 1)
    return np.asarray(scores.sum(axis=1) / present)


def _matthews(counts: Floats) -> Floats:
    """The multi-class correlation R_K (Gorodkin, 2004)."""
    total = counts.sum(axis=(1, 2))
    right = np.trace(counts, axis1=1, axis2=2)
    true, predicted = counts.sum(axis=2), counts.sum(axis=1)
    covariance = right * total - (true * predicted).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    return np.asarray(np.where(spread > 0, covariance / np.sqrt(np.maximum(spread, 1e-12)), 0.0))


METRICS = {
    "accuracy": Metric("accuracy", _sk_accuracy, _accuracy),
    "f1": Metric("f1", _sk_f1, _f1),
    "matthews": Metric("matthews", _sk_matthews, _matthews),
}
