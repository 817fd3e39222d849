from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from msplora_search.design.depth import DepthGroup
from msplora_search.design.listing import every_choice, every_split
from msplora_search.design.nearest import Piece, nearest_choice, nearest_cuts, nearest_rate, regrouped
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace, Shape
from msplora_search.design.splits import FreeSplits
from tests.strategies import all_boundaries, depth_groups, pyramids, rank_choices, search_spaces

DRAWN = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
WIDE = SearchSpace(
    layers=12, targets=(("q",),), global_rank=(0, 1, 2, 4, 8), mid_rank=(0, 1, 2, 4, 8), layer_rank=(0, 1, 2, 4),
    splits=FreeSplits((1, 2, 3, 4)), alpha=(8.0, 16.0),
)  # fmt: skip


@DRAWN
@given(pyramids(), search_spaces(), st.data())
def test_what_is_nearest_lies_in_the_space(pyramid: Pyramid, space: SearchSpace, data: st.DataObject) -> None:
    targets = data.draw(st.sampled_from(space.targets))
    choice = nearest_choice(pyramid, space, targets)
    assert choice.targets == targets
    assert choice.boundaries in set(every_split(space))
    assert space.contains(choice.pyramid())


@DRAWN
@given(search_spaces(most_layers=4), st.data())
def test_a_pyramid_of_the_space_stays_as_it_is(space: SearchSpace, data: st.DataObject) -> None:
    assume((space.pyramids or 0) < 500)
    pyramid, choice = data.draw(st.sampled_from(list(every_choice(space))))
    assert nearest_choice(pyramid, space, choice.targets).pyramid() == pyramid


@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 20), st.data())
def test_groups_end_as_near_as_can_be(layers: int, least: int, depth: int, data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, max(1, layers // least)))
    assume(groups * least <= layers)
    drawn = st.lists(st.integers(1, depth), min_size=groups - 1, max_size=groups - 1)
    wanted = [end * layers / depth for end in sorted(data.draw(drawn))]
    found = nearest_cuts(wanted, layers, least)
    allowed = [
        split[1:-1] for split in all_boundaries(layers, groups) if all(b - a >= least for a, b in pairwise(split))
    ]
    assert found in allowed
    assert math.isclose(math.dist(found, wanted), min(math.dist(split, wanted) for split in allowed), abs_tol=1e-9)


@DRAWN
@given(st.data(), st.integers(2, 12), st.integers(2, 12))
def test_at_another_depth_groups_keep_their_fraction_and_their_ranks(
    data: st.DataObject, depth: int, layers: int
) -> None:
    groups = data.draw(depth_groups(depth, st.sampled_from([1, 2, 4]), min(4, depth, layers)))
    assume(all(group.layers > 1 for group in groups))  # of one layer, mid and layer rank are the same
    pyramid = Pyramid(8, groups, ("q",))
    space = replace(
        WIDE, layers=layers, splits=FreeSplits(tuple(range(1, layers + 1))), mid_per_group=True,
        layer_per_group=True,
    )  # fmt: skip
    choice = nearest_choice(pyramid, space, ("q",))
    wanted = [group.stop * layers / depth for group in pyramid.groups[:-1]]
    best = min(math.dist(split[1:-1], wanted) for split in all_boundaries(layers, len(pyramid.groups)))
    assert math.isclose(math.dist(choice.boundaries[1:-1], wanted), best, abs_tol=1e-9)
    moved = zip(pairwise(choice.boundaries), pyramid.groups, strict=True)
    expected = [replace(group, start=a, stop=b) for (a, b), group in moved]
    assert choice.pyramid() == Pyramid(8, expected, ("q",))


@DRAWN
@given(
    st.tuples(*[st.sampled_from([0, 1, 2, 3, 6, 8, 100])] * 3).filter(any),
    st.tuples(rank_choices(), rank_choices(), rank_choices()),
    st.sampled_from(list(Shape)),
)
def test_ranks_are_the_nearest_of_the_shape(
    ranks: tuple[int, int, int], lists: tuple[tuple[int, ...], ...], shape: Shape
) -> None:
    allowed = [found for found in product(*lists) if shape.allows(*found) and any(found)]
    assume(allowed)
    split = (0, 2, 6)
    space = SearchSpace(
        layers=6, targets=(("q",),), global_rank=lists[0], mid_rank=lists[1], layer_rank=lists[2],
        splits=(split,), shape=shape,
    )  # fmt: skip
    choice = nearest_choice(Pyramid.from_split(ranks, split, ("q",)), space, ("q",))

    def apart(found: tuple[int, ...]) -> float:
        return sum(abs(math.log2((1 + a) / (1 + b))) for a, b in zip(found, ranks, strict=True))

    found = (choice.global_rank, choice.mid_ranks[0], choice.layer_ranks[0])
    assert found in allowed
    assert math.isclose(apart(found), min(map(apart, allowed)), abs_tol=1e-9)


def test_thirds_stay_thirds_and_a_rank_between_two_goes_to_the_nearer() -> None:
    paper = Pyramid.geometric(16, layers=24, targets=("q",))
    assert str(nearest_choice(paper, WIDE, ("q",)).pyramid()) == "8/8/4 in 0:4 4:8 8:12"
    assert str(nearest_choice(Pyramid.lora(3, 24, ("q",)), WIDE, ("q",)).pyramid()) == "0/0/4"


def test_in_too_shallow_a_stack_neighbours_share_a_group() -> None:
    groups = [DepthGroup(0, 8, 1, 0), DepthGroup(8, 10, 4, 0), DepthGroup(10, 12, 8, 0)]
    space = replace(WIDE, layers=2, splits=FreeSplits((1, 2)), mid_per_group=True)
    found = nearest_choice(Pyramid(2, groups, ("q",)), space, ("q",)).pyramid()
    assert found == Pyramid(2, [DepthGroup(0, 1, 1, 0), DepthGroup(1, 2, 4, 0)], ("q",))


def test_of_a_space_that_shares_ranks_between_groups_the_deeper_groups_decide() -> None:
    groups = [DepthGroup(0, 2, 8, 0), DepthGroup(2, 12, 1, 0)]
    found = nearest_choice(Pyramid(2, groups, ("q",)), WIDE, ("q",)).pyramid()
    assert str(found) == "2/1/0 in 0:2 2:12"


def test_a_listed_split_is_the_nearest_of_as_many_groups() -> None:
    space = replace(WIDE, splits=((0, 12), (0, 4, 12), (0, 8, 12), (0, 4, 8, 12)))
    halves = Pyramid.from_split((0, 2, 0), (0, 5, 12), ("q",))
    assert nearest_choice(halves, space, ("q",)).boundaries == (0, 4, 12)
    many = Pyramid.from_split((0, 2, 0), (0, 2, 4, 6, 8, 10, 12), ("q",))
    assert nearest_choice(many, space, ("q",)).boundaries == (0, 4, 8, 12)


def test_in_one_group_the_global_level_may_be_the_mid_level() -> None:
    space = replace(WIDE, global_rank=(0,), splits=FreeSplits((1,)))
    assert nearest_choice(Pyramid(3, [DepthGroup(0, 24, 0, 0)], ("q",)), space, ("q",)).mid_ranks == (4,)


def test_missing_groups_come_of_the_deepest() -> None:
    parts = regrouped([Piece(0, 4, (1, 0)), Piece(4, 12, (2, 0))], 3)
    assert parts == [Piece(0, 4, (1, 0)), Piece(4, 8, (2, 0)), Piece(8, 12, (2, 0))]


def test_something_is_adapted_where_nothing_would_be_nearest() -> None:
    space = SearchSpace(4, (("q",),), (0,), (0,), (0, 8), splits=FreeSplits((2,)), layer_per_group=True)
    one = Pyramid(0, [DepthGroup(0, 3, 0, 0), DepthGroup(3, 4, 0, 1)], ("q",))
    assert nearest_choice(one, space, ("q",)).layer_ranks == (0, 8)


def test_the_alpha_is_the_nearest_by_its_logarithm() -> None:
    for alpha, nearest in ((1.0, 8.0), (11.0, 8.0), (12.0, 16.0), (500.0, 16.0)):
        assert nearest_choice(Pyramid.lora(1, 12, ("q",), alpha), WIDE, ("q",)).alpha == nearest
    mixed = Pyramid(4, [DepthGroup(0, 12, 0, 2)], ("q",), {"global": 8.0, "layer": 32.0})
    assert nearest_choice(mixed, WIDE, ("q",)).alpha == 16.0


@pytest.mark.parametrize(
    ("rates", "rate", "nearest"),
    [
        ((1e-3, 4e-3), 1.9e-3, 1e-3),
        ((1e-3, 4e-3), 2.1e-3, 4e-3),
        ((1e-3, 4e-3), 0.5, 4e-3),
        ((1e-3,), 1e-6, 1e-3),
        (LogRange(1e-4, 1e-2), 3e-3, 3e-3),
        (LogRange(1e-4, 1e-2), 0.5, 1e-2),
        (LogRange(1e-4, 1e-2), 1e-6, 1e-4),
    ],
)
def test_the_rate_is_the_nearest_by_its_logarithm(
    rates: tuple[float, ...] | LogRange, rate: float, nearest: float
) -> None:
    assert nearest_rate(rate, replace(WIDE, learning_rate=rates)) == nearest
