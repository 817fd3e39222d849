from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msplora_search.design.choice import Choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.design.space import LogRange, SearchSpace, Shape, uniform_splits
from msplora_search.design.splits import FreeSplits
from tests.strategies import all_boundaries, search_spaces, uniform_pyramids

SLOW_TO_DRAW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def reachable(space: SearchSpace) -> set[Pyramid]:
    """The canonical pyramids of every choice of the space, by brute force."""
    if isinstance(space.splits, FreeSplits):
        splits = [
            split
            for groups in space.splits.counts
            for split in all_boundaries(space.layers, groups)
            if all(b - a >= space.splits.min_layers for a, b in pairwise(split))
        ]
    else:
        splits = list(space.splits)
    found = set()
    for split in splits:
        groups = len(split) - 1
        mids = per_group(space.mid_rank, groups, space.mid_per_group)
        layers = per_group(space.layer_rank, groups, space.layer_per_group)
        for targets, alpha, over_all, mid, layer in product(
            space.targets, space.alpha, space.global_rank, mids, layers
        ):
            allowed = all(space.shape.allows(over_all, m, r) for m, r in zip(mid, layer, strict=True))
            if allowed and (over_all or any(mid) or any(layer)):
                found.add(Choice(targets, alpha, over_all, split, mid, layer, space.scaling).pyramid())
    return found


def per_group(choices: tuple[int, ...], groups: int, free: bool) -> list[tuple[int, ...]]:
    return list(product(choices, repeat=groups)) if free else [(choice,) * groups for choice in choices]


@SLOW_TO_DRAW
@given(search_spaces())
def test_the_size_is_the_number_of_reachable_models(space: SearchSpace) -> None:
    found = reachable(space)
    assert space.pyramids == len(found)
    if isinstance(space.learning_rate, LogRange):
        assert space.size is None
    else:
        assert space.size == len(found) * len(space.learning_rate)


@SLOW_TO_DRAW
@given(search_spaces(), st.data())
def test_contains_agrees_with_brute_force(space: SearchSpace, data: st.DataObject) -> None:
    found = reachable(space)
    for pyramid in found:
        choice = space.locate(pyramid)
        assert choice is not None
        assert choice.pyramid() == pyramid
    other = data.draw(uniform_pyramids(space.layers))
    assert space.contains(other) == (other in found)


def space_of(**fields: object) -> SearchSpace:
    given_fields: dict[str, object] = {
        "layers": 6,
        "targets": (("query", "value"),),
        "global_rank": (0, 1, 2, 4, 8),
        "mid_rank": (0, 1, 2, 4),
        "layer_rank": (0, 1, 2),
        "splits": FreeSplits((1, 2, 3)),
        **fields,
    }
    return SearchSpace(**given_fields)  # type: ignore[arg-type]


def test_every_split_of_the_depth_is_reachable() -> None:
    space = space_of(splits=FreeSplits((1, 2, 3, 4, 5, 6)))
    for groups in range(1, 7):
        for split in all_boundaries(6, groups):
            assert space.contains(Pyramid.from_split((8, 4, 2), split, ["query", "value"]))


def test_lora_and_the_papers_setting_are_points_of_the_space() -> None:
    space = space_of()
    assert space.contains(Pyramid.geometric(8, 6))
    assert space.contains(Pyramid.lora(2, 6, ["query", "value"]))
    assert not space.contains(Pyramid.lora(8, 6, ["query", "value"]))
    assert not space.contains(Pyramid.geometric(8, 6, targets=["query"]))
    assert not space.contains(Pyramid.geometric(8, 6, alpha=8))
    assert not space.contains(Pyramid.geometric(8, 12))


@SLOW_TO_DRAW
@given(search_spaces())
def test_a_space_of_the_other_scaling_shares_what_has_no_rank_above_1(space: SearchSpace) -> None:
    (scaling,) = set(Scaling) - {space.scaling}
    other = replace(space, scaling=scaling)
    assert other.pyramids == space.pyramids
    found = reachable(space)
    assert {p for p in found if other.contains(p)} == {p for p in found if p.largest_rank == 1}


def test_a_rank_stabilised_space_holds_pyramids_of_its_scaling() -> None:
    space = space_of(scaling=Scaling.RANK_STABILISED)
    assert not space.contains(Pyramid.geometric(8, 6))
    located = space.locate(Pyramid.geometric(8, 6, scaling="rank-stabilised"))
    assert located is not None
    assert located.scaling is Scaling.RANK_STABILISED
    assert space.contains(Pyramid.lora(1, 6, ["query", "value"]))


def test_a_large_space_is_counted_without_listing_it() -> None:
    space = space_of(layers=32, splits=FreeSplits(tuple(range(1, 9))), mid_per_group=True, layer_per_group=True)
    assert space.pyramids is not None
    assert space.pyramids > 10**12


@pytest.mark.parametrize(
    ("shape", "kept", "dropped"),
    [
        (Shape.NON_INCREASING, [(8, 4, 2), (4, 0, 4), (0, 2, 2), (0, 0, 1)], [(2, 4, 1), (4, 0, 8), (0, 1, 2)]),
        (Shape.GEOMETRIC, [(8, 4, 2), (1, 0, 0), (2, 1, 0)], [(8, 4, 4), (0, 0, 2), (8, 2, 2)]),
    ],
)
def test_shapes(shape: Shape, kept: list[tuple[int, int, int]], dropped: list[tuple[int, int, int]]) -> None:
    assert all(shape.allows(*ranks) for ranks in kept)
    assert not any(shape.allows(*ranks) for ranks in dropped)
    assert all(Shape.ANY.allows(*ranks) for ranks in kept + dropped)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"splits": FreeSplits((7, 8))}, "no depth groups fit"),
        ({"splits": FreeSplits((3,), 3)}, "no depth groups fit"),
        ({"splits": ()}, "no split is given"),
        ({"splits": ((0, 3),)}, r"split \[0, 3\] must rise from 0 to the 6 layers"),
        ({"splits": ((0, 4, 2, 6),)}, "must rise"),
        ({"splits": ((1, 6),)}, "must rise"),
        ({"splits": ((6,),)}, "must rise"),
        ({"global_rank": (0,), "mid_rank": (0,), "layer_rank": (0,)}, "adapts anything"),
        ({"global_rank": (0, 8), "mid_rank": (0, 1), "layer_rank": (0, 1), "shape": Shape.GEOMETRIC}, "geometric"),
    ],
)
def test_a_space_of_nothing_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        space_of(**fields)


def test_uniform_splits_leave_out_what_does_not_fit() -> None:
    assert uniform_splits(6, [1, 2, 3, 9]) == ((0, 6), (0, 3, 6), (0, 2, 4, 6))


@SLOW_TO_DRAW
@given(search_spaces(), st.data())
def test_fit_gives_ranks_of_the_shape_and_leaves_those_alone_that_have_it(
    space: SearchSpace, data: st.DataObject
) -> None:
    over_all = data.draw(st.sampled_from(space.fitting_global_ranks))
    groups = data.draw(st.integers(1, 3))
    mids = data.draw(st.sampled_from(per_group(space.mid_rank, groups, space.mid_per_group)))
    layers = data.draw(st.sampled_from(per_group(space.layer_rank, groups, space.layer_per_group)))
    fitted = space.fit(over_all, mids, layers)
    assert all(pair in space.pairs(over_all) for pair in zip(*fitted, strict=True))
    assert fitted[0] in per_group(space.mid_rank, groups, space.mid_per_group)
    assert fitted[1] in per_group(space.layer_rank, groups, space.layer_per_group)
    assert space.fit(over_all, *fitted) == fitted
    if all(pair in space.pairs(over_all) for pair in zip(mids, layers, strict=True)):
        assert fitted == (mids, layers)
