"""What is left of a space: draws of it, and its end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.design.splits import FreeSplits
from msplora_search.results.records import Configuration
from msplora_search.search import untried
from msplora_search.search.model import candidates
from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.features import Features
from msplora_search.search.proposal import Proposer
from msplora_search.search.untried import Untried
from tests.strategies import search_spaces

DRAWN = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
SPACE = SearchSpace(4, (("q",),), (0, 1, 2), (0, 1), (0, 1), FreeSplits((1, 2)), learning_rate=(1e-3, 2e-3))


def units(pyramid: Pyramid) -> int:
    return pyramid.rank_units


def untried_of(space: SearchSpace, limit: int | None, seed: int) -> Untried:
    ground = Ground(space, units, Features.of(space.targets), limit)
    return Untried(Proposer(space), ground, lambda: Candidates.of(ground), seed)


def configuration_of(left: Untried, parameters: dict[str, Any]) -> Configuration:
    choice, rate = left.proposer.propose(optuna.trial.FixedTrial(parameters))
    return choice.pyramid(), rate


def every_configuration(space: SearchSpace, limit: int | None = None) -> set[Configuration]:
    assert not isinstance(space.learning_rate, LogRange)
    fitting = (pyramid for pyramid, _ in every_choice(space) if limit is None or units(pyramid) <= limit)
    return {(pyramid, rate) for pyramid in fitting for rate in space.learning_rate}


@DRAWN
@given(search_spaces(most_layers=4), st.none() | st.integers(1, 20), st.integers(0, 100))
def test_draws_meet_every_configuration_within_the_limit_once(
    space: SearchSpace, limit: int | None, seed: int
) -> None:
    assume(space.size is not None and space.size < 300)
    left = untried_of(space, limit, seed)
    known: set[Configuration] = set()
    while (drawn := left.draw(known)) is not None:
        assert not left.exhausted(known)
        found = configuration_of(left, drawn)
        assert found not in known
        known.add(found)
    assert known == every_configuration(space, limit)
    assert left.exhausted(known)


@DRAWN
@given(search_spaces(most_layers=4), st.none() | st.integers(1, 20), st.data())
def test_a_space_that_is_not_listed_gives_what_is_new_and_within_the_limit(
    space: SearchSpace, limit: int | None, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "MOST", -1)
        patch.setattr(untried, "MOST_DRAWN", 50)
        known: set[Configuration] = set()
        if not isinstance(space.learning_rate, LogRange):
            known = data.draw(st.sets(st.sampled_from(sorted(every_configuration(space), key=str))))
        left = untried_of(space, limit, data.draw(st.integers(0, 100)))
        drawn = left.draw(known)
        if drawn is None:
            return
        pyramid, rate = configuration_of(left, drawn)
        assert pyramid is not None
        assert (pyramid, rate) not in known
        assert space.contains(pyramid)
        assert space.contains_rate(rate)
        assert limit is None or units(pyramid) <= limit


@given(st.sets(st.sampled_from(sorted(every_configuration(SPACE), key=str))))
def test_a_space_is_exhausted_when_all_of_it_is_known_whatever_else_is(known: set[Configuration]) -> None:
    outside: Configuration = Pyramid.lora(64, 4, ("q",)), 1e-3
    left = untried_of(SPACE, None, 0)
    assert left.exhausted({*known, outside, (None, 1e-3)}) == (len(known) == SPACE.size)


def test_every_configuration_that_is_left_is_equally_likely() -> None:
    every = sorted(every_configuration(SPACE), key=str)
    known = set(every[::2])
    drawn: Counter[Configuration] = Counter()
    rounds = 40 * (len(every) - len(known))
    for seed in range(rounds):
        left = untried_of(SPACE, None, seed)
        parameters = left.draw(known)
        assert parameters is not None
        drawn[configuration_of(left, parameters)] += 1
    assert set(drawn) == set(every) - known
    assert max(abs(count - 40) for count in drawn.values()) < 40 * 0.75


def test_a_range_of_rates_is_never_exhausted_and_is_drawn_in_its_own_scale() -> None:
    space = SearchSpace(4, (("q",),), (1,), (0,), (0,), FreeSplits((1,)), learning_rate=LogRange(1e-5, 1e-1))
    left = untried_of(space, None, 0)
    known: set[Configuration] = set()
    for _ in range(200):
        drawn = left.draw(known)
        assert drawn is not None
        known.add(configuration_of(left, drawn))
    assert len(known) == 200
    assert not left.exhausted(known)
    assert 60 < sum(rate < 1e-3 for _, rate in known) < 140


@pytest.mark.parametrize(
    ("limit", "listed", "said"),
    [
        (None, True, "the space is exhausted: all 54 configurations are measured"),
        (1, True, "the space is exhausted: all 2 configurations of at most 1 parameter are measured"),
        (0, True, "the space holds no configuration of at most 0 parameters"),
        (None, False, "the space is exhausted: 10,000 draws met no new configuration"),
        (9, False, "the space is exhausted: 10,000 draws met no new configuration of at most 9 parameters"),
    ],
)
def test_the_end_of_a_space_is_told(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, listed: bool, said: str
) -> None:
    if not listed:
        monkeypatch.setattr(candidates, "MOST", -1)
    assert untried_of(SPACE, limit, 0).ending() == said
