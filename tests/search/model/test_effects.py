"""Shares of functions whose analysis of variance is known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msplora_search.design.space import SearchSpace, Shape
from msplora_search.design.splits import FreeSplits
from msplora_search.search.model.candidates import Ground
from msplora_search.search.model.effects import Effects, Shares
from msplora_search.search.model.features import Candidate, Features
from tests.design.test_space import SLOW_TO_DRAW
from tests.strategies import search_spaces

TARGETS = (("query",), ("query", "value"))
RATES = (1e-3, 2e-3, 4e-3)
SPACE = SearchSpace(
    6, TARGETS, (0, 1, 2, 4), (1, 2, 4), (0, 1, 2), FreeSplits((2, 3), 2), alpha=(8.0, 16.0), learning_rate=RATES
)
"""Whose groups have two layers at least, so that no level can stand for another."""


def ground(space: SearchSpace, limit: int | None = None) -> Ground:
    return Ground(space, lambda p: 10 * p.rank_units * len(p.targets), Features.of(space.targets), limit)


def effects(space: SearchSpace = SPACE, limit: int | None = None) -> Effects:
    found = Effects.of(ground(space, limit))
    assert found is not None
    return found


EFFECTS = effects()


def shares(of: Callable[[Candidate], float], on: Effects = EFFECTS) -> tuple[dict[str, float], Shares]:
    """What each factor explains alone, and all that is found."""
    found = on.shares(np.array([[of(one) for one in on.configurations]]))
    return dict(zip(on.factors, found.alone[0], strict=True)), found


def total(of: Callable[[Candidate], float], on: Effects = EFFECTS) -> dict[str, float]:
    return dict(zip(on.factors, shares(of, on)[1].total[0], strict=True))


def mid(one: Candidate) -> float:
    return float(np.log2(1 + one.pyramid.groups[0].mid_rank))


def own(one: Candidate) -> float:
    return float(one.pyramid.groups[0].layer_rank)


def test_every_factor_that_varies_is_there_and_no_other() -> None:
    assert EFFECTS.factors == (
        "global rank", "mid rank", "layer rank", "groups", "boundaries", "targets", "alpha", "rate"
    )  # fmt: skip
    plain = SearchSpace(6, TARGETS[:1], (0, 1, 2), (0,), (0, 1), FreeSplits((1, 2, 3)))
    assert effects(plain).factors == ("global rank", "layer rank")
    assert effects(SearchSpace(6, TARGETS[:1], (4,), (2,), (1,), FreeSplits((3,)))).factors == ("boundaries",)
    assert effects(SearchSpace(6, TARGETS[:1], (4,), (2,), (1,), ((0, 3, 6), (0, 2, 4, 6)))).factors == ("groups",)


def test_ranks_that_are_chosen_together_are_one_factor() -> None:
    tied = SearchSpace(
        6,
        TARGETS,
        (4, 8, 16),
        (2, 4, 8),
        (1, 2, 4),
        FreeSplits((1, 2)),
        shape=Shape.GEOMETRIC,
        learning_rate=RATES,
    )
    on = effects(tied)
    assert on.factors == ("ranks", "groups", "boundaries", "targets", "rate")
    assert shares(lambda one: one.pyramid.global_rank, on)[0]["ranks"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("factor", "of"),
    [
        ("mid rank", mid),
        ("layer rank", own),
        ("global rank", lambda one: one.pyramid.global_rank),
        ("groups", lambda one: len(one.pyramid.groups)),
        ("targets", lambda one: len(one.pyramid.targets)),
        ("rate", lambda one: one.rate),
        ("alpha", lambda one: one.pyramid.alpha.to_json()),
    ],
)
def test_what_one_factor_decides_is_its_share_alone(factor: str, of: Callable[[Candidate], float]) -> None:
    alone, found = shares(of)
    assert alone[factor] == pytest.approx(1, abs=1e-6)
    assert found.total.max() == pytest.approx(1, abs=0.25)
    for other, share in alone.items():
        assert other == factor or share < 0.02
        assert other == factor or total(of)[other] < 0.02


@given(st.floats(0.2, 1), st.floats(0.2, 1))
def test_what_two_decide_is_shared_as_their_variances_are(first: float, second: float) -> None:
    alone, _ = shares(lambda one: first * mid(one) + second * np.log2(one.rate))
    parts = first**2 * np.var(np.log2([2, 3, 5])), second**2 * np.var([0, 1, 2])
    assert alone["mid rank"] == pytest.approx(parts[0] / sum(parts), abs=0.05)
    assert alone["rate"] == pytest.approx(parts[1] / sum(parts), abs=0.05)


def test_what_two_decide_only_together_is_in_no_share_alone_but_in_the_total_of_both() -> None:
    def product(one: Candidate) -> float:
        return float(np.log2(one.rate / 2e-3)) * (own(one) - 1)

    alone, found = shares(product)
    assert max(alone.values()) < 0.03
    of = dict(zip(EFFECTS.factors, found.total[0], strict=True))
    assert of["rate"] == pytest.approx(1, abs=0.25)
    assert of["layer rank"] == pytest.approx(1, abs=0.25)
    assert of["mid rank"] < 0.03


def test_boundaries_explain_what_the_number_of_groups_does_not() -> None:
    def first_cut(one: Candidate) -> float:
        return float(one.pyramid.groups[0].stop)

    two, three = np.array([2.0, 3, 4]), np.array([2.0])  # groups of two layers at least, in six
    between = np.var([two.mean(), three.mean()])
    within = (two.var() + three.var()) / 2
    alone, _ = shares(first_cut)
    assert alone["groups"] == pytest.approx(between / (between + within), abs=0.05)
    assert alone["boundaries"] == pytest.approx(within / (between + within), abs=0.05)
    assert total(first_cut)["groups"] == pytest.approx(between / (between + within), abs=0.15)


def test_a_rank_counts_as_often_as_another_however_many_models_it_makes() -> None:
    """With a mid rank there are sixteen ways to cut six layers, without one a single model."""
    on = effects(SearchSpace(6, TARGETS[:1], (1, 2), (0, 4), (0,), FreeSplits((1, 2, 3))))
    there = np.array([float(max(g.mid_rank for g in one.pyramid.groups) > 0) for one in on.configurations])
    listed, drawn = there.mean(), there[on.drawn].mean()
    assert listed > 0.9
    assert drawn == pytest.approx(0.5, abs=0.05)


def test_ranks_by_group_are_seen_by_their_mean_and_their_tilt() -> None:
    space = SearchSpace(
        12, TARGETS[:1], (0, 2), (0, 1, 2, 4), (0, 1, 2), FreeSplits((2, 3), 2), mid_per_group=True,
        layer_per_group=True,
    )  # fmt: skip
    on = effects(space)

    def rises(one: Candidate) -> float:
        return float(one.pyramid.groups[-1].layer_rank - one.pyramid.groups[0].layer_rank)

    alone, _ = shares(rises, on)
    assert alone["layer rank"] > 0.5
    assert max(share for name, share in alone.items() if name != "layer rank") < 0.05


def test_size_explains_what_follows_from_it() -> None:
    _, found = shares(lambda one: np.log(one.params))
    assert found.size[0] > 0.97
    _, found = shares(lambda one: one.rate)
    assert found.size[0] < 0.02


def test_nothing_above_the_limit_counts() -> None:
    on = effects(SPACE, limit=150)
    assert max(one.params for one in on.configurations) <= 150
    assert Effects.of(ground(SPACE, limit=25)) is None


@settings(SLOW_TO_DRAW, max_examples=20)
@given(search_spaces(), st.integers(0, 2**32))
def test_shares_lie_between_nothing_and_all_and_what_stands_still_explains_nothing(
    space: SearchSpace, seed: int
) -> None:
    on = Effects.of(ground(space))
    assert on is not None
    assert all(space.contains(one.pyramid) for one in on.configurations[::40])
    values = np.random.default_rng(seed).normal(size=(3, len(on.configurations)))
    if len(on.configurations) < 2 or not on.factors:
        return
    found = on.shares(values)
    assert found.alone.shape == found.total.shape == (3, len(on.factors))
    assert (found.alone >= 0).all()
    assert (found.alone <= found.total).all()
    assert (found.total <= 1).all()
