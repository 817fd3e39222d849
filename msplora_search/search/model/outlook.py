"""What is expected of every candidate, given all that was measured: the one model that a search decides by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.features import Configuration
from msplora_search.search.model.gain import Envelope
from msplora_search.search.model.measurements import Measurements
from msplora_search.search.model.surrogate import Scaler, Surrogate

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outlook:
    """The true metric of candidates, as far as it is known, and the envelope that they could raise."""

    ground: Ground
    candidates: Candidates
    scaler: Scaler
    surrogate: Surrogate
    envelope: Envelope
    mean: Floats
    """Of the true metric of each candidate, (n,)."""
    sd: Floats

    @classmethod
    def of(
        cls,
        measured: Measurements,
        candidates: Candidates,
        ground: Ground,
        floor: float,
        pending: Sequence[Configuration] = (),
        like: Surrogate | None = None,
    ) -> Outlook:
        """By two measurements at least.

        `floor`: a metric that is to be had for nothing. `pending`: what is being trained; it counts as if it were
        measured at its expectation (Ginsbourger, Le Riche and Carraro, Kriging is well-suited to parallelize
        optimization, 2010). `like`: whose kernel is taken.
        """
        scaler = Scaler.of(candidates.features, ground.features.factors)
        known = scaler.scaled(ground.features.of_all(measured.configurations))
        surrogate = Surrogate.fitted(known, measured.metrics, measured.variances, like)
        believed = surrogate.predicted(known)[0]
        costs = measured.costs
        if pending:
            waiting = scaler.scaled(ground.features.of_all(pending))
            expected = surrogate.predicted(waiting)[0]
            metrics = np.concatenate([measured.metrics, expected])
            variances = np.concatenate([measured.variances, np.full(len(pending), measured.variances.mean())])
            surrogate = Surrogate.fitted(np.concatenate([known, waiting]), metrics, variances, surrogate)
            believed = np.concatenate([believed, expected])
            costs = np.concatenate([costs, [float(one.params) for one in pending]])
        over = float(candidates.costs.min()), float(candidates.costs.max())
        envelope = Envelope.of(believed, costs, floor, over)
        mean, sd = surrogate.predicted(scaler.scaled(candidates.features))
        return cls(ground, candidates, scaler, surrogate, envelope, mean, sd)

    def gains(self) -> Floats:
        """By how much each candidate is expected to raise the mean of the envelope over log parameters, (n,)."""
        return self.envelope.expected_gain(self.mean, self.sd, self.candidates.costs)
