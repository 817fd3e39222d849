from __future__ import annotations

import os
import pickle
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError
from msplora_search.results.records import State
from msplora_search.scale.search import run_with_workers
from msplora_search.search.events import (
    Event,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
    WorkerLost,
    light,
)
from msplora_search.search.results import load_results
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
