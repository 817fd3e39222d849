"""Optuna storage <-> trial records. The only place that knows the names of the attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from msplora_search.design.costs import Cost, Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import Evaluation, Failure, InfluenceOf, State, TrialRecord
from msplora_search.search.repeats import Repeat
from msplora_search.search.store.failure import failure_told
from msplora_search.search.store.stored import reading, trials_of
from msplora_search.tasks.judge import Judge

PLAN, PROGRESS, RESTART, REPEAT = "plan", "progress", "restart_of", "repeat"
"""User attributes of a trial."""
IN_SPACE = "in_space"
"""The same, of what is enqueued: whether its parameters are those of the space."""
CARRIED = "carried_from"
"""The same, of a point of an earlier study's front: that study, and its trial."""
THAWED = "thawed"
"""The same, of a trial that goes on where another was stopped: that one's last rung, and its seconds."""


@dataclass(frozen=True)
class Influences:
    """How far each example moves the metric of some predictions: what is not stored, because it follows."""

    validation: InfluenceOf | None = None
    judging: InfluenceOf | None = None
    """None where there is no such part."""
    examples: int = 0
    """Of the validation part, which the end of a trial is measured on whole."""

    @classmethod
    def by(cls, validation: Judge, judging: Judge | None) -> Influences:
        """As the judges of the two parts tell them."""
        of_judging = None if judging is None else judging.influence
        return cls(validation.influence, of_judging, len(validation.truth))

    def evaluation(self, stored: dict[str, Any]) -> Evaluation:
        """A measurement as it was stored, with the influences that follow from it.

        Raises ValueError where it is of other examples.
        """
        found = Evaluation.from_json(stored, self.validation, self.judging)
        if found.rung >= 1.0 and self.examples and len(found.predictions) != self.examples:
            raise ValueError(f"has {len(found.predictions)} predictions for {self.examples} examples")
        return found


NONE = Influences()


def store_plan(trial: optuna.trial.BaseTrial, record: TrialRecord, worker: Mapping[str, Any]) -> None:
    """Keep what is known of a trial before it trains. One attribute: each takes a transaction."""
    plan = {
        "baseline": record.baseline,
        "pyramid": None if record.pyramid is None else record.pyramid.to_json(),
        "learning_rate": record.learning_rate,
        "adapter_params": record.adapter_params,
        "costs": record.costs and record.costs.to_json(),
        "cost_is": record.cost_is.value,
        "trainable_params": record.trainable_params,
        "planned_steps": record.planned_steps,
        "seed": record.seed,
        "repeat_of": record.repeat_of,
        "worker": dict(worker),
    }
    trial.set_user_attr(PLAN, plan)


def store_progress(trial: optuna.trial.BaseTrial, record: TrialRecord) -> None:
    """Keep what was measured so far, and the state that the trial is in."""
    progress = {
        "curve": [evaluation.to_json() for evaluation in record.curve],
        "steps": record.steps,
        "seconds": record.seconds,
        "reason": record.reason,
        "state": record.state.value,
        "failure": record.failure,
    }
    trial.set_user_attr(PROGRESS, progress)


def record_of(trial: FrozenTrial, influences: Influences = NONE, seed: int = 0) -> TrialRecord | None:
    """The record of a trial that was at least planned; None for one that waits or was interrupted.

    `seed`: of the search, which a version without repeats did not store. Raises StoredError.
    """
    with reading(f"trial {trial.number}"):
        plan = trial.user_attrs.get(PLAN)
        if plan is None or is_interrupted(trial) or trial.state == TrialState.WAITING:
            return None
        return _record(trial, {"seed": seed, **plan}, trial.user_attrs.get(PROGRESS, {}), influences)


def _record(
    trial: FrozenTrial, plan: Mapping[str, Any], progress: Mapping[str, Any], influences: Influences
) -> TrialRecord:
    state, reason = State(progress.get("state", State.RUNNING)), progress.get("reason", "")
    failure = progress.get("failure") or (failure_told(reason) if state == State.FAILED else None)
    return TrialRecord(
        number=trial.number,
        state=state,
        baseline=plan["baseline"],
        pyramid=None if plan["pyramid"] is None else Pyramid.from_json(plan["pyramid"]),
        learning_rate=plan["learning_rate"],
        adapter_params=plan["adapter_params"],
        trainable_params=plan["trainable_params"],
        curve=tuple(influences.evaluation(stored) for stored in progress.get("curve", [])),
        steps=progress.get("steps", 0),
        planned_steps=plan["planned_steps"],
        seconds=progress.get("seconds", 0.0),
        reason=reason,
        failure=None if failure is None else Failure(failure),
        seed=int(plan["seed"]),
        repeat_of=plan.get("repeat_of"),
        costs=None if plan.get("costs") is None else Costs.from_json(plan["costs"]),
        cost_is=Cost(plan.get("cost_is", Cost.PARAMS)),
    )


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether the trial ended without a result because its process did; it was, or will be, started anew."""
    progress = trial.user_attrs.get(PROGRESS, {})
    return trial.state == TrialState.FAIL and progress.get("state", State.RUNNING) == State.RUNNING


def started_again(trials: Iterable[FrozenTrial]) -> set[int]:
    """Numbers of the trials in whose place another was started.

    One that died before it was planned stands for nothing.
    """
    starts = ((t, number) for t in trials if (number := t.user_attrs.get(RESTART)) is not None)
    return {number for t, number in starts if PLAN in t.user_attrs or t.state != TrialState.FAIL}


def is_without_result(record: TrialRecord) -> bool:
    """Whether a record tells nothing of its configuration: it failed, or repeats one that did."""
    return record.state == State.FAILED or (record.state == State.DUPLICATE and not record.curve)


def enqueue_repeat(study: optuna.Study, repeat: Repeat) -> None:
    """Let the next trial be this one, with the parameters of what it repeats where those are in the space."""
    told = trials_of(study)[repeat.of]
    inside = told.user_attrs.get(IN_SPACE, bool(told.params))
    study.enqueue_trial(told.params if inside else {}, user_attrs={REPEAT: repeat.to_json(), IN_SPACE: inside})


def repeat_of(number: int, attributes: Mapping[str, Any]) -> Repeat | None:
    """What the trial with these attributes trains again; None for a baseline or a proposal. Raises StoredError."""
    if REPEAT not in attributes:
        return None
    with reading(f"trial {number}"):
        return Repeat.from_json(attributes[REPEAT])


def worker_of(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """Who trains, or trained, a trial; None for one that died between asking and planning. Raises StoredError."""
    if PLAN not in trial.user_attrs:
        return None
    with reading(f"trial {trial.number}"):
        worker = trial.user_attrs[PLAN]["worker"]
        return {
            **worker,
            "host": str(worker["host"]),
            "pid": int(worker["pid"]),
            "started": float(worker["started"]),
        }


def with_result(
    record: TrialRecord, state: State, reason: str = "", failure: Failure | None = None
) -> TrialRecord:
    """`record` as it ended."""
    return replace(record, state=state, reason=reason, failure=failure)


def enqueue_thaw(study: optuna.Study, stopped: TrialRecord) -> None:
    """Let the next trial go on where a proposal was stopped, in its place."""
    told = trials_of(study)[stopped.number]
    kept = {name: value for name, value in told.user_attrs.items() if name in (IN_SPACE, CARRIED)}
    thawed = {"rung": stopped.final.rung, "seconds": stopped.seconds}
    study.enqueue_trial(told.params, user_attrs={**kept, RESTART: stopped.number, THAWED: thawed})


def thawed_at(trial: optuna.Trial) -> tuple[float, float]:
    """Up to which rung a trial was judged before it began, and what that took; nothing of one that is new."""
    told = trial.user_attrs.get(THAWED)
    return (0.0, 0.0) if told is None else (float(told["rung"]), float(told["seconds"]))
