"""How much a search may spend, and when that is spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from optuna.trial import FrozenTrial

from msplora_search.results.records import TrialRecord
from msplora_search.search.model.forecast import Forecaster
from msplora_search.search.store.attributes import PROGRESS, is_interrupted
from msplora_search.search.store.history import Standing
from msplora_search.settings.models import SearchSettings
from msplora_search.settings.values import seconds_of
from msplora_search.text import several


@dataclass(frozen=True)
class Budget:
    """The budgets of a study; the first that is spent ends it."""

    search: SearchSettings
    forecaster: Forecaster

    @property
    def others(self) -> str:
        """The budgets beside `trials`, for people: `within 30min, until converged`."""
        search = self.search
        told = []
        if search.time is not None:
            told.append(f"within {search.time}")
        if search.steps is not None:
            told.append(f"within {search.steps:,} training steps")
        if search.until is not None:
            told.append(f"until {search.until}")
        return ", ".join(told)

    def spent(self, standing: Standing) -> str | None:
        """Which budget of time or steps is spent, for people: nothing is begun any more. None: there is more."""
        search = self.search
        if search.steps is not None and (steps := steps_spent(standing.records)) >= search.steps:
            return f"{steps:,} training steps are spent"
        if search.time is not None and seconds_at_work(standing.every, datetime.now()) >= seconds_of(search.time):
            return f"{search.time} of training are spent"
        return None

    def enough(self, standing: Standing) -> str | None:
        """Why no further configuration is proposed, for people; None: one is."""
        search = self.search
        if search.trials is not None and standing.trained >= search.trials:
            return f"{several(search.trials, 'proposal')} trained"
        if search.until is None or standing.trained < self.forecaster.initial:
            return None
        prospect = self.forecaster.prospect(standing.records)
        if prospect is None or not prospect.is_worth_little:
            return None
        return f"the front has converged after {several(standing.trained, 'proposal')}"


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
