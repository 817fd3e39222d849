"""The decisions of a search, from its records."""

from dataclasses import replace

import numpy as np
import pytest

from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.model.candidates import Ground
from msplora_search.search.model.features import Candidate, Features
from msplora_search.search.model.forecast import Forecaster
from tests.search.model.trained import trained

SPACE = SearchSpace(4, (("query",),), (0, 1, 2, 4), (0, 1, 2), (0, 1), FreeSplits((1, 2)))
GROUND = Ground(SPACE, lambda pyramid: 100 * pyramid.rank_units, Features.of(SPACE.targets))
RUNGS = (0.3, 0.6, 1.0)


def metric(one: Candidate) -> float:
    """It saturates, and the mid level helps; what the rungs say of it differs a little from trial to trial."""
    helps = 0.03 * (max(group.mid_rank for group in one.pyramid.groups) > 0)
    return float(0.7 + 0.1 * (1 - np.exp(-one.params / 600)) + helps)


def record(number: int, one: Candidate, upto: int = 3, state: State = State.COMPLETE) -> TrialRecord:
    rise = 0.1 + 0.01 * (number % 3 - 1)
    accuracies = [metric(one) - rise * (1 - rung) for rung in RUNGS[:upto]]
    return trained(number, one.pyramid, accuracies, RUNGS[:upto], state, rate=one.rate)


def searched(proposals: int) -> tuple[Forecaster, list[TrialRecord]]:
    forecaster, records = Forecaster(GROUND, 0.5, seed=0), list[TrialRecord]()
    for number in range(proposals):
        proposal = forecaster.next_proposal(records)
        assert proposal is not None
        choice, rate = proposal
        pyramid = choice.pyramid()
        records.append(record(number, Candidate(pyramid, rate, GROUND.count(pyramid))))
    return forecaster, records


def test_nothing_is_proposed_twice_until_all_is_trained() -> None:
    assert SPACE.size is not None
    forecaster, records = searched(SPACE.size)
    assert forecaster.next_proposal(records) is None
    assert len({r.configuration for r in records}) == SPACE.size
    assert records[0].adapter_params == 100


def test_the_front_is_there_long_before() -> None:
    forecaster, records = searched(20)
    every = forecaster.candidates
    best = np.array([metric(one) for one in every.configurations])
    found = np.array([r.adapter_params for r in records]), np.array([r.final.metric for r in records])
    gaps = [best[every.costs <= cost].max() - found[1][found[0] <= cost].max() for cost in np.unique(every.costs)]
    assert np.mean(gaps) < 0.005


def test_a_search_that_begins_anew_goes_on_as_the_old_one_would_have() -> None:
    forecaster, records = searched(14)
    assert Forecaster(GROUND, 0.5, seed=0).next_proposal(records) == forecaster.next_proposal(records)


def test_a_hopeless_trial_has_little_chance_and_a_promising_one_much() -> None:
    forecaster, records = searched(14)
    choice, rate = forecaster.next_proposal(records) or forecaster.candidates.proposals[-1]
    one = Candidate(choice.pyramid(), rate, GROUND.count(choice.pyramid()))
    usual = record(99, one, upto=1, state=State.RUNNING)

    def with_metric(change: float) -> float:
        accuracy = usual.final.metric + change
        other = trained(99, one.pyramid, [accuracy], RUNGS[:1], State.RUNNING, rate=rate)
        chance = forecaster.chance_to_enter(other, [*records, other])
        assert chance is not None
        return chance

    chances = [with_metric(change) for change in (-0.15, -0.02, 0.0, 0.02, 0.1)]
    assert chances == sorted(chances)
    assert chances[0] < 0.05
    assert chances[-1] > 0.9


def test_nothing_is_said_of_a_rung_that_few_reached() -> None:
    forecaster, records = searched(3)
    running = record(99, forecaster.candidates.configurations[-1], upto=1, state=State.RUNNING)
    assert forecaster.chance_to_enter(running, [*records, running]) is None
    bare = replace(running, curve=())
    assert forecaster.chance_to_enter(bare, [*searched(8)[1], bare]) is None


def test_a_stopped_trial_counts_by_where_it_would_have_ended() -> None:
    forecaster, records = searched(12)
    free = next(c for c in forecaster.candidates.configurations if c.pyramid not in {r.pyramid for r in records})
    stopped = record(50, free, upto=2, state=State.PRUNED)
    measured = forecaster._measured([*records, stopped])
    assert measured is not None
    assert measured.complete == 12
    assert measured.configurations[-1] == free
    assert measured.metrics[-1] == pytest.approx(metric(free), abs=0.01)
    assert measured.variances[-1] > measured.variances[0]


def test_the_gain_that_is_left_falls_and_then_the_front_has_converged() -> None:
    early, late = searched(6), searched(30)
    first, last = early[0].prospect(early[1]), late[0].prospect(late[1])
    assert first is not None
    assert last is not None
    assert last.gain < first.gain
    assert not first.is_worth_little
    assert last.is_worth_little
    further = early[0].further(early[1], 20)
    assert further is not None
    assert further[0] == 20
    assert first.gain < further[1] < 20 * first.gain
    assert SPACE.size is not None
    left = early[0].further(early[1], 10_000)
    assert left is not None
    assert left[0] == SPACE.size - 6
    assert left[1] >= further[1]
    assert early[0].further(early[1], 0) == (0, 0)
    assert Forecaster(GROUND, 0.5, 0).further([], 5) is None


def test_a_space_of_one_configuration_is_searched() -> None:
    space = SearchSpace(2, (("query",),), (1,), (0,), (0,), FreeSplits((1,)))
    ground = Ground(space, GROUND.count, Features.of(space.targets))
    forecaster = Forecaster(ground, 0.5, seed=0)
    records = [record(i, other) for i, other in enumerate(searched(4)[0].candidates.configurations[:4])]
    prospect = forecaster.prospect(records)
    assert prospect is not None
    assert np.isfinite(prospect.gain)
    assert forecaster.next_proposal(records) == prospect.proposal
