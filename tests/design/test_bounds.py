"""No pyramid and no space takes long: what would is refused, whoever wrote it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.design.depth import MOST_LAYERS, MOST_RANK, DepthGroup, split_by_fractions, split_evenly
from msplora_search.design.pyramid import MOST_TARGETS, Pyramid
from msplora_search.design.scaling import MOST_ALPHA
from msplora_search.settings import SpaceSettings

GOOD = Pyramid.geometric(8, 6).to_json()
GROUP = {"start": 0, "stop": 6, "mid_rank": 1, "layer_rank": 1}
SECONDS = 15
"""That counting may take on a machine that does other things too; alone it takes one or two."""


@given(st.integers(MOST_LAYERS + 1, 10**30), st.integers(MOST_RANK + 1, 10**30))
def test_depth_and_ranks_have_bounds(layers: int, rank: int) -> None:
    for build in (
        lambda: DepthGroup(0, layers, 1, 1),
        lambda: DepthGroup(0, 6, rank, 1),
        lambda: DepthGroup(0, 6, 1, rank),
        lambda: Pyramid(rank, [DepthGroup(0, 6, 1, 1)], ["q"]),
        lambda: Pyramid.lora(rank, 6, ["q"]),
        lambda: Pyramid.lora(8, layers, ["q"]),
        lambda: Pyramid.geometric(8, layers),
        lambda: Pyramid.geometric(8, 6).at_depth(layers),
        lambda: split_evenly(layers, 3),
        lambda: split_by_fractions([1, 1], layers),
    ):
        with pytest.raises(ValueError, match="at most"):
            build()


def test_the_bounds_themselves_are_allowed_and_take_no_time() -> None:
    began = time.monotonic()
    groups = [DepthGroup(i, i + 1, i % 3, MOST_RANK - i) for i in range(MOST_LAYERS)]
    targets = [f"t{i}" for i in range(MOST_TARGETS)]
    pyramid = Pyramid(MOST_RANK, groups, targets, {"global": MOST_ALPHA, "mid": 1, "layer": 2})
    assert Pyramid.from_json(pyramid.to_json()) == pyramid
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": [{**GROUP, "stop": 10**6}]}, "depth group stop is 1000000; it must be 0 or more, and at most"),
        ({"groups": [{**GROUP, "stop": 10**5000}]}, "stop is a number of more than 40 digits"),
        ({"groups": [{**GROUP, "mid_rank": 10**9}]}, "mid_rank is 1000000000; it must be 0 or more, and"),
        ({"groups": [{**GROUP, "start": False}]}, "start is False; it must be a whole number"),
        ({"groups": [{**GROUP, "stop": 6.0}]}, "stop is 6.0; it must be a whole number"),
        ({"groups": [{**GROUP, "stop": [[[6]]]}]}, "stop is [[[6]]]; it must be a whole number"),
        ({"groups": [GROUP] * 10**5}, "pyramid has 100,000 groups; there must be at most 1,024"),
        ({"groups": {"0": GROUP}}, "pyramid groups is {'0': {"),
        ({"global_rank": 10**400}, "global_rank is a number of more than 40 digits"),
        ({"global_rank": -(10**400)}, "global_rank is a number of more than 40 digits"),
        ({"targets": {"query": 1}}, "pyramid targets is {'query': 1}; it must be a list"),
        ({"targets": ["q"] * 10**6}, "there must be at most 1,024"),
        ({"targets": ["q" * 300]}, "each of at most 255 characters"),
        ({"targets": ["q\x1b[31m", 3]}, r"targets is ['q\x1b[31m', 3]"),
        ({"alpha": True}, "alpha of every level is True"),
        ({"alpha": float("nan")}, "it must be a positive number up to 1,000,000"),
        ({"alpha": float("inf")}, "must be a positive number up to 1,000,000"),
        ({"alpha": 10**400}, "alpha of every level is too large"),
        ({"alpha": {"global": 1e30, "mid": 1, "layer": 1}}, "alpha of global level is too large"),
        ({"x" * 10**6: 1}, "pyramid has unknown fields"),
    ],
)  # fmt: skip
def test_hostile_json_is_refused_at_once_in_a_short_line(change: dict[str, Any], said: str) -> None:
    began = time.monotonic()
    with pytest.raises((ValueError, TypeError)) as caught:
        Pyramid.from_json({**GOOD, **change})
    assert time.monotonic() - began < 2
    assert said in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_groups_without_end_are_refused() -> None:
    def endless() -> Any:
        yield DepthGroup(0, 1, 1, 1)
        while True:
            yield DepthGroup(1, 2, 1, 1)

    with pytest.raises(ValueError, match="overlaps"):
        Pyramid(1, endless(), ["q"])


RANKS = list(range(64))
LARGE = [
    {},
    {"per_group": {"mid_rank": True}},
    {"per_group": {"layer_rank": True}},
    {"per_group": {"mid_rank": True, "layer_rank": True}},
    {"groups": {"count": list(range(1, 65))}},
    {"groups": {"count": list(range(1, 65))}, "per_group": {"mid_rank": True, "layer_rank": True}},
    {"groups": {"boundaries": [[1] * (i % 40 + 1) + [i + 1] for i in range(1_024)]}},
    {"groups": {"count": [64], "min_layers": 16}},
]


@pytest.mark.parametrize("layers", [96, MOST_LAYERS])
@pytest.mark.parametrize("fields", LARGE, ids=range(len(LARGE)))
def test_a_space_at_its_bounds_is_spoken_of_at_once(fields: dict[str, Any], layers: int) -> None:
    began = time.monotonic()
    settings = SpaceSettings.model_validate(
        {"global_rank": RANKS, "mid_rank": RANKS, "layer_rank": RANKS, **fields}
    )
    if fields.get("groups", {}).get("min_layers") and layers == 96:
        return
    space = settings.for_depth(layers, 1e-3)
    assert space.size is None
    assert space.extent == "more configurations than can be counted"
    assert space.contains(Pyramid.from_split((8, 4, 2), (0, layers), ["query", "value"])) in (True, False)
    assert time.monotonic() - began < SECONDS


def test_listed_ranks_at_their_bounds_are_spoken_of_at_once() -> None:
    began = time.monotonic()
    ranks = [[i, i % 7, i % 11] for i in range(1, 1_025)]
    space = SpaceSettings.model_validate({"ranks": ranks}).for_depth(96, 1e-3)
    assert "configurations" in space.extent
    assert time.monotonic() - began < SECONDS


def test_many_listed_splits_are_counted_by_building_them() -> None:
    splits = [[a, b, 24 - a - b] for a in range(1, 6) for b in range(1, 6)]
    space = SpaceSettings.model_validate({"groups": {"boundaries": splits}}).for_depth(24, 1e-3)
    assert space.pyramids is not None
    choices = {
        Pyramid.from_split((g, m, r), split, ["q"])
        for split in space.splits  # type: ignore[union-attr]
        for g in space.global_rank for m in space.mid_rank for r in space.layer_rank if g or m or r
    }  # fmt: skip
    assert space.pyramids == len(choices)


def test_the_extent_of_a_space_is_for_people() -> None:
    def extent(**fields: Any) -> str:
        return SpaceSettings.model_validate(fields).for_depth(6, 1e-3).extent

    one = {"ranks": [[8, 4, 2]], "groups": {"count": [3], "boundaries": "uniform"}}
    assert extent(**one, learning_rate=[1e-3, 2e-3]) == "2 configurations"
    assert extent(**one, learning_rate={"low": 1e-4, "high": 1e-2}) == "1 pyramids times a range of rates"
