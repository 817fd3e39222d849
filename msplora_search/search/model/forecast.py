"""A study's outlook from its records, and what follows from it for the next decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from msplora_search.results.records import State, TrialRecord
from msplora_search.search.model.candidates import Candidates, Ground, Proposal
from msplora_search.search.model.choosing import INITIAL, best_choice, initial_choice, kernel_from
from msplora_search.search.model.ending import Endings
from msplora_search.search.model.measurements import Measurements, configuration_of
from msplora_search.search.model.outlook import Outlook
from msplora_search.search.model.surrogate import Scaler, Surrogate
from msplora_search.search.repeats import training_variance

FEWEST = 3
"""Measurements before the model is asked."""


@dataclass(frozen=True, eq=False)
class Forecaster:
    """What it says depends on the records and the seed alone; it keeps what takes long to compute."""

    ground: Ground
    candidates: Candidates
    floor: float
    """A metric that is to be had for nothing, such as that of always the most frequent class."""
    seed: int
    _kernels: dict[int, Surrogate] = field(default_factory=dict)

    @classmethod
    def of(cls, ground: Ground, floor: float, seed: int) -> Forecaster:
        """For a space."""
        return cls(ground, Candidates.of(ground, seed), floor, seed)

    def next_proposal(self, records: Sequence[TrialRecord]) -> Proposal:
        """What to train next, given all that was begun so far."""
        taken = {configuration_of(record) for record in records if record.pyramid is not None}
        measured = Measurements.of(records, training_variance(records, 1.0))
        proposed = sum(record.baseline is None and record.repeat_of is None for record in records)
        candidates = self.candidates
        if proposed < INITIAL or measured.complete < FEWEST:
            place = initial_choice(candidates, candidates.free(taken), taken, self.seed + len(records))
        else:
            near = [one.pyramid for one in measured.front()]
            candidates = candidates.beside(near, self.ground)
            outlook = self._outlook(records, measured)
            place = best_choice(outlook.gains(candidates), candidates.free(taken))
        return candidates.proposals[place]

    def chance_to_enter(self, record: TrialRecord, records: Sequence[TrialRecord]) -> float | None:
        """The probability that a trial, once trained to the end, would raise the envelope of all others.

        From its curve, what others did between its last rung and the end, and what the model expects of its
        configuration. None where too little was measured to say so.
        """
        others = [other for other in records if other.number != record.number]
        measured = Measurements.of(others, training_variance(others, 1.0))
        ending = Endings.of(others).expected(record)
        if ending is None or measured.complete < FEWEST:
            return None
        outlook = self._outlook(others, measured)
        mean, sd = outlook.expected(self.ground.features.of_all([configuration_of(record)]))
        metric, variance = _combined((float(mean[0]), float(sd[0]) ** 2), ending)
        height = float(outlook.envelope.at(np.array([float(record.adapter_params)]))[0])
        spread = math.sqrt(variance + float(measured.variances.mean()))
        return float(ndtr((metric - height) / spread))

    def _outlook(self, records: Sequence[TrialRecord], measured: Measurements) -> Outlook:
        pending = [configuration_of(r) for r in records if r.state == State.RUNNING and r.repeat_of is None]
        kernel = self._kernel(measured)
        return Outlook.of(measured, self.ground, self.candidates, self.floor, pending, kernel)

    def _kernel(self, measured: Measurements) -> Surrogate:
        count = kernel_from(len(measured.configurations))
        if count not in self._kernels:
            scaler = Scaler.of(self.candidates.features, self.ground.features.factors)
            known = scaler.scaled(self.ground.features.of_all(measured.configurations[:count]))
            self._kernels[count] = Surrogate.fitted(known, measured.metrics[:count], measured.variances[:count])
        return self._kernels[count]


def _combined(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Mean and variance by two independent sources, each a mean and a variance."""
    weight = other[1] / (one[1] + other[1])
    return weight * one[0] + (1 - weight) * other[0], one[1] * other[1] / (one[1] + other[1])
