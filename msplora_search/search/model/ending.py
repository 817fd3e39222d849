"""What a trial will have at the end of its proxy, by its last rung and by what others did between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from msplora_search.results.records import State, TrialRecord

FEWEST = 4
"""Trials that were measured at a rung and at the end, before anything is said of others."""


@dataclass(frozen=True)
class Rise:
    """From a rung to the end, over the trials that reached both."""

    mean: float
    variance: float
    """Of one more trial about the mean, the uncertainty of the mean included."""


@dataclass(frozen=True)
class Endings:
    """The rise from each rung, by its fraction of the proxy."""

    rises: Mapping[float, Rise]

    @classmethod
    def of(cls, records: Sequence[TrialRecord]) -> Endings:
        """By the trials of the search's own seed that were trained to the end."""
        whole = [record for record in records if record.state == State.COMPLETE and record.repeat_of is None]
        found: dict[float, list[float]] = {}
        for record in whole:
            for evaluation in record.curve[:-1]:
                found.setdefault(evaluation.rung, []).append(record.final.metric - evaluation.metric)
        return cls({rung: _rise(rises) for rung, rises in found.items() if len(rises) >= FEWEST})

    def expected(self, record: TrialRecord) -> tuple[float, float] | None:
        """Metric at the end and its variance, of a trial that was stopped or is being trained.

        None where it was not measured, or too few others were at its last rung and at the end.
        """
        if not record.curve:
            return None
        rise = self.rises.get(record.final.rung)
        return None if rise is None else (record.final.metric + rise.mean, rise.variance)


def _rise(rises: Sequence[float]) -> Rise:
    count = len(rises)
    return Rise(float(np.mean(rises)), float(np.var(rises, ddof=1)) * (1 + 1 / count) * (count - 1) / (count - 3))


def combined(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Mean and variance by two independent sources, each a mean and a variance."""
    weight = other[1] / (one[1] + other[1])
    return weight * one[0] + (1 - weight) * other[0], one[1] * other[1] / (one[1] + other[1])
