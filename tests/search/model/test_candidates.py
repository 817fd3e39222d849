"""What may be proposed."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from msplora_search.design.listing import every_choice
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.design.splits import FreeSplits
from msplora_search.search.model.candidates import RATES, Candidates, Ground
from msplora_search.search.model.features import Features
from tests.design.test_space import SLOW_TO_DRAW
from tests.strategies import search_spaces

LARGE = SearchSpace(
    32, (("query",), ("query", "value")), (0, 1, 2, 4, 8), (0, 1, 2, 4, 8), (0, 1, 2, 4), FreeSplits((1, 2, 3, 4))
)


def ground(space: SearchSpace, limit: int | None = None) -> Ground:
    return Ground(
        space, lambda pyramid: 10 * pyramid.rank_units * len(pyramid.targets), Features.of(space.targets), limit
    )


@SLOW_TO_DRAW
@given(search_spaces(), st.integers(10, 2_000))
def test_a_small_space_is_there_as_a_whole_within_the_limit(space: SearchSpace, limit: int) -> None:
    on = ground(space, limit)
    assume(space.pyramids is not None and space.pyramids < 2_000)
    found = Candidates.of(on)
    rates = len(found.configurations) and len(on.rates)
    affordable = [pyramid for pyramid, _ in every_choice(space) if on.count(pyramid) <= limit]
    assert {one.pyramid for one in found.configurations} == set(affordable)
    assert len(found.configurations) == len(set(found.configurations)) == len(affordable) * rates
    assert all(
        choice.pyramid() == one.pyramid and rate == one.rate and on.count(one.pyramid) == one.params
        for (choice, rate), one in zip(found.proposals, found.configurations, strict=True)
    )
    assert list(found.costs) == sorted(found.costs)


def test_a_large_space_is_sampled_from_one_end_of_the_costs_to_the_other() -> None:
    assert not ground(LARGE).is_listed
    found = Candidates.of(ground(LARGE))
    assert 2_000 < len(found.configurations) <= 8_000
    assert len(found.configurations) == len(set(found.configurations))
    assert found.costs[0] == 10
    assert found.costs[-1] == 10 * 2 * (8 + 4 * 8 + 32 * 4)
    counts, _ = np.histogram(np.log(found.costs), bins=10)
    assert counts[3:].min() > 100
    assert all(LARGE.contains(one.pyramid) for one in found.configurations[::50])


def test_a_sample_is_the_same_for_a_seed_and_another_for_another() -> None:
    one, again, other = (Candidates.of(ground(LARGE), seed).configurations for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_neighbours_join_a_sample_and_not_a_whole_space() -> None:
    found = Candidates.of(ground(LARGE))
    pyramid = found.configurations[len(found.configurations) // 2].pyramid
    more = found.beside([pyramid], ground(LARGE))
    assert len(more.configurations) > len(found.configurations)
    assert len(more.configurations) == len(set(more.configurations)) == len(more.costs) == len(more.features)
    small = SearchSpace(2, (("query",),), (0, 1), (0, 1), (0, 1), FreeSplits((1, 2)))
    whole = Candidates.of(ground(small))
    assert whole.beside([whole.configurations[0].pyramid], ground(small)) is whole


def test_a_range_of_rates_is_represented_by_some_within_it() -> None:
    space = SearchSpace(
        2, (("query",),), (0, 1), (0,), (0, 1), FreeSplits((1,)), learning_rate=LogRange(1e-4, 1e-2)
    )
    rates = ground(space).rates
    assert len(rates) == RATES
    assert rates[0] == 1e-4
    assert rates[-1] == 1e-2
    assert np.allclose(np.diff(np.log(rates)), np.log(100) / (RATES - 1))
