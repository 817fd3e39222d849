"""How much a search may spend, and when that is spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from optuna.trial import FrozenTrial

from msplora_search.results.records import TrialRecord
from msplora_search.search.store.attributes import PROGRESS, is_interrupted


def seconds_at_work(trials: Iterable[FrozenTrial], now: datetime) -> float:
    """How long at least one trial of a study was in training, whatever number of workers and calls that took."""
    spans = sorted(span for trial in trials if (span := _span(trial, now)) is not None)
    total, until = timedelta(0), datetime.min
    for start, end in spans:
        if end > until:
            total += end - max(start, until)
            until = end
    return total.total_seconds()


def steps_spent(records: Sequence[TrialRecord]) -> int:
    """Training steps of all trials: baselines, repeats, and what was stopped or failed."""
    return sum(record.steps for record in records)


def _span(trial: FrozenTrial, now: datetime) -> tuple[datetime, datetime] | None:
    start = trial.datetime_start
    if start is None:
        return None
    if is_interrupted(trial):  # it is told when that is noticed, which may be days later
        return start, start + timedelta(seconds=trial.user_attrs.get(PROGRESS, {}).get("seconds", 0.0))
    return start, trial.datetime_complete or max(now, start)
