"""The fit of the levels, and the best groups."""

from __future__ import annotations

from itertools import combinations, islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msplora_search.compression.factors import Factors
from msplora_search.compression.family import orthogonal
from msplora_search.compression.grouping import best_groups, sharing_energies
from msplora_search.compression.levels import Ranks, blank, rounds, squared_error


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
