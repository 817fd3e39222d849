"""What is said to decide a study whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import State
from msplora_search.search.importance import FEWEST, MOST, Importance, importance_of
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import summarise
from msplora_search.settings import load_study
from tests.example import LAYERS, QV, decided, record, results


def by_layer_rank(pyramid: Pyramid) -> float:
    return 80 - 12 * float(np.mean([group.layer_rank for group in pyramid.groups]))


def by_two(pyramid: Pyramid) -> float:
    return by_layer_rank(pyramid) - 9 * float(np.log2(1 + pyramid.global_rank))


def importance(study: StudyResults) -> Importance:
    found = importance_of(study)
    assert found is not None
    return found


def test_what_decides_is_named_with_its_share() -> None:
    found = importance(decided(by_layer_rank))
    assert found.explains
    assert not found.pair
    assert found.told[0].factor == "layer rank"
    assert found.told[0].share > 0.7
    assert found.told[0].interval[0] > max(share.interval[1] for share in found.shares[1:])
    assert {share.factor for share in found.shares} == {
        "global rank", "mid rank", "layer rank", "groups", "boundaries"
    }  # fmt: skip
    assert found.measured == 36
    assert found.together < 0.2


def test_two_that_decide_come_before_all_others() -> None:
    found = importance(decided(by_two, trials=60))
    assert {share.factor for share in found.told[:2]} == {"layer rank", "global rank"}


@pytest.mark.parametrize("trials", [24, 60])
def test_nothing_is_named_where_nothing_decides(trials: int) -> None:
    named = [importance(decided(lambda p, s=s: 70 + s, trials, noise=4.0)).told for s in range(4)]  # type: ignore[misc]
    assert named == [()] * 4


def test_nothing_is_said_of_few_or_equal_metrics_or_of_a_space_that_is_not_known() -> None:
    assert importance_of(decided(by_layer_rank, trials=FEWEST - 1)) is None
    assert importance_of(decided(by_layer_rank, trials=FEWEST)) is not None
    assert importance_of(decided(lambda _: 60, noise=0.0)) is None
    study = decided(by_layer_rank)
    for units in ({}, {"query value": "many"}, {" ": 9216}):
        assert importance_of(replace(study, facts={**study.facts, "lora_units": units})) is None
    too_shallow = load_study("quickstart", ["space.groups={count: [9]}"])
    assert importance_of(replace(study, settings=too_shallow)) is None
    single = load_study("quickstart", ["space={ranks: [[4, 0, 0]]}"])
    assert importance_of(replace(study, settings=single)) is None


def test_what_failed_or_lies_outside_the_space_does_not_count() -> None:
    study = decided(by_layer_rank)
    loud = record(90, Pyramid.lora(8, LAYERS, QV, alpha=64.0), 300)
    failed = replace(study.records[0], number=91, state=State.FAILED, learning_rate=1e-3, curve=())
    for other in (loud, failed, record(92, study.records[1].pyramid, 390, learning_rate=9e-3)):
        assert importance(replace(study, records=(*study.records, other))) == importance(study)


def test_what_was_stopped_counts_as_it_is_expected_to_end() -> None:
    study = decided(by_layer_rank)
    stopped = tuple(
        replace(record, state=State.PRUNED, curve=record.curve[:1]) if record.number % 3 == 0 else record
        for record in study.records
    )
    found = importance(replace(study, records=stopped))
    assert found.measured == 36
    assert found.told[0].factor == "layer rank"


def test_of_very_many_some_are_taken() -> None:
    assert importance(decided(by_layer_rank, trials=MOST + 20)).measured == MOST


def test_it_is_in_the_front_file() -> None:
    study = decided(by_layer_rank)
    told = summarise(study).to_json()["importance"]
    assert [one["factor"] for one in told] == [share.factor for share in importance(study).shares]
    assert set(told[0]) == {"factor", "share", "interval_95", "total"}
    assert told[0]["interval_95"][0] <= told[0]["share"] <= told[0]["interval_95"][1]
    assert summarise(results()).to_json()["importance"] == []
