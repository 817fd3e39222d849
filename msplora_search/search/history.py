"""Optuna storage <-> trial records. The only place that knows the names of the attributes."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from typing import Any

import optuna
import psutil
from optuna.trial import TrialState

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import Evaluation, State, TrialRecord

PLAN, PROGRESS = "plan", "progress"
"""User attributes of a trial."""


def store_plan(trial: optuna.Trial, record: TrialRecord) -> None:
    """Keep what is known of a trial before it trains. One attribute: each takes a transaction."""
    plan = {
        "baseline": record.baseline,
        "pyramid": None if record.pyramid is None else record.pyramid.to_json(),
        "learning_rate": record.learning_rate,
        "adapter_params": record.adapter_params,
        "trainable_params": record.trainable_params,
        "planned_steps": record.planned_steps,
        "worker": this_worker(),
    }
    trial.set_user_attr(PLAN, plan)


def store_progress(trial: optuna.Trial, record: TrialRecord) -> None:
    """Keep what was measured so far, and the state that the trial is in."""
    progress = {
        "curve": [evaluation.to_json() for evaluation in record.curve],
        "steps": record.steps,
        "seconds": record.seconds,
        "reason": record.reason,
        "state": record.state.value,
    }
    trial.set_user_attr(PROGRESS, progress)


def record_of(trial: optuna.trial.FrozenTrial) -> TrialRecord | None:
    """The record of a trial that was at least planned; None for one that waits or was interrupted."""
    plan = trial.user_attrs.get(PLAN)
    if plan is None or is_interrupted(trial) or trial.state == TrialState.WAITING:
        return None
    progress = trial.user_attrs.get(PROGRESS, {})
    return TrialRecord(
        number=trial.number,
        state=State(progress.get("state", State.RUNNING)),
        baseline=plan["baseline"],
        pyramid=None if plan["pyramid"] is None else Pyramid.from_json(plan["pyramid"]),
        learning_rate=plan["learning_rate"],
        adapter_params=plan["adapter_params"],
        trainable_params=plan["trainable_params"],
        curve=tuple(Evaluation.from_json(e) for e in progress.get("curve", [])),
        steps=progress.get("steps", 0),
        planned_steps=plan["planned_steps"],
        seconds=progress.get("seconds", 0.0),
        reason=progress.get("reason", ""),
    )


@dataclass(frozen=True)
class Asked:
    """Trials of a study so far, told or not."""

    trials: int
    proposals: int
    """Proposals of the sampler that were made, are being trained, or wait for a new start."""
    waiting: bool
    """Whether a trial is enqueued."""


class History:
    """The records of a study; those of finished trials are parsed once."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._finished: dict[int, TrialRecord] = {}

    def records(self) -> list[TrialRecord]:
        """All records by number."""
        found = []
        for trial in self._study.get_trials(deepcopy=False):
            record = self._finished.get(trial.number) or record_of(trial)
            if record is not None:
                found.append(record)
                if trial.state.is_finished():
                    self._finished[trial.number] = record
        return found

    def asked(self) -> Asked:
        """What the sampler was asked for so far."""
        trials = self._study.get_trials(deepcopy=False)
        return Asked(
            trials=len(trials),
            proposals=sum(not t.user_attrs.get("baseline") and not is_interrupted(t) for t in trials),
            waiting=any(t.state == TrialState.WAITING for t in trials),
        )


def is_interrupted(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the trial ended without a result because its process did; it was, or will be, started anew."""
    progress = trial.user_attrs.get(PROGRESS, {})
    return trial.state == TrialState.FAIL and progress.get("state", State.RUNNING) == State.RUNNING


def this_worker() -> dict[str, Any]:
    """Identity of this process: a later process can tell whether it still lives."""
    return {"host": platform.node(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_orphan(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a running trial's process is gone. One on another host is taken to live."""
    if PLAN not in trial.user_attrs:
        return True  # died between asking and planning
    worker = trial.user_attrs[PLAN]["worker"]
    if worker["host"] != platform.node():
        return False
    try:
        return bool(psutil.Process(worker["pid"]).create_time() != worker["started"])
    except psutil.NoSuchProcess:
        return True


def with_result(record: TrialRecord, state: State, reason: str = "") -> TrialRecord:
    """`record` as it ended."""
    return replace(record, state=state, reason=reason)
