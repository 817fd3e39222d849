"""Choices of spaces that are too large to be listed."""

import random

from hypothesis import given
from hypothesis import strategies as st

from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.sampling import neighbours, random_choice
from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits
from tests.design.test_space import SLOW_TO_DRAW, reachable
from tests.strategies import search_spaces


@SLOW_TO_DRAW
@given(search_spaces(), st.integers(0, 100))
def test_a_random_choice_is_one_of_the_space(space: SearchSpace, seed: int) -> None:
    choice = random_choice(space, random.Random(seed))
    assert choice.targets in space.targets
    if choice.global_rank or any(choice.mid_ranks) or any(choice.layer_ranks):
        assert space.contains(choice.pyramid())


def test_random_choices_reach_the_whole_space() -> None:
    space = SearchSpace(4, (("query",),), (0, 1), (0, 1), (0, 2), FreeSplits((1, 2, 3)))
    draw, found = random.Random(0), set()
    for _ in range(2_000):
        choice = random_choice(space, draw)
        if choice.global_rank or any(choice.mid_ranks) or any(choice.layer_ranks):
            found.add(choice.pyramid())
    assert found == reachable(space)


@SLOW_TO_DRAW
@given(search_spaces(), st.data())
def test_neighbours_lie_in_the_space_and_differ(space: SearchSpace, data: st.DataObject) -> None:
    pyramid = data.draw(st.sampled_from(sorted(reachable(space), key=str)))
    found = [other for other, _ in neighbours(space, pyramid)]
    assert pyramid not in found
    assert len(found) == len(set(found))
    assert all(choice.pyramid() == other and space.contains(other) for other, choice in neighbours(space, pyramid))


def test_neighbours_are_one_step_away() -> None:
    space = SearchSpace(4, (("query",),), (0, 2, 8), (0, 1, 4), (0, 1), FreeSplits((1, 2)))
    pyramid = Pyramid.from_split((2, 1, 0), (0, 2, 4), ("query",))
    expected = {
        Pyramid.from_split((0, 1, 0), (0, 2, 4), ("query",)),
        Pyramid.from_split((8, 1, 0), (0, 2, 4), ("query",)),
        Pyramid.from_split((2, 0, 0), (0, 2, 4), ("query",)),
        Pyramid.from_split((2, 4, 0), (0, 2, 4), ("query",)),
        Pyramid.from_split((2, 1, 1), (0, 2, 4), ("query",)),
        Pyramid.from_split((2, 1, 0), (0, 1, 4), ("query",)),
        Pyramid.from_split((2, 1, 0), (0, 3, 4), ("query",)),
        Pyramid.from_split((2, 1, 0), (0, 4), ("query",)),
    }
    assert {other for other, _ in neighbours(space, pyramid)} == expected


def test_ranks_of_groups_move_one_by_one_where_groups_have_their_own() -> None:
    splits = FreeSplits((2,))
    space = SearchSpace(4, (("query",),), (1,), (1, 2), (0,), splits, mid_per_group=True)
    pyramid = Pyramid.from_split((1, 1, 0), (0, 2, 4), ("query",))
    changed = Pyramid(1, [DepthGroup(0, 2, 1, 0), DepthGroup(2, 4, 2, 0)], ("query",))
    assert changed in {other for other, _ in neighbours(space, pyramid)}
