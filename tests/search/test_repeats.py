"""Trainings with further seeds: which are due, how they run, and that nothing is lost or chosen by them."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search import run_study
from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.workbench import Workbench
from msplora_search.reporting.lines import trial_line
from msplora_search.reporting.report import trials_csv
from msplora_search.results.records import State, TrialRecord
from msplora_search.results.training_noise import pooled_noise
from msplora_search.scale.search import run_with_workers
from msplora_search.search.baselines import Baseline
from msplora_search.search.events import SearchEnded, SearchStarted
from msplora_search.search.points import Point
from msplora_search.search.repeats import (
    Repeat,
    next_contest,
    noise_repeats,
    planned_repeats,
    training_variance,
    undecided,
)
from msplora_search.search.results import load_results
from msplora_search.search.summary import summarise
from msplora_search.settings import StudySettings
from msplora_search.settings.models import SearchSettings
from tests import example
from tests.search.test_study import ended, kill_at, run_to_the_end, search
from tests.small import study_fields, write_study
from tests.strategies import raw_pyramids

PAPER = Pyramid.geometric(8, 6)
LORA, LARGER = (Pyramid.lora(rank, 6, ("query", "value")) for rank in (1, 2))
RATES = (1e-3, 2e-3)
PLANNED = [
    Baseline(name, pyramid, rate)
    for name, pyramid in (("paper", PAPER), ("lora-1", LORA), ("lora-2", LARGER))
    for rate in RATES
]


def trial(number: int, wrong: int = 60, **fields: Any) -> TrialRecord:
    return example.record(number, fields.pop("pyramid", PAPER), wrong, **fields)


def baselines(upto: int = len(PLANNED)) -> list[TrialRecord]:
    """Trials of the planned baselines in order; the second rate is the better one."""
    return [
        trial(i, 60 - 10 * (i % 2), pyramid=b.pyramid, baseline=b.name, learning_rate=b.learning_rate)
        for i, b in enumerate(PLANNED[:upto])
    ]


def due(records: list[TrialRecord], **fields: Any) -> list[tuple[int, int]]:
    return [(r.of, r.seed) for r in noise_repeats(records, PLANNED, SearchSettings(**fields))]


def again(record: TrialRecord, number: int, seed: int, **fields: Any) -> TrialRecord:
    return replace(record, number=number, seed=seed, repeat_of=record.number, **fields)


@given(raw_pyramids(), st.integers(0, 50), st.sampled_from([None, "paper", "lora-1"]), st.booleans())
def test_a_repeat_comes_back_from_what_is_stored(raw: Any, seed: int, baseline: str | None, contest: bool) -> None:
    repeat = Repeat(3, seed, baseline, raw.build(), 2e-3, contest)
    assert Repeat.from_json(repeat.to_json()) == repeat


def test_the_papers_and_the_smallest_lora_are_repeated_at_their_best_rates_and_no_other() -> None:
    assert due(baselines()) == [(1, 1), (1, 2), (3, 1), (3, 2)]
    assert due(baselines(), seed=7, noise_repeats=1) == [(1, 8), (3, 8)]
    assert due(baselines(), noise_repeats=0) == []
    for search_settings, planned in ((SearchSettings(), 4), (SearchSettings(noise_repeats=0, repeats=5), 5)):
        assert planned_repeats(PLANNED, search_settings) == planned


def test_a_repeat_waits_until_every_rate_has_ended() -> None:
    assert due(baselines(1)) == []
    assert due(baselines(3)) == [(1, 1), (1, 2)]
    running = [*baselines(3), replace(baselines(4)[3], state=State.RUNNING, curve=())]
    assert due(running) == [(1, 1), (1, 2)]
    failed = [*baselines(3), replace(baselines(4)[3], state=State.FAILED, curve=())]
    assert due(failed) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_what_was_begun_is_not_due_again() -> None:
    best = baselines()[1]
    for state in (State.COMPLETE, State.RUNNING, State.FAILED):
        assert due([*baselines(), again(best, 9, 2, state=state)]) == [(1, 1), (3, 1), (3, 2)]


def points(*probabilities: float) -> list[Point]:
    return [
        Point((trial(i, learning_rate=1e-3 * (i + 1)),), probability)
        for i, probability in enumerate(probabilities)
    ]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_the_most_undecided_contender_is_next_and_the_decided_never(probabilities: list[float]) -> None:
    found = points(*probabilities)
    records = [point.record for point in found]
    chosen = next_contest(found, records, 0)
    open_ones = [p for p in probabilities if 0.2 <= p <= 0.8]
    assert len(undecided(found)) == len(open_ones)
    assert (chosen is None) == (not open_ones)
    if chosen is not None:
        assert abs(probabilities[chosen.of] - 0.5) == pytest.approx(min(abs(p - 0.5) for p in open_ones))
        assert (chosen.seed, chosen.contest) == (1, True)


def test_contenders_that_another_worker_repeats_come_last_and_each_time_with_another_seed() -> None:
    found = points(0.5, 0.6)
    own = [point.record for point in found]
    records = [*own, again(own[0], 2, 1, state=State.RUNNING, curve=())]
    second = next_contest(found, records, 0)
    assert second is not None
    assert (second.of, second.seed) == (1, 1)
    records.append(again(own[1], 3, 1, state=State.FAILED, curve=()))
    third = next_contest(found, records, 0)
    assert third is not None
    assert (third.of, third.seed) == (0, 2)


def test_the_variance_at_a_rung_is_that_of_the_repeats_there() -> None:
    records = [trial(0, 60), trial(1, 100)]
    assert training_variance(records, 0.5) == 0
    records += [again(trial(0, 10 * i), i, i) for i in (3, 14)]
    noise = pooled_noise([[r.curve[0] for r in (records[0], *records[2:])]])
    assert noise is not None
    assert training_variance(records, 0.5) == pytest.approx(noise.variance)
    assert noise.variance > 0
    assert training_variance(records, 0.7) == 0


def test_baselines_are_trained_with_further_seeds_before_the_proposals(tmp_path: Path) -> None:
    results, events = search(tmp_path, search={"noise_repeats": 2})
    told = [(r.baseline, r.seed, r.repeat_of) for r in results.records]
    assert told[:2] == [("paper", 0, None), ("lora-1", 0, None)]
    assert told[2:6] == [("paper", 1, 0), ("paper", 2, 0), ("lora-1", 1, 1), ("lora-1", 2, 1)]
    assert [told[r.number] for r in results.records[6:] if r.counts] == [(None, 0, None)] * 4
    begun, last = events[0], events[-1]
    assert isinstance(begun, SearchStarted)
    assert isinstance(last, SearchEnded)
    assert (begun.repeats, last.reason) == (4, "4 proposals trained")
    repeats = results.records[2:6]
    assert all(r.state == State.COMPLETE and r.steps == r.planned_steps > 0 for r in repeats)
    summary = summarise(results)
    assert summary.noise is not None
    assert summary.noise.degrees == 4
    paper = summary.paper
    assert paper is not None
    assert paper.metric == pytest.approx(sum(r.final.metric for r in paper.trainings) / 3)
    assert [r.seed for r in paper.trainings] == [0, 1, 2]
    assert len({r.final.loss for r in paper.trainings}) == 3
    assert summary.counts["complete"] + summary.counts["pruned"] + summary.counts["duplicate"] >= 10
    rows = list(csv.DictReader(trials_csv(results.records).splitlines()))
    assert [(row["seed"], row["repeat_of"]) for row in rows[:4]] == [("0", ""), ("0", ""), ("1", "0"), ("2", "0")]
    assert trial_line(repeats[0]).startswith("trial 2 paper again, seed 1 ")


def test_a_repeat_is_told_with_the_parameters_of_what_it_repeats(tmp_path: Path) -> None:
    results, _ = search(tmp_path, search={"noise_repeats": 1, "trials": 1, "sampler": "random"})
    trials = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}").trials
    space = Workbench.load(results.settings).space()
    for record in results.records[2:4]:
        assert record.repeat_of is not None
        assert record.pyramid is not None
        inside = space.contains(record.pyramid)
        assert bool(trials[record.number].params) == inside
        assert trials[record.number].params == trials[record.repeat_of].params
        assert trials[record.number].values[0] == record.final.metric


def test_repeats_change_nothing_of_the_trials_of_the_search(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"sampler": "random", "trials": 3}
    plain, _ = search(tmp_path, name="plain", search=fields)
    settings = StudySettings.model_validate(study_fields(tmp_path, search={**fields, "noise_repeats": 1}))
    repeated = load_results(run_study(settings, tmp_path / "repeated"))
    first = {r.configuration: r for r in plain.records if r.state == State.COMPLETE}
    common = [r for r in repeated.records if r.repeat_of is None and r.configuration in first and r.curve]
    assert len(common) >= 2
    for record in common:
        assert record.final.loss == first[record.configuration].final.loss


def test_more_noise_repeats_are_more_work_and_nothing_is_run_again(tmp_path: Path) -> None:
    search(tmp_path)
    results, events = search(tmp_path, search={"noise_repeats": 1})
    assert [(r.baseline, r.seed) for r in ended(events)] == [("paper", 1), ("lora-1", 1)]
    assert ended(search(tmp_path, search={"noise_repeats": 1})[1]) == []
    assert [r.repeat_of for r in results.records[-2:]] == [0, 1]


def test_contenders_are_repeated_until_the_front_is_decided_or_the_budget_is_spent(tmp_path: Path) -> None:
    results, events = search(tmp_path, search={"repeats": 2, "trials": 6, "sampler": "random"})
    repeats = [r for r in results.records if r.repeat_of is not None]
    proposals = [r.number for r in results.records if not r.baseline and r.repeat_of is None]
    assert all(r.number > max(proposals) for r in repeats)
    before = {r.number: r for r in results.records}
    last = events[-1]
    assert isinstance(last, SearchEnded)
    assert len(repeats) in (1, 2)
    assert last.reason == "6 proposals trained, and " + (
        "2 repeats" if len(repeats) == 2 else "the front is decided after 1 repeat"
    )
    assert len({(r.configuration, r.seed) for r in repeats}) == len(repeats)
    for repeat in repeats:
        assert repeat.repeat_of is not None
        assert repeat.configuration == before[repeat.repeat_of].configuration
        assert repeat.seed > 0
    assert not ended(search(tmp_path, search={"repeats": 2, "trials": 6, "sampler": "random"})[1])
    first = summarise(replace(results, records=tuple(r for r in results.records if r.repeat_of is None)))
    assert {r.repeat_of for r in repeats} <= {p.record.number for p in undecided(first.points)} | {
        p.record.number for p in undecided(summarise(results).points)
    }


def test_workers_share_the_repeats(tmp_path: Path) -> None:
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"noise_repeats": 2, "trials": 3}))
    results = load_results(run_with_workers(settings, tmp_path / "out", None, 2, lambda _: None))
    counted = Counter((r.baseline, r.seed) for r in results.records if r.baseline)
    assert counted == {(name, seed): 1 for name in ("paper", "lora-1") for seed in (0, 1, 2)}
    assert sum(r.counts for r in results.records) == 9
    assert all(r.state != State.FAILED for r in results.records)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["TrialStarted 2", "TrialMeasured 3", "TrialEnded 4"])
def test_killed_while_it_repeats_the_same_command_goes_on(tmp_path: Path, moment: str) -> None:
    study, output = write_study(tmp_path, search={"noise_repeats": 2, "trials": 1}), tmp_path / "out"
    kill_at(moment, study, output)
    results = run_to_the_end(study, output)
    counted = Counter((r.baseline, r.seed) for r in results.records if r.baseline)
    assert counted == {(name, seed): 1 for name in ("paper", "lora-1") for seed in (0, 1, 2)}
    assert results.interrupted == ()


def test_a_repeat_that_fails_is_tried_again_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Workbench.measure

    def fragile(self: Workbench, pyramid: Any, rate: float, seed: int, shelf: Any) -> Any:
        if seed == 1:
            raise ValueError("no such luck")
        return measure(self, pyramid, rate, seed, shelf)

    with monkeypatch.context() as patch:
        patch.setattr(Workbench, "measure", fragile)
        results, _ = search(tmp_path, search={"noise_repeats": 1, "trials": 1})
    assert [(r.state, r.seed) for r in results.records[2:4]] == [(State.FAILED, 1)] * 2
    results, events = search(tmp_path, search={"noise_repeats": 1, "trials": 1})
    assert [(r.baseline, r.seed, r.state) for r in ended(events)] == [
        ("paper", 1, State.COMPLETE), ("lora-1", 1, State.COMPLETE),
    ]  # fmt: skip
    assert not results.in_state(State.FAILED)
