"""Optuna storage <-> trial records. The only place that knows the names of the attributes."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from typing import Any

import optuna
import psutil
from optuna.trial import TrialState

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import Evaluation, State, TrialRecord

INTERRUPTED = "interrupted"
"""State attribute of a trial whose process died; it was started anew."""


def plan_attributes(record: TrialRecord) -> dict[str, Any]:
    """What is known of a trial before it trains."""
    return {
        "baseline": record.baseline,
        "pyramid": None if record.pyramid is None else record.pyramid.to_json(),
        "learning_rate": record.learning_rate,
        "adapter_params": record.adapter_params,
        "trainable_params": record.trainable_params,
        "planned_steps": record.planned_steps,
        "worker": this_worker(),
    }


def progress_attributes(record: TrialRecord) -> dict[str, Any]:
    """What is known at a rung."""
    return {
        "curve": [evaluation.to_json() for evaluation in record.curve],
        "steps": record.steps,
        "seconds": record.seconds,
    }


def result_attributes(record: TrialRecord) -> dict[str, Any]:
    """What is known at the end; `state` comes last, so that a record with it is whole."""
    return {**progress_attributes(record), "reason": record.reason, "state": record.state.value}


def record_of(trial: optuna.trial.FrozenTrial) -> TrialRecord | None:
    """The record of a trial that was at least planned; None for one that waits or was interrupted."""
    attributes = trial.user_attrs
    if "adapter_params" not in attributes or is_interrupted(trial) or trial.state == TrialState.WAITING:
        return None
    pyramid = attributes["pyramid"]
    return TrialRecord(
        number=trial.number,
        state=State(attributes.get("state", State.RUNNING)),
        baseline=attributes["baseline"],
        pyramid=None if pyramid is None else Pyramid.from_json(pyramid),
        learning_rate=attributes["learning_rate"],
        adapter_params=attributes["adapter_params"],
        trainable_params=attributes["trainable_params"],
        curve=tuple(Evaluation.from_json(e) for e in attributes.get("curve", [])),
        steps=attributes.get("steps", 0),
        planned_steps=attributes["planned_steps"],
        seconds=attributes.get("seconds", 0.0),
        reason=attributes.get("reason", ""),
    )


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

    def proposals(self) -> int:
        """How many proposals of the sampler were made, are being trained, or wait for a new start."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(not t.user_attrs.get("baseline") and not is_interrupted(t) for t in trials)

    def waiting(self) -> bool:
        """Whether a trial is enqueued."""
        return bool(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def is_interrupted(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the trial ended without a result because its process did."""
    return trial.state == TrialState.FAIL and trial.user_attrs.get("state", INTERRUPTED) == INTERRUPTED


def this_worker() -> dict[str, Any]:
    """Identity of this process: a later process can tell whether it still lives."""
    return {"host": platform.node(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_orphan(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a running trial's process is gone. One on another host is taken to live."""
    worker = trial.user_attrs.get("worker")
    if worker is None:
        return True  # died between asking and planning
    if worker["host"] != platform.node():
        return False
    try:
        return bool(psutil.Process(worker["pid"]).create_time() != worker["started"])
    except psutil.NoSuchProcess:
        return True


def with_result(record: TrialRecord, state: State, reason: str = "") -> TrialRecord:
    """`record` as it ended."""
    return replace(record, state=state, reason=reason)
