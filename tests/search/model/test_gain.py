"""The closed form of what a configuration adds to a front, against sums over a fine grid and draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from msplora_search.results import pareto
from msplora_search.search.model.gain import Envelope, Floats

FLOOR, OVER = 0.5, (100.0, 10_000.0)
GRID = np.exp(np.linspace(np.log(OVER[0]), np.log(OVER[1]), 4_001))
points = st.lists(st.tuples(st.floats(0.3, 1.0), st.floats(50.0, 20_000.0)), max_size=6)


def mean_height(metrics: Floats, costs: Floats) -> float:
    return float(np.maximum(FLOOR, pareto.envelope(metrics, costs, GRID)).mean())


def envelope(drawn: list[tuple[float, float]]) -> tuple[Envelope, Floats, Floats]:
    metrics, costs = np.array([m for m, _ in drawn]), np.array([c for _, c in drawn])
    return Envelope.of(metrics, costs, FLOOR, OVER), metrics, costs


@given(points, st.floats(0.3, 1.1), st.floats(50.0, 20_000.0))
def test_a_metric_that_is_certain_adds_the_area_that_it_adds(
    drawn: list[tuple[float, float]], metric: float, cost: float
) -> None:
    step, metrics, costs = envelope(drawn)
    added = mean_height(np.append(metrics, metric), np.append(costs, cost)) - mean_height(metrics, costs)
    found = step.expected_gain(np.array([metric]), np.array([0.0]), np.array([cost]))[0]
    assert found == pytest.approx(added, abs=2e-3)


@given(points, st.floats(0.4, 1.0), st.floats(0.001, 0.1), st.floats(50.0, 20_000.0))
def test_an_uncertain_metric_adds_the_mean_over_its_draws(
    drawn: list[tuple[float, float]], mean: float, sd: float, cost: float
) -> None:
    step, _, _ = envelope(drawn)
    draws = mean + sd * ndtri((np.arange(20_000) + 0.5) / 20_000)
    each = step.expected_gain(draws, np.zeros(len(draws)), np.full(len(draws), cost))
    found = step.expected_gain(np.array([mean]), np.array([sd]), np.array([cost]))[0]
    assert found == pytest.approx(each.mean(), abs=1e-3 * sd)


@given(points)
def test_its_height_is_the_best_metric_at_no_more_cost(drawn: list[tuple[float, float]]) -> None:
    step, metrics, costs = envelope(drawn)
    assert step.at(GRID[::100]) == pytest.approx(np.maximum(FLOOR, pareto.envelope(metrics, costs, GRID[::100])))


def test_the_cheaper_of_two_alike_is_worth_more() -> None:
    step, _, _ = envelope([(0.8, 1_000.0)])
    cheap, dear = step.expected_gain(np.array([0.81, 0.81]), np.array([0.01, 0.01]), np.array([200.0, 2_000.0]))
    assert cheap > dear


def test_a_range_of_one_cost_counts_the_metric_there() -> None:
    step = Envelope.of(np.array([0.6]), np.array([100.0]), FLOOR, (100.0, 100.0))
    assert step.expected_gain(np.array([0.7]), np.array([0.0]), np.array([100.0]))[0] == pytest.approx(0.1)
