"""The fit of the levels, and the best groups."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msplora_search.compression.factors import Factors, Weights, orthogonal, refitted
from msplora_search.compression.grouping import best_groups, sharing_energies
from msplora_search.compression.levels import Ranks, blank, fit, rounds, squared_error


@given(st.integers(0, 10**6), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_no_round_makes_the_error_larger(seed: int, top: int, mid: int, layer: int) -> None:
    updates = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), torch.arange(5)))
    assert torch.allclose(given.whole, updates)
    ranks = Ranks(top, mid, layer)
    start = blank(given, ranks, ((0, 2), (2, 5)))
    errors = [float((updates**2).sum())]
    for levels in islice(rounds(given, start), 8):
        left = updates - levels.top.whole - levels.mid.whole - levels.layer.whole
        errors.append(squared_error(given, levels))
        assert errors[-1] == pytest.approx(float((left**2).sum()))
        assert torch.linalg.matrix_rank(levels.layer.whole).max() <= layer
        assert torch.equal(levels.mid.whole[2], levels.mid.whole[4])
        assert torch.equal(levels.top.whole[0], levels.top.whole[4])
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(errors))


def test_a_single_level_ends_at_the_truncated_svd() -> None:
    updates = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), torch.arange(5)))
    *_, levels = islice(rounds(given, blank(given, Ranks(0, 0, 2), ((0, 5),))), 200)
    assert squared_error(given, levels) == pytest.approx(float((torch.linalg.svdvals(updates)[:, 2:] ** 2).sum()))


@given(st.integers(0, 10**6), st.integers(1, 7), st.data())
@settings(max_examples=60, deadline=None)
def test_the_groups_are_those_of_brute_force(seed: int, layers: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, min(4, layers)))
    costs = np.random.default_rng(seed).normal(size=(layers, layers + 1))

    def total(groups: tuple[tuple[int, int], ...]) -> float:
        return float(sum(costs[a, b] for a, b in groups))

    every = [tuple(pairwise((0, *cuts, layers))) for cuts in combinations(range(1, layers), count - 1)]
    assert total(best_groups(costs, count)) == pytest.approx(min(map(total, every)))


def test_more_groups_than_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="3 groups of 2 layers"):
        best_groups(np.zeros((2, 3)), 3)


def test_the_energy_that_sharing_explains_is_what_the_shared_matrix_takes_away() -> None:
    updates = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = sharing_energies(updates)
    u, s, v = torch.linalg.svd(updates[1:4].mean(0), full_matrices=False)
    best = (u[:, :2] * s[:2]) @ v[:2]
    left = ((updates[1:4] - best) ** 2).sum()
    assert found[1, 4, 2] == pytest.approx(float((updates[1:4] ** 2).sum() - left))


def weights_of(seed: int, layers: int, size: int) -> Weights:
    """Moments of few inputs, which weigh the directions of each layer very differently."""
    inputs = torch.randn(
        layers, 2 * size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    inputs = inputs * torch.logspace(-1, 1, size, dtype=torch.float64).roll(seed % size)
    return Weights(inputs.mT @ inputs)


def error_of(left: torch.Tensor, weights: Weights) -> float:
    return float((left @ weights.moments * left).sum())


@given(st.integers(0, 10**6), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_no_step_makes_the_weighted_error_larger(seed: int, top: int, mid: int, layer: int, cut: int) -> None:
    updates = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), torch.arange(5)))
    weights = weights_of(seed, 5, 4)
    levels = blank(given, Ranks(top, mid, layer), ((0, cut), (cut, 5)), weights)
    errors = [error_of(updates, weights)]
    for _ in range(6):
        for name, others in (("top", ("mid", "layer")), ("mid", ("top", "layer")), ("layer", ("top", "mid"))):
            fixed = tuple(getattr(levels, other) for other in others)
            levels = replace(levels, **{name: refitted(given, getattr(levels, name), fixed, weights)})
            left = updates - levels.top.whole - levels.mid.whole - levels.layer.whole
            errors.append(error_of(left, weights))
            assert squared_error(given, levels, weights) == pytest.approx(errors[-1], abs=1e-9 * errors[0])
    assert all(b <= a * (1 + 1e-9) + 1e-9 * errors[0] for a, b in pairwise(errors))


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_without_sharing_the_weighted_fit_is_the_svd_of_the_whitened_updates(seed: int, rank: int) -> None:
    updates = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), torch.arange(5)))
    weights = weights_of(seed, 5, 4)
    levels = fit(given, Ranks(0, 0, rank), ((0, 5),), weights=weights)
    values = torch.linalg.svdvals(updates @ torch.linalg.cholesky(weights.moments))
    assert squared_error(given, levels, weights) == pytest.approx(float((values[:, rank:] ** 2).sum()), rel=1e-6)


def test_one_shared_matrix_is_that_of_weighted_least_squares() -> None:
    updates = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(3, 4, 4), torch.arange(3)))
    weights = weights_of(5, 3, 4)
    levels = fit(given, Ranks(4, 0, 0), ((0, 3),), weights=weights)
    best = (updates @ weights.moments).sum(0) @ torch.linalg.inv(weights.moments.sum(0))
    assert torch.allclose(levels.top.whole[1], best)


def test_equal_weights_change_nothing() -> None:
    updates = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), torch.arange(5)))
    ranks, groups = Ranks(1, 1, 1), ((0, 2), (2, 5))
    plain = fit(given, ranks, groups)
    weighted = fit(given, ranks, groups, weights=Weights(3 * torch.eye(4, dtype=torch.float64).expand(5, 4, 4)))
    for one, other in zip(plain.all, weighted.all, strict=True):
        assert torch.allclose(one.whole, other.whole)


def test_a_group_without_a_site_of_a_family_is_left_alone() -> None:
    updates = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(3, 4, 4), torch.arange(3)))
    for weights in (None, weights_of(1, 3, 4)):
        levels = fit(given, Ranks(0, 4, 0), ((0, 2), (2, 2), (2, 3)), weights=weights)
        assert torch.allclose(levels.mid.whole[2], updates[2])
        assert torch.equal(levels.mid.whole[0], levels.mid.whole[1])


@given(st.integers(0, 10**6), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.booleans())
@settings(max_examples=30, deadline=None)
def test_shared_levels_beside_a_layer_level_never_harm(
    seed: int, top: int, mid: int, layer: int, is_weighted: bool
) -> None:
    updates = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    given = orthogonal(Factors(updates, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), torch.arange(5)))
    weights, groups = weights_of(seed, 5, 4) if is_weighted else None, ((0, 2), (2, 5))
    alone, beside = (
        squared_error(given, fit(given, ranks, groups, 2, weights), weights)
        for ranks in (Ranks(0, 0, layer), Ranks(top, mid, layer))
    )
    assert beside <= alone * (1 + 1e-9)
