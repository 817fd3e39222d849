from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.results import pareto
from tests.strategies import points

Points = list[tuple[float, float]]


def split(pairs: Points) -> tuple[pareto.Floats, pareto.Floats]:
    array = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """`one` dominates `other`."""
    return one[0] >= other[0] and one[1] <= other[1] and one != other


def non_dominated(pairs: Points) -> set[tuple[float, float]]:
    return {p for p in pairs if not any(better(q, p) for q in pairs)}


@given(points())
def test_the_front_is_the_brute_force_front(pairs: Points) -> None:
    chosen = [pairs[i] for i in pareto.front(*split(pairs))]
    assert set(chosen) == non_dominated(pairs)
    assert len(chosen) == len(set(chosen))
    assert [cost for _, cost in chosen] == sorted(cost for _, cost in chosen)


@given(points())
def test_of_equal_points_the_first_is_on_the_front(pairs: Points) -> None:
    for i in pareto.front(*split(pairs)):
        assert pairs.index(pairs[i]) == i


@given(points())
def test_ranks_peel_one_front_after_another(pairs: Points) -> None:
    ranks = pareto.ranks(*split(pairs))
    left, level = list(pairs), 0
    expected: dict[tuple[float, float], int] = {}
    while left:
        peeled = non_dominated(left)
        expected.update(dict.fromkeys(peeled, level))
        left = [p for p in left if p not in peeled]
        level += 1
    assert [expected[p] for p in pairs] == ranks.tolist()


@given(points(), st.lists(st.integers(0, 7).map(float), max_size=4))
def test_the_envelope_is_the_best_affordable_metric(pairs: Points, at: list[float]) -> None:
    found = pareto.envelope(*split(pairs), np.array(at))
    assert found.tolist() == [max((m for m, c in pairs if c <= limit), default=-np.inf) for limit in at]


@given(points())
def test_hypervolume_is_the_area_of_the_dominated_cells(pairs: Points) -> None:
    floor, ceiling = 0.2, 5.0
    cell = 0.2 * 1.0
    expected = sum(
        cell
        for level in range(1, 5)
        for cost in range(1, 5)
        if any(m >= 0.2 * (level + 1) - 1e-9 and c <= cost for m, c in pairs)
    )
    assert pareto.hypervolume(*split(pairs), (floor, ceiling)) == pytest.approx(expected)


@given(points(6), st.tuples(st.sampled_from([0.2, 0.6]), st.integers(1, 6).map(float)))
def test_another_point_never_takes_hypervolume_away(pairs: Points, more: tuple[float, float]) -> None:
    reference = (0.0, 6.0)
    without = pareto.hypervolume(*split(pairs), reference)
    assert pareto.hypervolume(*split([*pairs, more]), reference) >= without - 1e-12


@given(points())
def test_hypervolume_as_points_come_in_is_that_of_those_that_are_there(pairs: Points) -> None:
    reference = (0.5, 6.5)
    found = pareto.hypervolumes(*split(pairs), reference)
    each = [pareto.hypervolume(*split(pairs[:many]), reference) for many in range(1, len(pairs) + 1)]
    assert found.tolist() == each


def test_the_probability_of_a_front_point_counts_resamples() -> None:
    replicates = np.array([[0.5, 0.6], [0.5, 0.4], [0.5, 0.5], [0.7, 0.9]])
    costs = np.array([10.0, 20.0])
    assert pareto.front_probability(replicates, costs).tolist() == [1.0, 0.5]
