from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.design.depth import DepthGroup, rescale_boundaries, split_by_fractions, split_evenly
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from tests.strategies import RawPyramid, all_boundaries, boundaries, pyramids, raw_pyramids

ROBERTA = {"query": (768, 768), "value": (768, 768)}
QV = ("query", "value")
LLAMA2_7B = {"q_proj": (4096, 4096), "v_proj": (4096, 4096)}

Adapters = Counter[tuple[tuple[int, ...], int, float]]


def adapters_of(raw: RawPyramid) -> Adapters:
    """The model as it is defined: (member layers, rank, factor) of every adapter of one target."""
    layers = tuple(range(raw.groups[-1].stop))
    over_all, mid, layer = raw.alphas
    found: Adapters = Counter()
    if raw.global_rank:
        found[layers, raw.global_rank, raw.factor(over_all, raw.global_rank)] += 1
    for group in raw.groups:
        members = tuple(range(group.start, group.stop))
        if group.mid_rank:
            found[members, group.mid_rank, raw.factor(mid, group.mid_rank)] += 1
        if group.layer_rank:
            for member in members:
                found[(member,), group.layer_rank, raw.factor(layer, group.layer_rank)] += 1
    return found


def raw_of(pyramid: Pyramid) -> RawPyramid:
    over_all, mid, layer = (alpha or 1.0 for alpha in pyramid.alpha.levels)
    return RawPyramid(
        pyramid.global_rank, pyramid.groups, (over_all, mid, layer), pyramid.targets, pyramid.scaling
    )


def every_raw(layers: int, ranks: tuple[int, ...], alphas: tuple[float, ...]) -> list[RawPyramid]:
    found = []
    for groups in range(1, layers + 1):
        for split in all_boundaries(layers, groups):
            pairs = product(product(ranks, ranks), repeat=groups)
            for chosen, over_all, mid, own, rank in product(pairs, alphas, alphas, alphas, ranks):
                stack = tuple(DepthGroup(a, b, *p) for (a, b), p in zip(pairwise(split), chosen, strict=True))
                found += [RawPyramid(rank, stack, (over_all, mid, own), scaling=scaling) for scaling in Scaling]
    return [raw for raw in found if not raw.is_empty]


@pytest.mark.parametrize(
    ("layers", "ranks", "alphas"),
    [(1, (0, 1, 2), (8.0, 16.0)), (2, (0, 1, 2), (8.0, 16.0)), (3, (0, 1), (8.0, 16.0)), (3, (0, 1, 2), (16.0,))],
)
def test_configurations_are_equal_exactly_when_they_build_the_same_model(
    layers: int, ranks: tuple[int, ...], alphas: tuple[float, ...]
) -> None:
    form_of: dict[frozenset[tuple[Any, int]], Pyramid] = {}
    model_of: dict[Pyramid, frozenset[tuple[Any, int]]] = {}
    for raw in every_raw(layers, ranks, alphas):
        model, form = frozenset(adapters_of(raw).items()), raw.build()
        assert form_of.setdefault(model, form) == form, raw
        assert model_of.setdefault(form, model) == model, raw


@given(raw_pyramids())
def test_the_canonical_form_has_the_same_adapters_and_is_its_own_form(raw: RawPyramid) -> None:
    form = raw.build()
    assert adapters_of(raw_of(form)) == adapters_of(raw)
    again = Pyramid(form.global_rank, form.groups, form.targets, form.alpha, form.scaling)
    assert again == form
    assert hash(again) == hash(form)


@given(raw_pyramids(ranks=st.sampled_from([0, 1, 2])), st.data())
def test_a_boundary_between_equal_layers_without_mid_level_vanishes(raw: RawPyramid, data: st.DataObject) -> None:
    split = []
    for group in raw.groups:
        cuts = data.draw(boundaries(group.layers)) if group.mid_rank == 0 else (0, group.layers)
        split += [DepthGroup(group.start + a, group.start + b, 0, group.layer_rank) for a, b in pairwise(cuts)]
        if group.mid_rank:
            split[-1] = group
    finer = RawPyramid(raw.global_rank, tuple(split), raw.alphas, scaling=raw.scaling)
    assert finer.build() == raw.build()


def test_an_absent_level_has_no_scaling() -> None:
    one = Pyramid(4, [DepthGroup(0, 6, 0, 2)], ["query"], {"global": 16, "mid": 3, "layer": 8})
    other = Pyramid(4, [DepthGroup(0, 6, 0, 2)], ["query"], {"global": 16, "layer": 8})
    assert one == other
    assert one.alpha.mid_level is None


@pytest.mark.parametrize(("scaling", "factors"), [("standard", (16, 4, 2)), ("rank-stabilised", (16, 8, 32**0.5))])
def test_scalings_are_those_of_their_papers(scaling: str, factors: tuple[float, ...]) -> None:
    assert [Scaling(scaling).factor(16, rank) for rank in (1, 4, 8)] == pytest.approx(factors)


@given(raw_pyramids())
def test_both_scalings_are_one_exactly_where_no_rank_exceeds_1(raw: RawPyramid) -> None:
    one, other = (replace(raw, scaling=scaling).build() for scaling in Scaling)
    assert (one == other) == (one.largest_rank == 1)
    assert one == replace(other, scaling=Scaling.STANDARD)


def test_every_way_to_make_a_pyramid_takes_a_scaling() -> None:
    made = [
        Pyramid.geometric(8, 6, scaling="rank-stabilised"),
        Pyramid.from_split((8, 4, 2), (0, 2, 4, 6), QV, scaling=Scaling.RANK_STABILISED),
        Pyramid.geometric(8, 12, scaling="rank-stabilised").at_depth(6),
    ]
    assert made == [Pyramid(8, Pyramid.geometric(8, 6).groups, QV, 16, "rank-stabilised")] * 3
    lora = Pyramid.lora(8, 6, QV, scaling="rank-stabilised")
    assert lora == Pyramid.from_split((0, 0, 8), (0, 6), QV, scaling="rank-stabilised") != Pyramid.lora(8, 6, QV)


def test_targets_are_a_set() -> None:
    assert Pyramid.lora(2, 6, ["value", "query", "value"]) == Pyramid.lora(2, 6, ["query", "value"])


@given(pyramids())
def test_the_count_is_the_sum_over_adapters(pyramid: Pyramid) -> None:
    shapes = {"query": (7, 5), "value": (3, 11)}
    ranks = sum(rank * times for (_, rank, _), times in adapters_of(raw_of(pyramid)).items())
    assert pyramid.count(shapes) == (12 + 14) * ranks


def test_counts_of_the_paper() -> None:
    assert Pyramid.geometric(8, layers=12).count(ROBERTA) == 135_168
    assert Pyramid.lora(8, 12, ROBERTA).count(ROBERTA) == 294_912
    assert Pyramid.geometric(64, layers=32, targets=LLAMA2_7B).count(LLAMA2_7B) == 11_010_048
    assert Pyramid.lora(64, 32, LLAMA2_7B).count(LLAMA2_7B) == 33_554_432


def test_geometric_is_the_papers_rule() -> None:
    pyramid = Pyramid.geometric(8, layers=12, groups=3)
    assert pyramid.global_rank == 8
    assert pyramid.groups == (DepthGroup(0, 4, 4, 2), DepthGroup(4, 8, 4, 2), DepthGroup(8, 12, 4, 2))
    assert (pyramid.targets, pyramid.alpha.levels) == (("query", "value"), (16, 16, 16))
    assert pyramid.scaling is Scaling.STANDARD


@given(pyramids())
def test_json_round_trip(pyramid: Pyramid) -> None:
    written = pyramid.to_json()
    assert Pyramid.from_json(json.loads(json.dumps(written))) == pyramid
    assert ("scaling" in written) == (pyramid.scaling is not Scaling.STANDARD)
    assert Pyramid.from_json({"scaling": "standard", **written}) == pyramid


GOOD = Pyramid.geometric(8, 6).to_json()
GROUP = {"start": 0, "stop": 6, "mid_rank": 1, "layer_rank": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": None}, "groups is None"),
        ({"groups": [3]}, "group 0 is 3"),
        ({"groups": [{**GROUP, "mid_rank": "4"}]}, "mid_rank is '4'"),
        ({"groups": [{**GROUP, "layer_rank": -1}]}, "layer_rank is -1"),
        ({"groups": [{**GROUP, "start": 1}]}, "leaves a gap"),
        ({"groups": [GROUP, {**GROUP, "start": 5, "stop": 7}]}, "overlaps"),
        ({"groups": [{**GROUP, "stop": 0}]}, "holds no layer"),
        ({"groups": []}, "at least one depth group"),
        ({"groups": [{"start": 0, "stop": 6}]}, "lacks ['mid_rank', 'layer_rank']"),
        ({"targets": "query"}, "targets is 'query'"),
        ({"targets": 4}, "targets is 4"),
        ({"targets": [4]}, "targets is [4]"),
        ({"targets": []}, "targets is []"),
        ({"alpha": [16]}, "alpha of every level is [16]"),
        ({"alpha": "16"}, "alpha of every level is '16'"),
        ({"alpha": {"mid": None}}, "alpha of mid level is None"),
        ({"alpha": {"top": 1}}, "unknown levels ['top']"),
        ({"alpha": {"global": 16}}, "the mid level has a rank but no alpha"),
        ({"alpha": 0}, "must be a positive number"),
        ({"alpha": float("nan")}, "must be a positive number"),
        ({"global_rank": True}, "global_rank is True"),
        ({"global_rank": 1.0}, "global_rank is 1.0"),
        (
            {"extra": 1},
            "unknown fields ['extra']; it has ['global_rank', 'groups', 'targets', 'alpha', 'scaling']",
        ),
        ({"scaling": "rslora"}, "scaling is 'rslora'; it must be standard or rank-stabilised"),
        ({"scaling": None}, "scaling is None; it must be standard or rank-stabilised"),
        ({"scaling": ["standard"]}, "scaling is ['standard']; it must be"),
    ],
)
def test_wrong_json_is_refused_by_field_and_value(change: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Pyramid.from_json({**GOOD, **change})
    assert said in str(caught.value)


def test_a_pyramid_that_adapts_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="every rank is 0"):
        Pyramid(0, [DepthGroup(0, 6, 0, 0)], ["query"])


@given(pyramids(), st.integers(1, 40))
def test_another_depth_keeps_ranks_and_fractions(pyramid: Pyramid, layers: int) -> None:
    if layers < len(pyramid.groups):
        with pytest.raises(ValueError, match="do not fit"):
            pyramid.at_depth(layers)
        return
    moved = pyramid.at_depth(layers)
    assert moved.layers == layers
    for multiple in (2, 3):
        scaled = pyramid.at_depth(pyramid.layers * multiple)
        if pyramid.layers > 1 and not any(group.layers == 1 for group in pyramid.groups):
            stops = [group.stop * multiple for group in pyramid.groups]
            assert [group.stop for group in scaled.groups] == stops


@given(st.integers(1, 40), st.data())
def test_splits_partition_the_layers(layers: int, data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, layers))
    parts = data.draw(st.lists(st.floats(0.01, 100), min_size=groups, max_size=groups))
    for split in (split_evenly(layers, groups), split_by_fractions(parts, layers)):
        assert (split[0], split[-1], len(split)) == (0, layers, groups + 1)
        assert all(a < b for a, b in pairwise(split))


def test_splits_round_to_the_nearest_layer() -> None:
    assert split_by_fractions((40, 40, 20), 12) == (0, 5, 10, 12)
    assert split_by_fractions((33, 33, 34), 12) == (0, 4, 8, 12)
    assert rescale_boundaries((0, 2, 6), 32) == (0, 11, 32)


@pytest.mark.parametrize("parts", [[], [1, 0], [1, -1], [float("nan"), 1]])
def test_a_split_without_depth_is_refused(parts: list[float]) -> None:
    with pytest.raises(ValueError, match="not positive"):
        split_by_fractions(parts, 6)


def test_more_groups_than_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="4 depth groups do not fit 3 layers"):
        split_evenly(3, 4)


def test_the_short_form_is_for_people() -> None:
    assert str(Pyramid.geometric(8, 12)) == "8/4/2 in 0:4 4:8 8:12"
    assert str(Pyramid.lora(8, 12, ["query"])) == "0/0/8"
    assert str(Pyramid(1, [DepthGroup(0, 2, 2, 0), DepthGroup(2, 6, 0, 1)], ["q"])) == "1/(2,0)/(0,1) in 0:2 2:6"


def test_a_pyramid_is_found_in_another_process() -> None:
    """Hashes of texts differ from process to process, so a hash that was computed must not travel."""
    pyramid = Pyramid.geometric(8, layers=12)
    assert {pyramid: 1}[pyramid] == 1
    probe = (
        "import pickle, sys; from msplora_search.design.pyramid import Pyramid; "
        "one = pickle.load(sys.stdin.buffer); print(one in {Pyramid.geometric(8, layers=12)})"
    )
    command, told = [sys.executable, "-c", probe], pickle.dumps(pyramid)
    found = subprocess.run(command, input=told, capture_output=True, check=True)
    assert found.stdout.split() == [b"True"]
