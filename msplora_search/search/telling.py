"""What Optuna is told of a trial: two values, and a constraint that says whether they are a full measurement."""

from __future__ import annotations

import math

import optuna

from msplora_search.results.records import State, TrialRecord

PRUNED = "pruned"
"""Name of the constraint: above 0, infeasible, where the values stand for no full measurement."""


class TrialFailedError(Exception):
    """Told to Optuna as a failed trial; the reason is in the record."""

    def __init__(self, record: TrialRecord) -> None:
        super().__init__(record.reason)
        self.record = record


def tell_values(trial: optuna.trial.BaseTrial, record: TrialRecord, chance: float) -> tuple[float, float]:
    """The values of a finished record; sets the constraint of its trial.

    A pruned trial gives its partial value and a refused one the metric of chance, both marked
    infeasible: so every sampler learns from them, and none repeats them as TrialPruned would make some. A
    duplicate gives what it repeats. Raises TrialFailedError for a trial without a result.
    """
    if record.state == State.FAILED or (record.state == State.DUPLICATE and not record.curve):
        raise TrialFailedError(record)
    refused = record.state == State.REFUSED
    partial = record.state == State.PRUNED or (record.curve and record.final.rung < 1.0)
    trial.set_constraint(PRUNED, 1.0 if refused or partial else -1.0)  # one for both: each takes a transaction
    return (record.final.metric if record.curve else chance), _size(record)


def infeasible_values(record: TrialRecord, chance: float) -> tuple[float, float]:
    """What stands for a configuration that cannot be trained."""
    return chance, _size(record)


def duplicate_reason(earlier: TrialRecord) -> str:
    """Why a trial is a duplicate."""
    return f"trial {earlier.number}, {earlier.state}"


def cannot_be_trained(record: TrialRecord) -> bool:
    """Whether a trial failed, or repeats one that did."""
    repeats_failure = record.state == State.DUPLICATE and record.reason.endswith(f", {State.FAILED}")
    return record.state == State.FAILED or repeats_failure


def _size(record: TrialRecord) -> float:
    """The second value."""
    return math.log10(max(1, record.cost))
