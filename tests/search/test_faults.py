"""Trials that misbehave: what is told of them, what is tried again, and when a worker stops."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from msplora_search import run_study
from msplora_search.errors import WorkerStoppedError
from msplora_search.proxy.limit import OutOfTimeError
from msplora_search.proxy.training import DivergedError
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import Failure, State
from msplora_search.search.events import Event, Notice, SearchStarted
from msplora_search.search.faults import Faults
from msplora_search.search.part import UNFINISHED, work_off
from msplora_search.search.results import load_results
from msplora_search.search.store.folder import only_run
from msplora_search.search.store.identity import Crew
from msplora_search.settings import StudySettings
from msplora_search.tasks.task import Task
from tests import example
from tests.proxy.test_room import narrow
from tests.search.test_resume import fail, require_whole, trained
from tests.search.test_study import search
from tests.small import study_fields

RANDOM: dict[str, Any] = {"search": {"sampler": "random"}}
MEMORY, DISK, FAULT = MemoryError("no room"), OSError(28, "No space left on device"), ValueError("a fault")
NAN, LATE = DivergedError("the training loss is nan"), OutOfTimeError("over scale.trial_time")


@pytest.mark.parametrize(
    ("errors", "numbers"),
    [
        ({0: MEMORY, 1: DISK, 2: FAULT}, "0, 1, 2"),
        ({1: LATE, 2: LATE, 3: LATE}, "1, 2, 3"),
        ({1: FAULT, 2: NAN, 3: FAULT, 4: FAULT}, "1, 3, 4"),
    ],
)
def test_after_three_failures_in_a_row_a_worker_takes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: dict[int, Exception], numbers: str
) -> None:
    with monkeypatch.context() as patch:
        calls = fail(patch, errors)
        with pytest.raises(WorkerStoppedError) as caught:
            search(tmp_path, **RANDOM)
    assert len(calls) == max(errors) + 1
    assert str(caught.value).startswith(f"trials {numbers} failed one after the other, the last by ")
    left = load_results(tmp_path / "out")
    assert len(left.in_state(State.FAILED)) == len(errors)
    assert not left.in_state(State.RUNNING)
    settings = StudySettings.model_validate(study_fields(tmp_path, **RANDOM))
    run_study(settings, tmp_path / "out", retry_failed=True)
    require_whole(load_results(tmp_path / "out"), 2, 4)


@pytest.mark.parametrize(
    "errors",
    [
        dict.fromkeys(range(6), NAN),
        {0: MEMORY, 1: MEMORY, 3: MEMORY, 4: MEMORY},
        {0: MEMORY, 1: NAN, 2: MEMORY},
    ],
    ids=["divergence", "no three in a row", "divergence between"],
)
def test_fewer_do_not_stop_it_nor_does_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: dict[int, Exception]
) -> None:
    calls = fail(monkeypatch, errors)
    results, _ = search(tmp_path, **RANDOM)
    assert len(calls) == 6
    assert len(results.in_state(State.FAILED)) == len(errors)


def test_seeds_of_one_configuration_count_once() -> None:
    faults, failed = Faults(), [r for r in example.records() if r.state == State.COMPLETE][:3]
    failed = [replace(r, state=State.FAILED, failure=Failure.ERROR, reason="ValueError: x") for r in failed]
    for record in (*failed[:2], replace(failed[1], seed=5), replace(failed[1], seed=6)):
        faults.failed(record)
    faults.require_few()
    faults.failed(replace(failed[2], state=State.DUPLICATE))
    faults.require_few()
    faults.failed(failed[2])
    with pytest.raises(WorkerStoppedError, match="the last by ValueError: x; "):
        faults.require_few()
    faults.went_well()
    faults.require_few()


def test_a_trial_over_its_time_fails_and_goes_on_with_retry_failed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, steps = Task.loss, list[int]()
    late = {"trials": 1, "baselines": []}

    def slow(*given: Any) -> Tensor:
        steps.append(1)
        time.sleep(0.05)
        return loss(*given)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "loss", slow)
        first, _ = search(tmp_path, search=late, scale={"trial_time": "1s"})
    (record,) = first.in_state(State.FAILED)
    assert record.failure == Failure.TIME
    assert record.reason.startswith("OutOfTimeError: over scale.trial_time, 1s, at step ")
    assert len([*(tmp_path / "out" / UNFINISHED).iterdir()]) == 1
    made = len(steps) - 1  # one is the rehearsal
    _, events = search(tmp_path, search=late)
    assert trained(events) == []
    steps.clear()

    def counted(*given: Any) -> Tensor:
        steps.append(1)
        return loss(*given)

    monkeypatch.setattr(Task, "loss", counted)
    run_study(
        StudySettings.model_validate(study_fields(tmp_path, search=late)), tmp_path / "out", retry_failed=True
    )
    require_whole(load_results(tmp_path / "out"), 0, 1)
    assert len(steps) - 1 == 64 - made
    assert not (tmp_path / "out" / UNFINISHED).exists()


def test_want_of_memory_is_told_once_and_no_trial_fails_for_it(tmp_path: Path) -> None:
    bench = Workbench.load(StudySettings.model_validate(study_fields(tmp_path, **RANDOM)))
    for most, output in ((8, tmp_path / "out"), (4, tmp_path / "again")):
        events: list[Event] = []
        with narrow(bench, most), only_run(output):
            work_off(bench, output, None, Crew.of_this_call(None), 0, events.append)
        told = [event.what for event in events if isinstance(event, Notice)]
        assert told == [f"out of memory: micro-batches of {most}"]
        require_whole(load_results(output), 2, 4)
    assert isinstance(events[0], SearchStarted)
    assert events[0].notes[-1] == "out of memory: micro-batches of 8"
