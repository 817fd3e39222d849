"""Gain, size ratio and regret against brute force, and the laws that they keep."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.results import pareto
from msplora_search.results.comparing import (
    common_sizes,
    gain,
    gain_draws,
    regret,
    size_ratio,
    size_ratio_draws,
)
from msplora_search.results.pareto import Floats
from tests.results.test_pareto import Points, split
from tests.strategies import points

some = points().filter(bool)
LOW, HIGH, FLOOR = 1.0, 6.0, 0.3


def best_at(pairs: Points, cost: float) -> float:
    return max((m for m, c in pairs if c <= cost), default=-math.inf)


def size_for(pairs: Points, metric: float) -> float:
    return min((c for m, c in pairs if m >= metric), default=math.inf)


def mean_over(ends: list[float], value: dict[float, float]) -> float:
    """Mean of a step function, given its value in the middle of each step."""
    steps = [(b - a, value[(a + b) / 2]) for a, b in pairwise(ends)]
    return sum(width * of for width, of in steps) / (ends[-1] - ends[0])


def steps_within(low: float, high: float, breaks: list[float]) -> tuple[list[float], list[float]]:
    ends = sorted({low, high, *[b for b in breaks if low < b < high]})
    return ends, [(a + b) / 2 for a, b in pairwise(ends)]


def brute_gain(front: Points, ladder: Points, low: float, high: float) -> float:
    if low == high:
        return best_at(front, low) - best_at(ladder, low)
    ends, middles = steps_within(math.log(low), math.log(high), [math.log(c) for _, c in front + ladder])
    return mean_over(ends, {x: best_at(front, math.exp(x)) - best_at(ladder, math.exp(x)) for x in middles})


def brute_ratio(front: Points, ladder: Points) -> float | None:
    low = max(best_at(of, min(c for _, c in of)) for of in (front, ladder))
    high = min(max(m for m, _ in of) for of in (front, ladder))
    if low > high:
        return None
    if low == high:
        return size_for(front, low) / size_for(ladder, low)
    ends, middles = steps_within(low, high, [m for m, _ in front + ladder])
    return math.exp(mean_over(ends, {m: math.log(size_for(front, m) / size_for(ladder, m)) for m in middles}))


@given(some, some)
def test_gain_is_the_mean_height_between_two_staircases(front: Points, ladder: Points) -> None:
    low = max(min(c for _, c in of) for of in (front, ladder))
    high = max(size_for(of, max(m for m, _ in of)) for of in (front, ladder))
    assert common_sizes(*split(front), *split(ladder)) == (low, high)
    assert gain(*split(front), *split(ladder)) == pytest.approx(brute_gain(front, ladder, low, high))


@given(some, some)
def test_size_ratio_is_the_mean_width_between_two_staircases(front: Points, ladder: Points) -> None:
    found, expected = size_ratio(*split(front), *split(ladder)), brute_ratio(front, ladder)
    assert found == (None if expected is None else pytest.approx(expected))


@given(points(), some)
def test_regret_is_the_mean_and_the_largest_height_below_all(tried: Points, rest: Points) -> None:
    every, known = [*tried, *rest, (FLOOR, LOW)], [*tried, (FLOOR, LOW)]
    mean, largest = regret(*split(tried), *split([*tried, *rest]), LOW, HIGH, FLOOR)
    assert mean == pytest.approx(brute_gain(every, known, LOW, HIGH))
    assert largest == pytest.approx(max(best_at(every, c) - best_at(known, c) for c in np.linspace(1, 6, 6)))


@given(some)
def test_a_set_has_no_gain_over_itself(pairs: Points) -> None:
    assert gain(*split(pairs), *split(pairs)) == 0
    assert size_ratio(*split(pairs), *split(pairs)) == 1
    assert regret(*split(pairs), *split(pairs), LOW, HIGH, FLOOR) == (0, 0)


@given(some, some)
def test_one_against_another_is_the_other_against_the_one_reversed(front: Points, ladder: Points) -> None:
    forth, back = gain(*split(front), *split(ladder)), gain(*split(ladder), *split(front))
    assert forth is not None
    assert back == pytest.approx(-forth)
    wider, narrower = size_ratio(*split(front), *split(ladder)), size_ratio(*split(ladder), *split(front))
    assert (wider is None) == (narrower is None)
    if wider is not None:
        assert narrower == pytest.approx(1 / wider)


@given(some, st.floats(-0.5, 0.5))
def test_every_metric_higher_by_d_gains_d(pairs: Points, d: float) -> None:
    metrics, costs = split(pairs)
    assert gain(metrics + d, costs, metrics, costs) == pytest.approx(d)


@given(some, st.floats(0.1, 10))
def test_every_cost_times_k_has_ratio_k(pairs: Points, k: float) -> None:
    metrics, costs = split(pairs)
    assert size_ratio(metrics, costs * k, metrics, costs) == pytest.approx(k)
    assert size_ratio(metrics, costs / 2, metrics, costs) == pytest.approx(0.5, rel=1e-15)


@given(some, some, st.floats(0.1, 10))
def test_the_unit_of_cost_does_not_matter(front: Points, ladder: Points, k: float) -> None:
    (fm, fc), (lm, lc) = split(front), split(ladder)
    assert gain(fm, fc * k, lm, lc * k) == pytest.approx(gain(fm, fc, lm, lc))
    assert size_ratio(fm, fc * k, lm, lc * k) == pytest.approx(size_ratio(fm, fc, lm, lc))


@given(some, some, st.randoms(use_true_random=False))
def test_neither_order_nor_dominated_points_matter(front: Points, ladder: Points, random: object) -> None:
    def spoilt(pairs: Points) -> Points:
        mixed = [*pairs, *[(m - 0.1, c * 1.5) for m, c in pairs]]
        random.shuffle(mixed)  # type: ignore[attr-defined]
        return mixed

    plain, other = (*split(front), *split(ladder)), (*split(spoilt(front)), *split(spoilt(ladder)))
    assert gain(*other) == pytest.approx(gain(*plain))
    assert size_ratio(*other) == pytest.approx(size_ratio(*plain))


@given(some, some, st.tuples(st.sampled_from([0.2, 0.6, 1.0]), st.integers(1, 6).map(float)))
def test_a_further_point_never_counts_against_a_front_over_the_same_range(
    front: Points, ladder: Points, more: tuple[float, float]
) -> None:
    sizes = common_sizes(*split(front), *split(ladder))
    before, after = (gain(*split(of), *split(ladder), sizes) for of in (front, [*front, more]))
    assert before is not None
    assert after is not None
    assert after >= before - 1e-12
    reached = (0.0, min(max(m for m, _ in of) for of in (front, ladder)))
    needed, left = (size_ratio(*split(of), *split(ladder), reached) for of in (front, [*front, more]))
    assert needed is not None
    assert left is not None
    assert left <= needed + 1e-12
    regrets = [regret(*split(of), *split([*front, more]), LOW, HIGH, FLOOR) for of in (front, [*front, more])]
    assert regrets[1] == (0, 0)
    assert min(regrets[0]) >= -1e-12


@st.composite
def drawn(draw: st.DrawFn, rows: int = 4) -> tuple[Floats, Floats]:
    count = draw(st.integers(1, 6))
    level = st.integers(0, 5).map(lambda i: i / 5)
    metrics = draw(st.lists(st.lists(level, min_size=count, max_size=count), min_size=rows, max_size=rows))
    costs = draw(st.lists(st.integers(1, 6).map(float), min_size=count, max_size=count))
    return np.array(metrics), np.array(costs)


@given(drawn(), drawn())
def test_size_ratios_of_draws_are_those_of_each_row(
    front: tuple[Floats, Floats], ladder: tuple[Floats, Floats]
) -> None:
    (fm, fc), (lm, lc) = front, ladder
    ratios = size_ratio_draws(fm, fc, lm, lc)
    assert ratios.shape == (4,)
    for row in range(4):
        alone = size_ratio(fm[row], fc, lm[row], lc)
        assert math.isnan(ratios[row]) if alone is None else ratios[row] == pytest.approx(alone)


@given(some, some)
def test_a_draw_that_says_what_was_measured_gains_what_was_measured(front: Points, ladder: Points) -> None:
    (fm, fc), (lm, lc) = split(front), split(ladder)
    chosen, rungs = pareto.front(fm, fc), pareto.front(lm, lc)
    over = common_sizes(fm, fc, lm, lc)
    assert over is not None
    drawn = gain_draws(np.stack([fm[chosen]] * 2), fc[chosen], np.stack([lm[rungs]] * 2), lc[rungs], over)
    assert drawn == pytest.approx([gain(fm, fc, lm, lc)] * 2)


def test_draws_of_equal_points_gain_nothing_on_average() -> None:
    """Ten points of a front that are truly all as good as the two of the ladder: no draw's luck is counted."""
    draw = np.random.default_rng(0)
    front, ladder = np.exp(np.linspace(0, 5, 10)), np.exp(np.array([0.0, 2.5]))
    gains = gain_draws(
        draw.normal(size=(4000, 10)), front, draw.normal(size=(4000, 2)), ladder, (1.0, math.exp(5))
    )
    assert abs(gains.mean()) < 4 * gains.std() / math.sqrt(4000)


def test_where_there_is_nothing_in_common_nothing_is_said() -> None:
    none, low, high = split([]), split([(0.2, 1.0), (0.4, 2.0)]), split([(0.6, 1.0), (0.8, 2.0)])
    assert gain(*none, *low) is None
    assert gain(*low, *none) is None
    assert size_ratio(*none, *low) is None
    assert size_ratio(*high, *low) is None
    assert size_ratio(*low, *low, (0.2, 0.5)) is None
    assert gain(*high, *low) == pytest.approx(0.4)


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (3.0, 2.0), (1.0, math.inf), (math.nan, 2.0)])
def test_a_range_that_is_none_is_refused(low: float, high: float) -> None:
    pairs = split([(0.2, 1.0), (0.4, 2.0)])
    with pytest.raises(ValueError, match="must be above 0, and its ends in order"):
        regret(*pairs, *pairs, low, high, 0.0)
    with pytest.raises(ValueError, match=r"begins at 0\.5; it must not be below 1, the cheapest"):
        gain(*pairs, *pairs, (0.5, 2.0))


def test_a_thousand_draws_of_fifty_points_take_no_time() -> None:
    generator = np.random.default_rng(0)
    (fm, lm), (fc, lc) = generator.random((2, 1000, 50)), np.exp(np.sort(generator.uniform(7, 12, (2, 50))))
    began = time.monotonic()
    gain_draws(fm, fc, lm, lc, (max(fc.min(), lc.min()), max(fc.max(), lc.max())))
    size_ratio_draws(fm, fc, lm, lc)
    assert time.monotonic() - began < 1
