"""Searches that make other costs small than parameters; most pyramids share theirs with others."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from msplora_search.design.costs import Cost, Costs
from msplora_search.errors import InputError
from msplora_search.reporting.report import report_markdown, trials_csv
from msplora_search.results.front_file import load_front_file
from msplora_search.results.records import State
from msplora_search.search.model.candidates import Candidates
from msplora_search.search.model.gain import Envelope
from msplora_search.search.part import ground_of
from msplora_search.search.results import load_results
from msplora_search.search.summary import summarise
from tests.search.bench import bench, loop_on, run
from tests.search.test_study import search

OTHERS = [Cost.BYTES, Cost.UNROLLED_RANK, Cost.FLOPS]
GOLDEN = Path(__file__).parents[1] / "golden" / "older" / "front-0.2.json"


@pytest.mark.parametrize("cost", OTHERS)
@pytest.mark.parametrize("sampler", ["front", "tpe", "nsga2", "random"])
def test_every_sampler_is_told_the_cost_that_is_made_small(tmp_path: Path, cost: Cost, sampler: str) -> None:
    made = bench(sampler=sampler, trials=14, cost=cost.value, max_params=1_500)
    loop = loop_on(made, tmp_path)
    records = {record.number: record for record in run(loop)}
    for record in records.values():
        assert record.costs is not None
        assert (record.adapter_params, record.cost) == (record.costs.params, record.costs.of(cost))
        assert record.state == State.REFUSED or record.baseline or record.adapter_params <= 1_500
    for trial in loop.study.trials:
        if trial.state == TrialState.COMPLETE:
            assert 10 ** trial.values[1] == pytest.approx(max(1, records[trial.number].cost))


@pytest.mark.parametrize("cost", OTHERS)
def test_candidates_rise_in_cost_and_the_dearest_are_worth_something(cost: Cost) -> None:
    made = bench(cost=cost.value)
    ground = ground_of(made, made.space())
    found = Candidates.of(ground)
    assert (np.diff(found.costs) >= 0).all()
    assert [made.costs(one.pyramid).of(cost) for one in found.configurations] == found.costs.tolist()
    low, high = ground.over(found)
    assert low == found.costs.min() > 0
    assert high > found.costs.max()
    envelope = Envelope.of(np.array([0.6]), np.array([low]), 0.5, (low, high))
    gains = envelope.expected_gain(np.full(2, 0.7), np.full(2, 0.01), np.array([low, found.costs.max()]))
    assert gains[0] > gains[1] > 0


def test_parameters_end_where_they_ever_did() -> None:
    made = bench()
    ground = ground_of(made, made.space())
    found = Candidates.of(ground)
    assert ground.over(found) == (found.costs.min(), found.costs.max())
    assert all(one.price is None for one in found.configurations)


def test_a_range_of_one_cost_alone_has_a_gain_too() -> None:
    found = Envelope.of(np.array([0.6]), np.array([4.0]), 0.5, (4.0, 5.0))
    assert found.expected_gain(np.array([0.7]), np.array([0.01]), np.array([4.0])) == pytest.approx(0.1)


@given(cost=st.sampled_from(OTHERS), rank=st.integers(1, 500), unit=st.integers(1, 10**9))
def test_a_range_ends_one_rank_beyond_the_dearest(cost: Cost, rank: int, unit: int) -> None:
    assert cost.beyond(unit * rank, rank) == pytest.approx(unit * (rank + 1))
    assert Cost.PARAMS.beyond(unit * rank, rank) == unit * rank


def test_a_search_by_unrolled_rank_goes_by_it_in_all_that_it_tells(tmp_path: Path) -> None:
    results, _ = search(tmp_path, search={"trials": 8, "sampler": "front", "cost": "unrolled-rank"})
    summary = summarise(results)
    eligible = [(p.metric, p.record.pyramid.unrolled_rank) for p in summary.points if p.record.pyramid]
    best = {(m, c) for m, c in eligible if not any(a >= m and b <= c and (a, b) != (m, c) for a, b in eligible)}
    assert {(p.metric, p.cost) for p in summary.front} == best
    assert all(one.cost < other.cost and one.metric < other.metric for one, other in pairwise(summary.front))
    most = 2 + 1 + 1  # of the space; the paper's baseline has 8 + 4 + 2
    assert results.facts["reference_point"]["log10_unrolled_rank"] == math.log10(max(most, 14) + 1)
    assert all(p.record.cost < 10 ** results.reference_point[1] for p in summary.points)
    told = json.loads(json.dumps(summary.to_json()))
    assert told["cost_is"] == "unrolled-rank"
    assert list(told["reference_point"]) == ["metric", "log10_unrolled_rank"]
    for point, measured in zip(told["front"], summary.front, strict=True):
        assert (point["cost"], point["adapter_params"]) == (measured.cost, measured.params)
        assert point["costs"]["unrolled_rank"] == measured.cost
        assert point["costs"]["params"] == measured.params
    if summary.gain_over_lora:
        assert summary.gain_over_lora.sizes[1] <= 15
    text = report_markdown(summary)
    assert "| unrolled rank | adapter params |" in text
    assert "decades of unrolled ranks" in text
    assert "15 unrolled ranks (plain LoRA of one rank more than" in text
    header, first, *_ = trials_csv(results.records).splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=False))
    assert results.records[0].costs is not None
    assert int(row["unrolled_rank"]) == results.records[0].costs.unrolled_rank == results.records[0].cost
    assert load_results(tmp_path / "out").records[0].costs == results.records[0].costs


def test_a_study_keeps_its_cost(tmp_path: Path) -> None:
    search(tmp_path, search={"trials": 2, "cost": "flops"})
    with pytest.raises(InputError, match=r"search\.cost was 'flops', is 'bytes'"):
        search(tmp_path, search={"trials": 2, "cost": "bytes"})


def test_a_front_of_an_earlier_version_has_its_parameters_as_cost() -> None:
    file = load_front_file(GOLDEN)
    assert file.cost_is is Cost.PARAMS
    for point in (*file.front, *file.lora):
        assert (point.cost, point.costs) == (point.adapter_params, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cost_is": "rank"}, "cost_is is 'rank'; it must be one of params, bytes, unrolled-rank, flops"),
        ({"front": [{"cost": 0}]}, "cost is 0; it must be above 0, and no more than a model has"),
        ({"front": [{"cost": "many"}]}, "cost is 'many'; it must be a whole number"),
        ({"front": [{"costs": {"params": -1}}]}, "params is -1; it must be a whole number"),
    ],
)
def test_a_wrong_cost_in_a_front_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    data = json.loads(GOLDEN.read_text())
    match change:
        case {"front": [dict(fields)]}:
            data["front"][0] |= fields
        case _:
            data |= change
    (tmp_path / "front.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=said):
        load_front_file(tmp_path / "front.json")


@pytest.mark.parametrize(
    ("cost", "one", "several"),
    [
        (Cost.PARAMS, "1 parameters", "1,500 parameters"),
        (Cost.BYTES, "1 byte", "1,500 bytes"),
        (Cost.UNROLLED_RANK, "1 unrolled rank", "1,500 unrolled ranks"),
        (Cost.FLOPS, "1 multiplication a token", "1,500 multiplications a token"),
    ],
)
def test_costs_in_words(cost: Cost, one: str, several: str) -> None:
    assert (cost.told(1), cost.told(1_500)) == (one, several)


@given(st.builds(Costs, *([st.integers(0, 10**12)] * 4)))
def test_costs_are_read_back(costs: Costs) -> None:
    assert Costs.from_json(json.loads(json.dumps(costs.to_json()))) == costs
