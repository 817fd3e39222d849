from __future__ import annotations

import errno
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError, WorkerStoppedError
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import Evaluation, Failure, State
from msplora_search.scale.search import run_with_workers
from msplora_search.search.events import (
    Event,
    Listener,
    Notice,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
    WorkerLost,
    light,
)
from msplora_search.search.part import take_part
from msplora_search.search.results import load_results
from msplora_search.search.store.identity import Crew
from msplora_search.settings import StudySettings
from tests import example
from tests.small import study_fields


def test_two_workers_share_one_search_and_train_nothing_twice(tmp_path: Path) -> None:
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"trials": 9}))
    events: list[Event] = []
    output = run_with_workers(settings, tmp_path / "out", None, 2, events.append)
    results = load_results(output)
    trained = [r.configuration for r in results.records if r.state in (State.COMPLETE, State.PRUNED)]
    assert len(trained) == len(set(trained)) == 11
    assert Counter(r.baseline for r in results.records if r.counts) == {"paper": 1, "lora-1": 1, None: 9}
    assert not any(r.state in (State.RUNNING, State.FAILED) for r in results.records)
    assert isinstance(events[0], SearchStarted)
    assert sum(isinstance(event, SearchStarted) for event in events) == 1
    assert [e.reason for e in events if isinstance(e, SearchEnded)] == ["9 proposals trained"]
    trials = optuna.load_study(study_name="small", storage=f"sqlite:///{output / 'study.db'}").trials
    assert len({trial.user_attrs["plan"]["worker"]["pid"] for trial in trials} | {os.getpid()}) == 3


def test_a_killed_worker_costs_its_trial_once_and_nothing_else(tmp_path: Path) -> None:
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"sampler": "random"}))
    output, killed = tmp_path / "out", list[int]()
    lost: list[WorkerLost] = []

    def kill_once(event: Event) -> None:
        if isinstance(event, WorkerLost):
            lost.append(event)
        if isinstance(event, TrialMeasured) and not killed:
            study = optuna.load_study(study_name="small", storage=f"sqlite:///{output / 'study.db'}")
            running = next(t for t in study.trials if t.number == event.record.number)
            killed.append(running.number)
            os.kill(running.user_attrs["plan"]["worker"]["pid"], signal.SIGKILL)

    run_with_workers(settings, output, None, 2, kill_once)
    assert [event.what.split(" ", 2)[2] for event in lost] == ["ended by signal 9"]
    results = load_results(output)
    trained = [r.configuration for r in results.records if r.state in (State.COMPLETE, State.PRUNED)]
    assert len(trained) == len(set(trained))
    assert Counter(r.baseline for r in results.records if r.counts) == {"paper": 1, "lora-1": 1, None: 4}
    assert not any(r.state in (State.RUNNING, State.FAILED) for r in results.records)


def test_what_workers_send_is_short_however_many_trials_there_are() -> None:
    records = tuple(replace(record, number=i) for i in range(200) for record in example.records())
    big = SearchStarted(example_space(), None, 3, 24, 0, 100, records, ())
    sent = pickle.dumps(light(big))
    assert len(pickle.dumps(big)) > 5 * len(sent)
    assert len(sent) < 1_500 * len(records)
    shown = pickle.loads(sent)
    measured, told = (
        [(r.number, r.final.metric, r.final.metric_se, r.final.step) for r in some if r.curve]
        for some in (records, shown.records)
    )
    assert told == measured
    for kind in (TrialStarted, TrialMeasured, TrialEnded):
        assert len(pickle.dumps(light(kind(records[0])))) < 3_000
    assert light(SearchEnded("done")) == SearchEnded("done")


def test_workers_send_nothing_of_single_examples(tmp_path: Path) -> None:
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"trials": 1, "baselines": []}))
    events: list[Event] = []
    run_with_workers(settings, tmp_path / "out", None, 2, events.append)
    (ended,) = [event.record for event in events if isinstance(event, TrialEnded)]
    assert [len(e.predictions) + len(e.influence) for e in ended.curve] == [0, 0]
    assert ended.final.metric == load_results(tmp_path / "out").records[0].final.metric


def example_space() -> SearchSpace:
    return StudySettings.model_validate(
        {"name": "x", "model": "y", "task": {"kind": "text-classification", "dataset": "z"}}
    ).space.for_depth(6, 1e-3)


def test_what_workers_cannot_use_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wrong = StudySettings.model_validate(study_fields(tmp_path, space={"targets": [["q_proj"]]}))
    with pytest.raises(InputError, match="'q_proj' matches no linear module"):
        run_with_workers(wrong, tmp_path / "out", None, 2, lambda _: None)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="--workers 0: must be at least 1"):
        run_with_workers(wrong, tmp_path / "out", None, 0, lambda _: None)


def take_part_of_which_one_fails(
    settings: StudySettings, output: Path, storage: str | None, crew: Crew, worker: int, listen: Listener
) -> None:
    """Whatever worker 1 trains fails in its process; the other begins when it has stopped."""
    stopped = output.parent / "stopped"
    if worker == 1:
        Workbench.measure = broken  # type: ignore[method-assign, assignment]
    while worker == 0 and not stopped.exists():
        time.sleep(0.1)
    try:
        take_part(settings, output, storage, crew, worker, listen)
    finally:
        stopped.touch()


def take_part_of_which_all_fail(
    settings: StudySettings, output: Path, storage: str | None, crew: Crew, worker: int, listen: Listener
) -> None:
    Workbench.measure = broken  # type: ignore[method-assign, assignment]
    take_part(settings, output, storage, crew, worker, listen)


def broken(*_: Any) -> Iterator[Evaluation]:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stops(events: list[Event]) -> list[str]:
    """Which workers said so."""
    return [event.what.split(":")[0] for event in events if isinstance(event, Notice)]


def test_a_worker_whose_trials_fail_stops_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msplora_search.scale.search.take_part", take_part_of_which_one_fails)
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"trials": 9, "sampler": "random"}))
    events: list[Event] = []
    results = load_results(run_with_workers(settings, tmp_path / "out", None, 2, events.append))
    assert stops(events) == ["worker 1 stops"]
    assert [r.failure for r in results.in_state(State.FAILED)] == [Failure.DISK] * 3
    assert len(results.in_state(State.COMPLETE)) + len(results.in_state(State.PRUNED)) == 8
    assert isinstance(events[-1], SearchEnded)
    assert sum(isinstance(event, SearchEnded) for event in events) == 1
    assert not any(isinstance(event, WorkerLost) for event in events)


def test_where_all_workers_stop_none_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msplora_search.scale.search.take_part", take_part_of_which_all_fail)
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"trials": 14, "sampler": "random"}))
    events: list[Event] = []
    with pytest.raises(WorkerStoppedError, match=r"failed one after the other, the last by OSError: .*No space"):
        run_with_workers(settings, tmp_path / "out", None, 2, events.append)
    assert sorted(stops(events)) == ["worker 0 stops", "worker 1 stops"]
    assert len(load_results(tmp_path / "out").in_state(State.FAILED)) == 6
