from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from msplora_search.results.holm import adjusted
from msplora_search.results.seed_means import Spread, spread_over_seeds
from msplora_search.results.training_noise import TrainingNoise


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.2))
def test_what_is_claimed_after_adjustment_is_what_holms_procedure_rejects(
    found: list[float], level: float
) -> None:
    told = adjusted(found)
    rejected: set[int] = set()
    for step, place in enumerate(sorted(range(len(found)), key=lambda i: found[i])):
        if found[place] * (len(found) - step) > level:
            break
        rejected.add(place)
    assert {i for i, p in enumerate(told) if p <= level} == rejected
    assert all(p <= q <= 1 for p, q in zip(found, told, strict=True))


def test_one_comparison_is_not_adjusted() -> None:
    assert adjusted([0.03]) == [0.03]
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_without_seeds_it_is_the_t_test_over_examples() -> None:
    spread = spread_over_seeds(0.01**2, 400, None, 2.0)
    assert (spread.se, spread.degrees) == (0.01, 399)
    assert spread.half() == pytest.approx(0.01 * stats.t.ppf(0.975, 399))
    assert spread.one_sided() == pytest.approx(0.01 * stats.t.ppf(0.95, 399))
    assert spread.p_value(0.02) == pytest.approx(2 * stats.t.sf(2.0, 399))


@given(
    alone=st.floats(1e-6, 1e-3), both=st.floats(1e-6, 1e-3), training=st.floats(0, 1e-3),
    seeds=st.integers(2, 10), degrees=st.integers(1, 40),
)  # fmt: skip
def test_what_examples_give_is_counted_once(
    alone: float, both: float, training: float, seeds: int, degrees: int
) -> None:
    """`both` is in the variance over seeds and in that over examples; `alone` in the latter."""
    noise = TrainingNoise(degrees * (training + both), degrees, both)
    share = 2 / seeds
    spread = spread_over_seeds(alone + share * both, 1000, noise, share)
    assert spread.variance == pytest.approx(alone + share * (both + training))


def test_more_examples_than_can_be_bought_leave_the_degrees_of_the_seeds() -> None:
    noise = TrainingNoise(4 * 0.01**2, 4, 0.0)
    spread = spread_over_seeds(1e-12, 100_000, noise, 1.0)
    assert spread.degrees == pytest.approx(4, rel=1e-3)
    assert spread.se == pytest.approx(0.01, rel=1e-3)


def test_nothing_that_varies_claims_nothing() -> None:
    nothing = Spread(0.0, 10)
    assert (nothing.half(), nothing.p_value(0.0), nothing.p_value(0.1)) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize("points", [2, 6])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("training", [0.0, 0.5, 3.0])
def test_intervals_cover_what_they_say_however_little_noise_training_has(
    points: int, seeds: int, training: float
) -> None:
    """Points whose trainings differ on as many examples as the points do; `training` in units of that part."""
    draw, share = np.random.default_rng(0), 2 / seeds
    degrees = points * (seeds - 1)
    covered = 0
    for _ in range(2000):
        noise = TrainingNoise(float((1 + training) * draw.chisquare(degrees)), degrees, 1.0)
        of_examples = (0.3 + share) * draw.chisquare(499) / 499
        gap = draw.normal() * math.sqrt(0.3 + share * (1 + training))
        covered += abs(gap) <= spread_over_seeds(of_examples, 500, noise, share).half()
    assert 0.93 <= covered / 2000 <= 0.97
