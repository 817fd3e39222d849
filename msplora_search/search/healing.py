"""What becomes of trials that earlier processes left, and of those that failed."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from msplora_search.results.records import Failure, State, TrialRecord
from msplora_search.search.store.attributes import (
    CARRIED,
    IN_SPACE,
    PLAN,
    REPEAT,
    RESTART,
    THAWED,
    is_interrupted,
    is_without_result,
    record_of,
    started_again,
    worker_of,
)
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.stored import trials_of
from msplora_search.search.telling import TrialFailedError, tell_values

KEPT = (REPEAT, IN_SPACE, CARRIED, THAWED)
"""Attributes of a trial that one in its place has too."""
Key = tuple[str, float]
"""Name and learning rate of a baseline."""


def heal(study: optuna.Study, crew: Crew, chance: float) -> None:
    """Settle trials whose process is gone, then start anew what has no result and may get one.

    That are proposals that were interrupted, or failed for a reason that passes; with `crew.retry_failed`
    all that failed before this call; repeats that were interrupted or failed. Baselines are enqueued anew by
    who knows them: `baselines_to_start`.
    """
    for trial in trials_of(study):
        if trial.state == TrialState.RUNNING and is_orphan(trial, crew):
            _settle(study, trial, chance)
    trials = trials_of(study)
    again = started_again(trials)
    for trial in trials:
        if trial.number not in again and trial.user_attrs.get("baseline") is None and _is_lost(trial, crew):
            told = {name: told for name, told in trial.user_attrs.items() if name in KEPT}
            study.enqueue_trial(trial.params, user_attrs={**told, RESTART: trial.number})


def baselines_to_start(study: optuna.Study, crew: Crew, wanted: list[Key]) -> dict[Key, int | None]:
    """Those of `wanted` that have neither a result nor a process; with the trial that each is started anew for."""
    found: dict[Key, int | None] = dict.fromkeys(wanted)
    trials = trials_of(study)
    again = started_again(trials)
    for trial in trials:
        key = (trial.user_attrs.get("baseline"), trial.user_attrs.get("learning_rate"))
        if key not in found or trial.number in again:
            continue
        record = record_of(trial)
        failed = record is not None and is_without_result(record) and not _began_in(trial, crew)
        if failed or is_interrupted(trial):
            found[key] = trial.number
        elif record is not None or trial.state == TrialState.WAITING:
            del found[key]
    return found


def is_orphan(trial: FrozenTrial, crew: Crew) -> bool:
    """Whether a running trial will not be ended by who began it. Asked while nobody else begins one."""
    worker = worker_of(trial)
    return worker is None or crew.orphaned(worker)


def _settle(study: optuna.Study, trial: FrozenTrial, chance: float) -> None:
    """Tell the result that a process had stored before it died; without one the trial has failed."""
    record = record_of(trial)
    if record is None or record.state == State.RUNNING:
        study.tell(trial.number, state=TrialState.FAIL)
        return
    try:
        study.tell(trial.number, tell_values(optuna.Trial(study, trial._trial_id), record, chance))
    except TrialFailedError:
        study.tell(trial.number, state=TrialState.FAIL)


def _is_lost(trial: FrozenTrial, crew: Crew) -> bool:
    """Whether to train a proposal or repeat anew; one that died before it was planned is asked for anew."""
    if PLAN not in trial.user_attrs:
        return False
    if is_interrupted(trial):
        return True
    record = record_of(trial)
    return record is not None and _may_succeed(record, crew) and not _began_in(trial, crew)


def _may_succeed(record: TrialRecord, crew: Crew) -> bool:
    if record.state != State.FAILED:
        return False
    always = crew.retry_failed or record.repeat_of is not None
    return always or (record.failure or Failure.ERROR).passes


def _began_in(trial: FrozenTrial, crew: Crew) -> bool:
    """Whether this call had begun the trial: none is tried twice in one call."""
    worker = worker_of(trial)
    return worker is not None and worker.get("call") == crew.call
