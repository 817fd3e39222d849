"""What is expected of configurations, given all that was measured: the one model that a search decides by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.features import Candidate
from msplora_search.search.model.gain import Envelope
from msplora_search.search.model.measurements import Measurements
from msplora_search.search.model.surrogate import Scaler, Surrogate

Floats = NDArray[np.float64]
BLOCK = 5_000
"""Configurations whose gain over every step of the envelope is computed at a time, for the sake of memory."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """The true metric of any configuration, as far as it is known, and the envelope that it could raise."""

    ground: Ground
    scaler: Scaler
    surrogate: Surrogate
    envelope: Envelope
    """Of what was trained to the end, or is being trained, by what is believed of it."""

    @classmethod
    def of(
        cls,
        measured: Measurements,
        ground: Ground,
        candidates: Candidates,
        floor: float,
        pending: Sequence[Candidate] = (),
        like: Surrogate | None = None,
    ) -> Outlook:
        """By two measurements at least.

        `candidates`: say how far features and costs range. `floor`: a metric that is to be had for nothing.
        `pending`: what is being trained; it counts as if it were measured at its expectation (Ginsbourger, Le
        Riche and Carraro, Kriging is well-suited to parallelize optimization, 2010). `like`: its kernel is taken.
        """
        scaler = Scaler.of(candidates.features, ground.features.factors)
        known = scaler.scaled(ground.features.of_all(measured.configurations))
        surrogate = Surrogate.fitted(known, measured.metrics, measured.variances, measured.luck, like)
        if pending:
            waiting = scaler.scaled(ground.features.of_all(pending))
            metrics = np.concatenate([measured.metrics, surrogate.predicted(waiting)[0]])
            variances = np.concatenate([measured.variances, np.full(len(pending), measured.variances.mean())])
            known = np.concatenate([known, waiting])
            surrogate = Surrogate.fitted(known, metrics, variances, measured.luck, surrogate)
        costs = np.array([float(one.cost) for one in (*measured.configurations, *pending)])
        over = ground.over(candidates)
        counts = np.arange(len(costs)) < measured.complete
        counts[len(measured.configurations) :] = True
        envelope = Envelope.of(surrogate.predicted(known)[0][counts], costs[counts], floor, over)
        return cls(ground, scaler, surrogate, envelope)

    def expected(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the true metric of configurations with these features; (n,) each."""
        return self.surrogate.predicted(self.scaler.scaled(features))

    def gains(self, candidates: Candidates) -> Floats:
        """By how much each is expected to raise the mean of the envelope over log cost, (n,)."""
        mean, sd = self.expected(candidates.features)
        blocks = (slice(start, start + BLOCK) for start in range(0, len(mean), BLOCK))
        each = [self.envelope.expected_gain(mean[of], sd[of], candidates.costs[of]) for of in blocks]
        return np.concatenate(each)
