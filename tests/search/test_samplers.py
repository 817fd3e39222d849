"""What the samplers propose in a search: by what they see, each configuration once, and to the end of a space."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.loop import PATIENCE, Loop
from msplora_search.search.samplers.library import NSGA2_POPULATION, RANDOM_STARTS
from tests.search.bench import Bench, bench, loop_on, quiet, run

MODELLING = ["tpe", "nsga2", "gp"]
GP = pytest.param("gp", marks=pytest.mark.slow)
EVERY = ["tpe", "nsga2", GP, "random", "brute-force"]
SMALL = "{global_rank: [0, 1], mid_rank: [0, 1], layer_rank: [0, 1, 2], groups: {count: [1, 2]}}"
"""In 6 layers 44 configurations."""


def proposals(records: list[TrialRecord]) -> list[TrialRecord]:
    return [record for record in records if record.baseline is None and record.repeat_of is None]


def require_each_once(made: Bench, records: list[TrialRecord]) -> None:
    assert len(made.trained) == len(set(made.trained))
    assert sorted(map(str, made.trained)) == sorted(
        str((record.pyramid, record.learning_rate, record.seed))
        for record in records
        if not record.state.needs_no_training
    )


def longest_answered(records: list[TrialRecord]) -> int:
    """The most proposals in a row that needed no training."""
    runs = groupby(record.state.needs_no_training for record in proposals(records))
    return max((len(list(run)) for answered, run in runs if answered), default=0)


@pytest.mark.parametrize(
    ("sampler", "count"),
    [
        ("tpe", 200),
        ("nsga2", 200),
        ("random", 200),
        ("brute-force", 200),
        pytest.param("gp", 50, marks=pytest.mark.slow),
    ],
)
def test_so_many_trained_proposals_are_so_many_configurations(tmp_path: Path, sampler: str, count: int) -> None:
    """The Gaussian process takes seconds a proposal."""
    made = bench(sampler=sampler, trials=count)
    loop = loop_on(made, tmp_path)
    records = run(loop)
    require_each_once(made, records)
    assert sum(record.counts for record in proposals(records)) == count
    assert longest_answered(records) <= PATIENCE
    assert loop.reason() == f"{count} proposals trained"
    assert sampler != "brute-force" or len(proposals(records)) == count


@pytest.mark.parametrize("sampler", EVERY)
def test_every_sampler_ends_when_nothing_is_left(tmp_path: Path, sampler: str) -> None:
    made = bench(sampler=sampler, trials=500, space=SMALL)
    loop, size = loop_on(made, tmp_path), made.space().size
    records = run(loop)
    require_each_once(made, records)
    inside = {r.configuration for r in records if r.pyramid is not None and made.space().contains(r.pyramid)}
    assert len(inside) == size
    assert loop.reason() == f"the space is exhausted: all {size} configurations are measured"
    assert not loop.take()


@pytest.mark.parametrize("sampler", EVERY)
def test_every_sampler_ends_when_nothing_is_left_within_max_params(tmp_path: Path, sampler: str) -> None:
    made = bench(sampler=sampler, trials=500, space=SMALL, max_params=400)
    loop = loop_on(made, tmp_path)
    records = run(loop)
    require_each_once(made, records)
    assert all(r.adapter_params <= 400 for r in proposals(records) if r.curve)
    within = {r.configuration for r in records if 0 < r.adapter_params <= 400}
    assert loop.reason() == (
        f"the space is exhausted: all {len(within)} configurations of at most 400 parameters are measured"
    )
    assert len(within) == sum(made.adapter_params(pyramid) <= 400 for pyramid, _ in every_choice(made.space()))
    before = len(records)
    assert len(run(loop_on(made, tmp_path, loop.study))) <= before + PATIENCE


def test_a_space_in_which_nothing_is_small_enough_ends_at_once(tmp_path: Path) -> None:
    loop = loop_on(bench(trials=3, max_params=1, baselines="[]"), tmp_path)
    records = run(loop)
    assert {record.state for record in records} == {State.REFUSED}
    assert len(records) == PATIENCE
    assert loop.reason() == "the space holds no configuration of at most 1 parameter"


class Stubborn(optuna.samplers.BaseSampler):
    """Proposes one and the same for ever."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, _: optuna.Study, __: FrozenTrial, ___: str, dimension: Any) -> Any:
        return dimension.low


@pytest.mark.parametrize("space", [SMALL, "pyramid"])
def test_a_sampler_that_is_stuck_gets_what_is_left(tmp_path: Path, space: str) -> None:
    made = bench(sampler="random", trials=8, space=space)
    loop = loop_on(made, tmp_path)
    loop.view.sampler = Stubborn()
    records = run(loop)
    require_each_once(made, records)
    assert sum(record.counts for record in proposals(records)) == 8
    assert longest_answered(records) == PATIENCE


@pytest.mark.parametrize("sampler", MODELLING)
def test_baselines_outside_the_space_blind_no_sampler(tmp_path: Path, sampler: str) -> None:
    made = bench(sampler=sampler, trials=24)
    loop, other = loop_on(made, tmp_path), loop_on(bench(sampler="random", trials=24), tmp_path)
    records, at_random = run(loop), run(other)
    assert [bool(trial.params) for trial in loop.study.trials[:3]] == [False, True, True]
    starts = NSGA2_POPULATION if sampler == "nsga2" else RANDOM_STARTS
    found, drawn = ([r.configuration for r in proposals(of)] for of in (records, at_random))
    assert found[:starts] == drawn[:starts]
    later = [a == b for a, b in zip(found[starts:24], drawn[starts:24], strict=True)]
    assert sum(later) < len(later) / 2
    with quiet():
        trial = loop.view.ask()
    space = loop.view.sampler.infer_relative_search_space(loop.view, loop.view.get_trials()[-1])
    expected = {name for name, dimension in loop.untried.proposer.dimensions.items() if not dimension.single()}
    assert sampler == "tpe" or set(space) == expected
    assert trial.number == len(records)


@pytest.mark.parametrize("sampler", MODELLING)
def test_random_starts_come_on_top_of_the_baselines_in_the_space(tmp_path: Path, sampler: str) -> None:
    ladder = "[{lora: [1, 2]}, {paper: 8}]"
    few, many = (
        loop_on(bench(sampler=sampler, trials=10, space="pyramid", baselines=baselines), tmp_path)
        for baselines in ("[]", ladder)
    )
    one, other = ([r.configuration for r in proposals(run(loop))] for loop in (few, many))
    assert len(many.baselines) == 9
    assert one[:10] == other[:10]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", GP])
def test_what_fails_is_not_proposed_until_the_budget_is_gone(tmp_path: Path, sampler: str) -> None:
    """A third of the space diverges: the highest of three rates."""

    def fails(_: Pyramid, rate: float) -> bool:
        return rate == 4e-3

    made = bench(fails, sampler=sampler, trials=48, space="pyramid", baselines="[{paper: 8}, {lora: [1, 4]}]")
    loop = loop_on(made, tmp_path)
    late = proposals(run(loop))[-24:]
    assert sum(record.learning_rate == 4e-3 for record in late) < len(late) / 4


def test_brute_force_enumerates_what_it_was_made_for(tmp_path: Path) -> None:
    made = replace(bench(sampler="brute-force", trials=50, space="rank_sensitivity", baselines="[]"), layers=12)
    records = run(loop_on(made, tmp_path))
    assert len(records) == len({record.configuration for record in records}) == made.space().size == 12
    again = run(loop_on(replace(made, trained=[]), tmp_path, seed=1))
    assert [r.configuration for r in again] != [r.configuration for r in records]


def test_a_search_that_goes_on_draws_anew(tmp_path: Path) -> None:
    made = bench(sampler="random", trials=5)
    loop = loop_on(made, tmp_path)
    first = run(loop)
    settings = made.settings.model_copy(update={"search": made.settings.search.model_copy(update={"trials": 10})})
    more: Loop = loop_on(replace(made, settings=settings), tmp_path, loop.study, seed=len(first))
    records = run(more)
    require_each_once(made, records)
    assert sum(record.counts for record in proposals(records)) == 10
    assert records[: len(first)] != records[len(first) :]
