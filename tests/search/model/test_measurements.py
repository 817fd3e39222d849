"""What a model is made of, where more was measured than it can take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from msplora_search.design.listing import every_choice
from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.model import forecast, measurements
from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.choosing import Prospect, gauged_from
from msplora_search.search.model.features import Features
from msplora_search.search.model.forecast import Forecaster
from msplora_search.search.model.measurements import Measurements, candidate_of
from msplora_search.search.model.outlook import Outlook
from tests.search.model.trained import trained

SPACE = SearchSpace(4, (("query",),), (0, 1, 2, 4), (0, 1, 2), (0, 1), FreeSplits((1, 2)))
GROUND = Ground(SPACE, lambda pyramid: 100 * pyramid.rank_units, Features.of(SPACE.targets))
WIDE = replace(GROUND, space=replace(SPACE, learning_rate=(1e-3, 2e-3, 4e-3)))
RUNGS = (0.5, 1.0)


def records(count: int, stopped: int) -> list[TrialRecord]:
    """Every third is stopped, up to so many; metrics are by no rule."""
    pyramids = [pyramid for pyramid, _ in every_choice(SPACE)]
    draw, found = np.random.default_rng(0), list[TrialRecord]()
    for number, pyramid in enumerate(pyramids[:count]):
        last = 0.7 + 0.1 * draw.random()
        is_stopped = number % 3 == 2 and number < 3 * stopped
        state = State.PRUNED if is_stopped else State.COMPLETE
        found.append(trained(number, pyramid, [last - 0.05, last], RUNGS[: 1 if is_stopped else 2], state))
    return found


def test_stopped_trials_are_bounded_like_complete_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    some = records(36, stopped=12)
    every = Measurements.of(some, 0.0)
    assert (every.complete, len(every.configurations)) == (24, 36)
    monkeypatch.setattr(measurements, "MOST_MODELLED", 10)
    kept = Measurements.of(some, 0.0)
    assert len(kept.configurations) == len(kept.metrics) == len(kept.variances) == 10
    whole = [c in {candidate_of(r) for r in some if r.state == State.COMPLETE} for c in kept.configurations]
    assert whole == [True] * kept.complete + [False] * (10 - kept.complete)

    def below(configuration: object) -> float:
        place = every.configurations.index(configuration)
        affordable = every.costs[: every.complete] <= every.costs[place]
        best = every.metrics[: every.complete][affordable].max(initial=-np.inf)
        return float(best - every.metrics[place])

    left = [one for one in every.configurations if one not in kept.configurations]
    assert max(map(below, kept.configurations)) <= min(map(below, left))
    assert set(every.front()) <= set(kept.configurations)


def test_the_gain_of_a_new_proposal_is_told_anew_a_twentieth_later() -> None:
    counts = [gauged_from(count) for count in range(2_000)]
    assert counts[:41] == list(range(41))
    assert counts == sorted(counts)
    assert all(count / 1.08 <= gauged <= count for count, gauged in enumerate(counts[1:], start=1))
    assert len(set(counts[1_000:])) < 20


def test_a_thaw_is_decided_without_scoring_all_candidates_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    scored, forecaster = list[int](), Forecaster(GROUND, 0.5, 0)
    best = Forecaster._best

    def counted(self: Forecaster, *arguments: object) -> Prospect:
        scored.append(1)
        return best(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Forecaster, "_best", counted)
    some = records(90, stopped=30)
    for count in range(80, 90):
        forecaster.worth_thawing(some[:count])
    assert 1 <= len(scored) <= 4
    assert Forecaster(GROUND, 0.5, 0).gauge(some[:89]) == forecaster.gauge(some[:89])


def test_among_the_best_of_all_when_last_scored_is_the_best_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "GAUGED", 60)
    few, every = Forecaster(WIDE, 0.5, 0), list[int]()
    gains = Outlook.gains

    def counted(self: Outlook, candidates: Candidates) -> NDArray[np.float64]:
        every.append(len(candidates.costs))
        return gains(self, candidates)

    monkeypatch.setattr(Outlook, "gains", counted)
    some = records(60, stopped=20)
    proposed = [few.next_proposal(some[:count]) for count in range(50, 60)]
    assert 1 <= every.count(len(few.candidates.costs)) <= 5
    assert every.count(60) == 10
    monkeypatch.setattr(forecast, "GAUGED", 10**6)
    assert proposed == [Forecaster(WIDE, 0.5, 0).next_proposal(some[:count]) for count in range(50, 60)]


def test_where_all_of_these_are_taken_every_candidate_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "GAUGED", 1)
    some, few = records(60, stopped=0), Forecaster(WIDE, 0.5, 0)
    only = few.next_proposal(some)
    assert only is not None
    begun = replace(trained(60, only[0].pyramid(), [], rate=only[1]), state=State.RUNNING)
    assert few.next_proposal([*some, begun]) not in (None, only)
