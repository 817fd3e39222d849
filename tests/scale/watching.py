"""What tests of several machines see in the storage that these share."""

from __future__ import annotations

import time
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState

from msplora_search.results.records import State
from msplora_search.search.results import StudyResults


def trials(url: str) -> list[FrozenTrial]:
    """What is stored; nothing where no study is yet."""
    storage = optuna.storages.RDBStorage(url)
    try:
        if not optuna.get_all_study_names(storage):
            return []
        return optuna.load_study(study_name="small", storage=storage).trials
    finally:
        storage.remove_session()
        storage.engine.dispose()


def until(url: str, there: Callable[[list[FrozenTrial]], bool], seconds: float = 120) -> list[FrozenTrial]:
    """Wait until the stored trials are as is asked for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = trials(url)
        if there(found):
            return found
        time.sleep(0.2)
    raise AssertionError([(t.number, t.state, t.user_attrs.get("plan", {}).get("worker")) for t in found])


def measured_on(name: str) -> Callable[[list[FrozenTrial]], bool]:
    """Whether a trial runs on a host, and has reached a rung."""

    def there(found: list[FrozenTrial]) -> bool:
        return any(host_of(t) == name and t.user_attrs.get("progress", {}).get("curve") for t in running(found))

    return there


def running(found: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that run."""
    return [trial for trial in found if trial.state == TrialState.RUNNING]


def host_of(trial: FrozenTrial) -> str:
    """Where it runs, or ran."""
    return str(trial.user_attrs.get("plan", {}).get("worker", {}).get("host"))


def assert_whole(results: StudyResults, trained: int) -> None:
    """As many trials as were asked for, none twice, none without an end."""
    done = [r for r in results.records if r.state in (State.COMPLETE, State.PRUNED)]
    assert len(done) == len({r.configuration for r in done}) == trained
    assert not [r for r in results.records if r.state in (State.RUNNING, State.FAILED)]
    assert not results.interrupted
