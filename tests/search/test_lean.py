"""What runs is not read again and again, and what ended is read as it ended."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from msplora_search.search.store.attributes import PLAN, PROGRESS
from msplora_search.search.store.bulk import all_trials
from msplora_search.search.store.lean import LeanStorage

STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "plan", "measure", "tell", "fail", "enqueue", "look"]), st.integers(0, 5)),
    max_size=30,
)


def storage_at(path: Path, kind: type[RDBStorage]) -> RDBStorage:
    return kind(f"sqlite:///{path}")


def begun(path: Path) -> tuple[optuna.Study, optuna.Study]:
    """A study as another process has it, and as this one has it by a lean storage."""
    there = storage_at(path, RDBStorage)
    other = optuna.create_study(storage=there, study_name="s", directions=["maximize", "minimize"])
    return other, optuna.load_study(storage=storage_at(path, LeanStorage), study_name="s")


def told(trial: FrozenTrial) -> tuple[object, ...]:
    """What has to be read at once: all of an ended trial, the plan of one that runs."""
    attributes = trial.user_attrs if trial.state.is_finished() else {PLAN: trial.user_attrs.get(PLAN)}
    return trial.number, trial.state, trial.values, attributes


@pytest.fixture
def varied(tmp_path: Path) -> RDBStorage:
    """Two studies with all that a trial can hold."""
    storage = storage_at(tmp_path / "s.db", RDBStorage)
    goals = {"other": [StudyDirection.MINIMIZE], "s": [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]}
    for name, directions in goals.items():
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        for values in ((0.5, 3.0), (float("inf"), float("-inf"))):
            trial = study.ask()
            trial.suggest_categorical("groups", ["4", None, 2.5])
            trial.suggest_float("rate", 1e-4, 1e-2, log=True)
            trial.suggest_int("b rank", 0, 8, step=2)
            trial.set_user_attr("é", {"deep": [1, None, "two"]})
            study.tell(trial, values[: len(directions)])
        study.tell(study.ask(), state=TrialState.FAIL)
        study.ask().set_user_attr(PLAN, {"seed": 1})
        study.enqueue_trial({"rate": 0.001}, user_attrs={"why": "asked"})
        study.enqueue_trial({})
    single = optuna.load_study(storage=storage, study_name="other")
    trial = single.ask()
    for step, value in enumerate((0.1, float("nan"), float("inf"), float("-inf"))):
        trial.report(value, step)
    single.tell(trial, state=TrialState.PRUNED)
    return storage


@pytest.mark.parametrize("name", ["s", "other"])
def test_read_at_once_trials_are_what_optuna_reads(varied: RDBStorage, name: str) -> None:
    study = varied.get_study_id_from_name(name)
    theirs = varied.get_all_trials(study)
    with varied.scoped_session() as session:
        ours = all_trials(session, study)
    assert [[*map(repr, vars(trial).items())] for trial in ours] == [
        [*map(repr, vars(trial).items())] for trial in theirs
    ]
    assert [trial.number for trial in ours] == list(range(len(ours)))
    assert len(ours) == 6


def one_step(study: optuna.Study, running: list[optuna.Trial], step: str, which: int) -> None:
    """Of another process."""
    if step == "ask":
        running.append(study.ask())
    elif step == "enqueue":
        study.enqueue_trial({})
    elif running:
        trial = running[which % len(running)]
        if step == "plan":
            trial.set_user_attr(PLAN, {"seed": which})
        elif step == "measure":
            trial.set_user_attr(PROGRESS, {"steps": which})
        elif step != "look":
            running.remove(trial)
            study.tell(trial, None if step == "fail" else (0.5, 3.0), TrialState.FAIL if step == "fail" else None)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whatever_others_do_ended_trials_are_as_they_ended(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    other, here = begun(tmp_path_factory.mktemp("lean") / "s.db")
    running: list[optuna.Trial] = []
    for step, which in steps:
        one_step(other, running, step, which)
        if step == "look":
            assert list(map(told, here.get_trials(deepcopy=False))) == list(map(told, other.get_trials()))
    assert list(map(told, here.get_trials(deepcopy=False))) == list(map(told, other.get_trials()))


def test_a_trial_that_runs_is_read_once_and_again_when_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, here = begun(tmp_path / "s.db")
    other.tell(other.ask(), (0.1, 2.0))
    trials = [other.ask() for _ in range(4)]
    for trial in trials[:3]:
        trial.set_user_attr(PLAN, {})
    read = list[int]()
    build = RDBStorage._build_frozen_trial_from_trial_model

    def counted(self: RDBStorage, model: object) -> FrozenTrial:
        found = build(self, model)  # type: ignore[arg-type]
        read.append(found.number)
        return found

    monkeypatch.setattr(LeanStorage, "_build_frozen_trial_from_trial_model", counted)
    assert len(here.get_trials(deepcopy=False)) == 5
    assert read == []  # all at once
    here.get_trials(deepcopy=False)
    assert read == [4]  # its plan may still come
    other.tell(trials[0], (0.2, 2.0))
    trials[1].set_user_attr(PROGRESS, {})
    read.clear()
    seen = here.get_trials(deepcopy=False)
    assert (sorted(read), seen[1].values) == ([1, 4], [0.2, 2.0])
