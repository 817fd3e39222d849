"""Every configuration of a space, one by one, against its exact count."""

from hypothesis import given

from msplora_search.design.listing import every_choice, every_split
from msplora_search.design.space import SearchSpace
from msplora_search.design.splits import FreeSplits
from tests.design.test_space import SLOW_TO_DRAW, reachable
from tests.strategies import search_spaces


@SLOW_TO_DRAW
@given(search_spaces())
def test_every_pyramid_of_a_space_is_listed_once_with_a_choice_that_builds_it(space: SearchSpace) -> None:
    listed = list(every_choice(space))
    assert all(choice.pyramid() == pyramid for pyramid, choice in listed)
    pyramids = [pyramid for pyramid, _ in listed]
    assert len(pyramids) == len(set(pyramids)) == space.pyramids
    assert set(pyramids) == reachable(space)


def test_groups_of_two_layers_at_least_leave_few_splits() -> None:
    space = SearchSpace(6, (("query",),), (1,), (1,), (0,), FreeSplits((1, 2, 3), min_layers=2))
    assert list(every_split(space)) == [(0, 6), (0, 2, 6), (0, 3, 6), (0, 4, 6), (0, 2, 4, 6)]
