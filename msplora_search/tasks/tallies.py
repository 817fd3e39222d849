"""Metrics of what is counted in each example: spans, tags, and labels of which an example may have several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.metrics import Floats, Metric, Values


@dataclass(frozen=True)
class SpanF1:
    """The f1 of all spans, as seqeval counts them: 0 where there is none, and none is called.

    `truth` counts the spans of each example, (examples,); `predictions` those that are right, and those that are
    called, (examples, 2).
    """

    name: str = "f1"
    bounds: tuple[float, float] = (0.0, 1.0)
    is_share: bool = False

    def score(self, truth: Values, predictions: Values) -> float:
        """Twice the right ones by all, called and true."""
        both, either = _spans(truth, predictions)
        return _ratio(both.sum(), either.sum())

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Of a ratio of sums, see `metrics.TokenMean`."""
        return _influence(*_spans(truth, predictions))


@dataclass(frozen=True)
class TagAccuracy:
    """The share of all words whose tag is right.

    `truth` counts the words of each example, and those of the most frequent tag, (examples, 2); `predictions` the
    words whose tag is right, (examples,).
    """

    name: str = "token-accuracy"
    bounds: tuple[float, float] = (0.0, 1.0)
    is_share: bool = True

    def score(self, truth: Values, predictions: Values) -> float:
        """Right words by words."""
        return _ratio(predictions.sum(dtype=np.float64), truth[:, 0].sum())

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Of a ratio of sums, see `metrics.TokenMean`."""
        return _influence(predictions.astype(np.float64), truth[:, 0].astype(np.float64))

    @staticmethod
    def majority(truth: Values) -> float:
        """The metric of always calling the most frequent tag."""
        return _ratio(truth[:, 1].sum(), truth[:, 0].sum())


@dataclass(frozen=True)
class LabelF1:
    """The f1 of labels of which an example may have any number.

    `truth` and `predictions` are 0 and 1, (examples, labels). Over all labels of all examples together (micro), or
    the mean over the labels, in which one that no example has, and that is never called, counts 0 (macro).
    """

    name: str
    is_mean: bool
    bounds: tuple[float, float] = (0.0, 1.0)
    is_share: bool = False

    def score(self, truth: Values, predictions: Values) -> float:
        """Twice those that are right by all, called and true."""
        both, either = self._counted(truth, predictions)
        return float(np.mean([_ratio(*pair) for pair in zip(both.sum(axis=0), either.sum(axis=0), strict=True)]))

    def influence(self, truth: Values, predictions: Values) -> Floats:
        """Of a ratio of sums, or of their mean, see `metrics.TokenMean`."""
        both, either = self._counted(truth, predictions)
        each = [_influence(both[:, label], either[:, label]) for label in range(both.shape[1])]
        return np.asarray(np.mean(each, axis=0))

    def _counted(self, truth: Values, predictions: Values) -> tuple[Floats, Floats]:
        """Twice what is right, and all that is called or true: (examples, labels), or (examples, 1) for micro."""
        both, either = (np.asarray(n, dtype=np.float64) for n in (2 * truth * predictions, truth + predictions))
        if self.is_mean:
            return both, either
        return both.sum(axis=1, keepdims=True), either.sum(axis=1, keepdims=True)


def tallied(task: TaskSettings) -> Metric | None:
    """The metric of a task that is one of these; None for any other."""
    match task.kind, task.metric:
        case "token-classification", "f1":
            return SpanF1()
        case "token-classification", _:
            return TagAccuracy()
        case "multi-label", name:
            return LabelF1(name, is_mean=name == "macro-f1")
    return None


def _spans(truth: Values, predictions: Values) -> tuple[Floats, Floats]:
    counts = predictions.astype(np.float64)
    return 2 * counts[:, 0], counts[:, 1] + truth.astype(np.float64)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0


def _influence(part: Floats, whole: Floats) -> Floats:
    """Of the sum of `part` by that of `whole`, each (examples,): all 0 where there is nothing to divide by."""
    if not whole.sum() > 0:
        return np.zeros(len(whole))
    return np.asarray((part - _ratio(part.sum(), whole.sum()) * whole) / whole.mean())
