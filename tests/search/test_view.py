"""A study as its sampler sees it, and what a history counts, against the plain reading of all trials."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.pareto import dominates
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.loop import Loop
from msplora_search.search.repeats import Repeat
from msplora_search.search.samplers.view import best_and_latest
from msplora_search.search.store.attributes import RESTART, enqueue_repeat
from msplora_search.search.store.history import History
from tests.search.bench import CHANCE, bench, loop_on, quiet, run


def fails(pyramid: Pyramid, _: float) -> bool:
    """Whatever has a mid level of its own."""
    return any(group.mid_rank for group in pyramid.groups)


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """A finished search in which each kind of trial is met."""
    made = bench(
        fails, sampler="random", trials=40, max_params=1_500, space="{mid_rank: [0, 1], layer_rank: [0, 1, 2]}"
    )
    found = loop_on(made, tmp_path)
    records = run(found)
    best = next(record for record in records if record.state == State.COMPLETE and not record.baseline)
    enqueue_repeat(found.study, Repeat.again(best, 1, contest=True))
    with quiet():
        assert found.take()
        interrupted = found.view.ask()
        interrupted.suggest_int("global_rank", 0, 4)
        found.study.tell(interrupted, state=TrialState.FAIL)
    assert {record.state for record in records} == {State.COMPLETE, State.FAILED, State.DUPLICATE, State.REFUSED}
    return found


def seen(loop: Loop) -> dict[int, FrozenTrial]:
    return {trial.number: trial for trial in loop.view.get_trials(deepcopy=False)}


def by_number(loop: Loop) -> dict[int, TrialRecord]:
    return {record.number: record for record in loop.objective.history.records()}


def repeats_a_failure(record: TrialRecord, records: dict[int, TrialRecord]) -> bool:
    same = [other for other in records.values() if other.configuration == record.configuration]
    return record.state == State.DUPLICATE and any(other.state == State.FAILED for other in same)


def test_what_was_told_is_seen_as_it_was_and_failures_are_infeasible(loop: Loop) -> None:
    records, told, found = by_number(loop), {t.number: t for t in loop.study.trials}, seen(loop)
    failures = 0
    for number, trial in found.items():
        record = records[number]
        assert (trial.state, trial.params) == (TrialState.COMPLETE, told[number].params)
        assert len(trial.constraints) == 1
        if record.state == State.FAILED or repeats_a_failure(record, records):
            failures += 1
            assert told[number].state == TrialState.FAIL
            assert trial.values[0] == CHANCE
            assert 10 ** trial.values[1] == pytest.approx(record.adapter_params)
            assert trial.constraints == {"pruned": 1.0}
        else:
            assert trial == told[number]
    assert failures >= 2
    assert any(repeats_a_failure(record, records) for number, record in records.items() if number in found)


def test_what_has_no_place_in_the_space_and_what_was_trained_again_is_not_seen(loop: Loop) -> None:
    records, found = by_number(loop), seen(loop)
    space = loop.untried.space
    hidden = {trial.number for trial in loop.study.trials} - found.keys()
    for number in hidden:
        record = records.get(number)
        inside = record is not None and (record.pyramid is None or space.contains(record.pyramid))
        assert record is None or record.repeat_of is not None or not inside
    assert any(number in records and records[number].baseline for number in hidden)
    assert any(number in records and records[number].repeat_of is not None for number in hidden)
    assert any(number not in records for number in hidden)


def test_a_failure_that_was_started_anew_is_not_seen(loop: Loop) -> None:
    failed = next(r for r in by_number(loop).values() if r.state == State.FAILED and not r.baseline)
    assert failed.number in seen(loop)
    parameters = loop.study.trials[failed.number].params
    loop.study.enqueue_trial(parameters, user_attrs={RESTART: failed.number})
    assert failed.number not in seen(loop)


def test_trials_that_run_are_seen_but_for_those_with_further_seeds(loop: Loop) -> None:
    complete = next(r for r in by_number(loop).values() if r.state == State.COMPLETE and not r.baseline)
    enqueue_repeat(loop.study, Repeat.again(complete, 2, contest=False))
    loop.objective.history.look()
    with quiet():
        repeat, proposal = loop.view.ask(), loop.view.ask()
    found = seen(loop)
    assert repeat.number not in found
    assert found[proposal.number].state == TrialState.RUNNING


def test_only_the_states_that_are_asked_for_and_copies_where_they_are(loop: Loop) -> None:
    with quiet():
        loop.view.ask()
    every = loop.view.get_trials()
    assert {trial.state for trial in every} == {TrialState.COMPLETE, TrialState.RUNNING}
    complete = loop.view.get_trials(states=[TrialState.COMPLETE])
    assert len(complete) == len(every) - 1
    assert complete == loop.view.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    complete[0].values = [0.0, 0.0]
    assert loop.view.get_trials()[0] != complete[0]


def test_a_history_that_follows_a_search_counts_as_one_that_reads_it_at_once(tmp_path: Path) -> None:
    made = bench(fails, sampler="random", trials=25, max_params=1_500, repeats=2, space="{layer_rank: [0, 1, 2]}")
    loop = loop_on(made, tmp_path)
    followed = loop.objective.history

    def require_alike(waiting: int = 0) -> None:
        now, fresh = followed.look(), History(loop.study).look()
        for one, other in zip(now.records, fresh.records, strict=True):
            assert (one.number, one.state, one.configuration) == (other.number, other.state, other.configuration)
        assert [t.number for t in now.trials] == [t.number for t in fresh.trials]
        for name in ("known", "trained", "answered", "contests", "waiting"):
            assert getattr(now, name) == getattr(fresh, name)
        proposals = [r for r in now.records if r.baseline is None and r.repeat_of is None]
        assert now.trained == sum(r.counts for r in proposals) + waiting

    with quiet():
        while loop.take():
            require_alike()
        failed = next(r for r in followed.records() if r.state == State.FAILED and not r.baseline)
        loop.study.enqueue_trial(loop.study.trials[failed.number].params, user_attrs={RESTART: failed.number})
        require_alike(waiting=1)
        assert failed.number not in {record.number for record in followed.records()}
        assert loop.take()
        require_alike()
    assert TrialState.WAITING not in {trial.state for trial in loop.study.trials}


def test_of_many_trials_the_best_and_the_latest_are_seen(loop: Loop) -> None:
    every = loop.view.get_trials(deepcopy=False)
    assert best_and_latest(every, len(every)) == every
    kept = best_and_latest(every, 10)
    numbers = [trial.number for trial in kept]
    assert len(numbers) == 10
    assert numbers == sorted(numbers)
    feasible = [t for t in every if t.state == TrialState.COMPLETE and max(t.constraints.values()) <= 0]
    front = [
        t for t in feasible
        if not any(dominates(o.values[0], o.values[1], t.values[0], t.values[1]) for o in feasible)
    ]  # fmt: skip
    first = [trial.number for trial in every if trial.number not in numbers[-8:]]
    assert {trial.number for trial in front[:2]} <= set(numbers)
    assert [n for n in numbers if n in first] == [n for n in first if n in numbers][:2]
