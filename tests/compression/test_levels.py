"""The fit of the levels, and the best groups."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msplora_search.compression.grouping import best_groups, sharing_energies
from msplora_search.compression.levels import Levels, Ranks, rounds, squared_error, truncated


@given(st.integers(0, 10**6), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_no_round_makes_the_error_larger(seed: int, top: int, mid: int, layer: int) -> None:
    updates = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    zero = torch.zeros_like(updates)
    errors = [squared_error(updates, Levels(zero, zero, zero))]
    for _, levels in zip(
        range(8), rounds(updates, Levels(zero, zero, zero), Ranks(top, mid, layer), ((0, 2), (2, 5))), strict=False
    ):
        errors.append(squared_error(updates, levels))
        assert torch.linalg.matrix_rank(levels.layer).max() <= layer
        assert torch.equal(levels.mid[2], levels.mid[4])
        assert torch.equal(levels.top[0], levels.top[4])
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(errors))


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
    best = truncated(updates[1:4].mean(0), 2)
    left = ((updates[1:4] - best) ** 2).sum()
    assert found[1, 4, 2] == pytest.approx(float((updates[1:4] ** 2).sum() - left))
