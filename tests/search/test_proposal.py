from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msplora_search.design.choice import Choice
from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.design.splits import FreeSplits
from msplora_search.search.baselines import baseline_rates, ladders_sentence, planned_baselines, words_for
from msplora_search.search.proposal import Proposer, spread
from msplora_search.settings.models import SearchSettings
from tests.strategies import search_spaces

DRAWN = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@contextmanager
def quiet() -> Iterator[None]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


def pyramid_of(choice: Choice) -> Pyramid | None:
    empty = not (choice.global_rank or any(choice.mid_ranks) or any(choice.layer_ranks))
    return None if empty else choice.pyramid()


def proposals(space: SearchSpace, sampler: optuna.samplers.BaseSampler, count: int) -> list[Choice]:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    proposer, found = Proposer(space), []
    for _ in range(count):
        trial = study.ask()
        choice, rate = proposer.propose(trial)
        assert space.contains_rate(rate)
        found.append(choice)
        study.tell(trial, (0.5, 1.0))
    return found


@DRAWN
@given(search_spaces(), st.integers(0, 100))
def test_every_proposal_lies_in_its_space(space: SearchSpace, seed: int) -> None:
    for choice in proposals(space, optuna.samplers.RandomSampler(seed=seed), 5):
        pairs = zip(choice.mid_ranks, choice.layer_ranks, strict=True)
        assert all(pair in space.pairs(choice.global_rank) for pair in pairs)
        pyramid = pyramid_of(choice)
        assert pyramid is None or space.contains(pyramid)


@DRAWN
@given(search_spaces(), st.integers(0, 100))
def test_a_choice_goes_into_parameters_and_back(space: SearchSpace, seed: int) -> None:
    proposer = Proposer(space)
    rate = space.learning_rate.low if isinstance(space.learning_rate, LogRange) else space.learning_rate[-1]
    for choice in proposals(space, optuna.samplers.RandomSampler(seed=seed), 3):
        pyramid = pyramid_of(choice)
        if pyramid is not None:
            located = space.locate(pyramid)
            assert located is not None
            fixed = optuna.trial.FixedTrial(proposer.parameters(located, rate))
            assert proposer.propose(fixed) == (located, rate)
            assert located.pyramid() == pyramid


@DRAWN
@given(search_spaces(most_layers=3).filter(lambda space: (space.pyramids or 0) < 100))
def test_every_model_of_a_space_can_be_proposed(space: SearchSpace) -> None:
    proposer = Proposer(space)
    rate = space.learning_rate.low if isinstance(space.learning_rate, LogRange) else space.learning_rate[-1]
    for pyramid, choice in every_choice(space):
        asked = optuna.trial.FixedTrial(proposer.parameters(choice, rate))
        proposed, at = proposer.propose(asked)
        assert (proposed.pyramid(), at) == (pyramid, rate)
        assert asked.distributions == proposer.dimensions


@given(st.integers(1, 4), st.integers(1, 3), st.data())
def test_cuts_in_any_order_become_a_split_and_a_split_stays(groups: int, least: int, data: st.DataObject) -> None:
    layers = data.draw(st.integers(groups * least, 16))
    cuts = data.draw(st.lists(st.integers(0, layers), min_size=groups - 1, max_size=groups - 1))
    found = (0, *spread(cuts, layers, least), layers)
    assert all(b - a >= least for a, b in pairwise(found))
    assert spread(found[1:-1], layers, least) == found[1:-1]


SPACE = SearchSpace(
    layers=6,
    targets=(("query", "value"),),
    global_rank=(0, 1, 8),
    mid_rank=(0, 1, 4),
    layer_rank=(0, 1, 2),
    splits=FreeSplits((1, 2, 3)),
    learning_rate=(1e-3, 2e-3, 4e-3, 8e-3),
)


def test_each_baseline_is_trained_at_three_rates_across_the_range() -> None:
    planned = planned_baselines(SPACE, SearchSettings())
    assert {b.name for b in planned} == {"paper", "lora-1", "lora-2", "lora-4", "lora-8"}
    for name in {b.name for b in planned}:
        assert [b.learning_rate for b in planned if b.name == name] == [1e-3, 4e-3, 8e-3]
    assert planned[0].pyramid == Pyramid.geometric(8, 6)


def test_rates_of_baselines_span_a_range_in_its_own_scale() -> None:
    log, linear = LogRange(1e-4, 1e-2), LogRange(1e-3, 3e-3, log=False)
    assert baseline_rates(space_with(log)) == pytest.approx((1e-4, 1e-3, 1e-2))
    assert baseline_rates(space_with(linear)) == pytest.approx((1e-3, 2e-3, 3e-3))
    assert baseline_rates(space_with((2e-3,))) == (2e-3,)


def space_with(rates: tuple[float, ...] | LogRange) -> SearchSpace:
    return SearchSpace(6, SPACE.targets, (1,), (0,), (0,), SPACE.splits, learning_rate=rates)


def test_baselines_are_as_the_study_names_them() -> None:
    asked = SearchSettings.model_validate({"baselines": [{"lora": [4, 1, 4]}, {"paper": 4}]})
    names = [b.name for b in planned_baselines(space_with((2e-3,)), asked)]
    assert names == ["lora-1", "lora-4", "paper"]
    assert planned_baselines(SPACE, SearchSettings(baselines=())) == []


def test_every_choice_of_targets_has_a_ladder_and_the_first_has_the_papers_pyramid() -> None:
    choices = (("query", "value"), ("key",), ("key", "query", "value"))
    space = replace(space_with((2e-3, 4e-3)), targets=choices)
    asked = SearchSettings.model_validate({"baselines": ["paper", {"lora": [1, 2]}]})
    planned = planned_baselines(space, asked)
    assert [b.name for b in planned[::2]] == [
        "paper", "lora-1", "lora-2", "lora-1@key", "lora-2@key",
        "lora-1@key+query+value", "lora-2@key+query+value",
    ]  # fmt: skip
    assert [b.pyramid.targets for b in planned[::2]] == [choices[0]] * 3 + [choices[1]] * 2 + [choices[2]] * 2
    assert {(b.name, b.learning_rate) for b in planned} == {(b.name, r) for b in planned for r in (2e-3, 4e-3)}
    assert ladders_sentence(planned) == (
        "plain LoRA is trained on each of the 3 choices of targets, as baselines of their own",
    )
    assert ladders_sentence(planned_baselines(SPACE, asked)) == ()
    roles = [("query", "value"), ("key",), ("attention",)]
    assert {b.name.partition("@")[2] for b in planned_baselines(space, asked, roles)} == {"", "key", "attention"}


def test_baselines_have_the_scaling_of_the_space() -> None:
    space = replace(space_with((2e-3,)), alpha=(8.0, 16.0), scaling=Scaling.RANK_STABILISED)
    asked = SearchSettings.model_validate({"baselines": ["paper", {"lora": [1, 4]}]})
    assert [b.pyramid for b in planned_baselines(space, asked)] == [
        Pyramid.geometric(8, 6, alpha=8, scaling="rank-stabilised"),
        Pyramid.lora(1, 6, SPACE.targets[0], 8),
        Pyramid.lora(4, 6, SPACE.targets[0], 8, "rank-stabilised"),
    ]


def test_words_for_targets_are_short_and_no_two_are_alike() -> None:
    long = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert words_for([("query", "value"), ("attention",), long]) == ["query+value", "attention", "q_proj+6"]
    assert words_for([long, ("q_proj",), (long[0], *long[:0:-1])]) == ["targets-1", "q_proj", "targets-3"]
