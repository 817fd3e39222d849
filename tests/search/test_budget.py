"""What a search has spent."""

from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from msplora_search.results.records import State
from msplora_search.search.budget import seconds_at_work
from msplora_search.search.store.attributes import PROGRESS

NOW = datetime(2026, 1, 1, 12)


def trial(start: float, end: float | None, interrupted: float | None = None) -> FrozenTrial:
    """From `start` to `end` seconds after noon, where it is told that it was interrupted after so many seconds."""
    state = TrialState.RUNNING if end is None else TrialState.COMPLETE if interrupted is None else TrialState.FAIL
    made = optuna.trial.create_trial(state=state, value=0.0 if state == TrialState.COMPLETE else None)
    made.datetime_start = NOW + timedelta(seconds=start)
    made.datetime_complete = None if end is None else NOW + timedelta(seconds=end)
    if interrupted is not None:
        made.user_attrs = {PROGRESS: {"state": State.RUNNING, "seconds": interrupted}}
    return made


@pytest.mark.parametrize(
    ("trials", "seconds"),
    [
        ([], 0),
        ([trial(0, 10), trial(10, 25)], 25),
        ([trial(0, 10), trial(5, 25)], 25),
        ([trial(0, 30), trial(5, 10)], 30),
        ([trial(0, 10), trial(100, 110)], 20),
        ([trial(0, 10), trial(80, None)], 30),
        ([trial(0, 90_000, interrupted=7)], 7),
        ([optuna.trial.create_trial(state=TrialState.WAITING)], 0),
    ],
    ids=["none", "one-by-one", "two-workers", "within", "two-calls", "running", "interrupted", "waiting"],
)
def test_time_at_work_is_that_in_which_anything_was_trained(trials: list[FrozenTrial], seconds: float) -> None:
    assert seconds_at_work(trials, NOW + timedelta(seconds=100)) == seconds
    assert seconds_at_work(reversed(trials), NOW + timedelta(seconds=100)) == seconds
