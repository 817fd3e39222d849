from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from msplora_search.results import pareto
from msplora_search.results.noise import difference_se, standard_error
from msplora_search.results.posterior import Measured, draw_true
from msplora_search.results.records import Examples, Measure
from msplora_search.results.training_noise import TrainingNoise, pooled_noise
from msplora_search.search.points import mean_measure, together

UNITS = 400


def measured(metrics: list[float], error: float, shared: float = 0.0, seed: int = 0) -> Measured:
    """Configurations of rising size; each metric has this error over examples, and one that all share."""
    draw = np.random.default_rng(seed)
    own = draw.normal(size=(len(metrics), UNITS)) * error * math.sqrt(UNITS)
    common = draw.normal(size=UNITS) * shared * math.sqrt(UNITS)
    sizes = 1000.0 * np.exp2(np.arange(len(metrics), dtype=np.float64))
    return Measured(np.array(metrics), own + common, sizes, np.ones(len(metrics)))


RISING = [0.80, 0.81, 0.83, 0.832, 0.85, 0.851]


def test_what_is_measured_without_noise_is_true() -> None:
    draws = draw_true(measured(RISING, 1e-6), None)
    assert draws.mean(axis=0) == pytest.approx(RISING, abs=1e-5)
    assert draws.std(axis=0).max() < 1e-5


@settings(max_examples=20)
@given(shift=st.floats(-5, 5), scale=st.floats(0.01, 100))
def test_no_unit_of_the_metric_changes_what_is_found(shift: float, scale: float) -> None:
    plain, noise = measured(RISING, 0.01), TrainingNoise(4e-4, 4, 2e-5)
    moved = Measured(plain.metrics * scale + shift, plain.influence * scale, plain.parameters, plain.seeds)
    scaled = TrainingNoise(4e-4 * scale**2, 4, 2e-5 * scale**2)
    found = (draw_true(moved, scaled) - shift) / scale
    assert found == pytest.approx(draw_true(plain, noise), abs=1e-4)


def test_the_best_of_many_equals_is_drawn_back_to_them() -> None:
    draw = np.random.default_rng(1)
    noisy = list(0.85 + draw.normal(size=30) * 0.01)
    best = int(np.argmax(noisy))
    found = draw_true(measured(noisy, 0.01), None).mean(axis=0)
    assert noisy[best] > 0.86
    assert found[best] == pytest.approx(0.85, abs=0.008)


def test_configurations_that_are_right_by_luck_do_not_raise_the_level() -> None:
    """The error of an accuracy is smaller the higher it is: a weighted mean would believe the lucky more."""
    draw = np.random.default_rng(2)
    gaps, errors = list[float](), list[float]()
    for _ in range(40):
        examples = draw.normal(size=UNITS)
        right = np.array([0.97 * examples + 0.24 * draw.normal(size=UNITS) < 1.0 for _ in range(12)], dtype=float)
        accuracies = right.mean(axis=1)
        of = Measured(accuracies, right - accuracies[:, None], np.geomspace(1e3, 1e5, 12), np.ones(12))
        gaps.append(draw_true(of, None).mean() - accuracies.mean())
        errors.append(right[0].std() / math.sqrt(UNITS))
    assert abs(np.mean(gaps)) < 0.05 * np.mean(errors)


def test_wider_priors_draw_less_towards_what_the_others_say() -> None:
    noise = TrainingNoise(4 * 0.01**2, 4, 0.0)
    narrow, wide = (draw_true(measured(RISING, 0.01), noise, stretch=stretch) for stretch in (0.3, 3.0))
    assert np.ptp(narrow.mean(axis=0)) < np.ptp(wide.mean(axis=0))
    assert narrow.std(axis=0).mean() < wide.std(axis=0).mean()


def test_examples_that_all_share_leave_differences_as_they_are() -> None:
    apart, alike = (draw_true(measured(RISING, 0.002, shared), None) for shared in (0.0, 0.05))
    for draws in (apart, alike):
        assert (draws[:, 5] - draws[:, 0]).std() < 0.006
    assert alike.std(axis=0).min() > 0.03


def test_noise_of_training_widens_what_one_seed_says_and_less_what_several_say() -> None:
    one = measured(RISING, 0.002)
    several = Measured(one.metrics, one.influence, one.parameters, np.full(6, 9.0))
    noise = TrainingNoise(20 * 0.02**2, 20, 0.0)
    quiet, loud, often = draw_true(one, None), draw_true(one, noise), draw_true(several, noise)
    assert loud.std(axis=0).mean() > 2 * often.std(axis=0).mean() > 2 * quiet.std(axis=0).mean()


def test_a_hopeless_configuration_says_nothing_of_the_others() -> None:
    with_it, without = RISING.copy(), RISING.copy()
    with_it[3], without[3] = 0.5, 0.2
    found = [draw_true(measured(metrics, 0.005), None).mean(axis=0) for metrics in (with_it, without)]
    others = [0, 1, 2, 4, 5]
    assert found[0][others] == pytest.approx(found[1][others], abs=1e-3)
    assert found[0][3] == pytest.approx(0.5, abs=0.01)


def test_one_configuration_and_equal_ones_have_draws_too() -> None:
    assert draw_true(measured([0.8], 0.01), None).std() == pytest.approx(0.01, rel=0.2)
    same = Measured(np.full(3, 0.8), np.zeros((3, UNITS)), np.array([1.0, 2.0, 2.0]), np.ones(3))
    assert draw_true(same, TrainingNoise(0.0, 2, 0.0)) == pytest.approx(0.8, abs=1e-6)


def test_the_stated_probability_of_being_on_the_front_is_the_true_one() -> None:
    """A small part of `scripts/simulate_fronts.py`."""
    stated, true = [], []
    for seed in range(80):
        draw = np.random.default_rng([5, seed])
        sizes = np.sort(np.exp(draw.uniform(7, 12, 16)))
        truth = 0.8 + 0.01 * np.log(sizes / sizes[0]) * (seed % 2) + draw.normal(size=16) * 0.003
        influence = draw.normal(size=(16, UNITS)) * 0.005 * math.sqrt(UNITS)
        metrics = truth + influence.mean(axis=1)
        draws = draw_true(Measured(metrics, influence, sizes, np.ones(16)), None, 300)
        stated.append(pareto.front_probability(draws, sizes)[1:])
        true.append(np.isin(np.arange(16), pareto.front(truth, sizes))[1:])
    said, was = np.concatenate(stated), np.concatenate(true)
    for low in (0.0, 0.25, 0.5, 0.75):
        there = (said >= low) & (said <= low + 0.25)
        assert said[there].mean() == pytest.approx(was[there].mean(), abs=0.1)


# Noise of training


def runs(sd: float, error: float, seeds: int, seed: int, configurations: int = 2) -> list[list[Measure]]:
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(configurations):
        influence = [draw.normal(size=UNITS) * error * math.sqrt(UNITS) for _ in range(seeds)]
        found.append(
            [
                Measure(0.8 + of.mean() + draw.normal() * sd, standard_error(of), Examples(influence=of))
                for of in influence
            ]
        )
    return found


@pytest.mark.parametrize("sd", [0.0, 0.004, 0.01])
def test_the_noise_of_training_is_told_from_that_of_examples(sd: float) -> None:
    found = [pooled_noise(runs(sd, 0.005, 3, seed)) for seed in range(300)]
    raw = [noise.sum_squares / noise.degrees - noise.of_examples for noise in found if noise is not None]
    assert np.mean(raw) == pytest.approx(sd**2, abs=4e-6)
    covered = [low <= sd <= high for low, high in (noise.interval() for noise in found if noise is not None)]
    assert np.mean(covered) > 0.92


def test_its_degrees_are_the_trainings_beyond_the_first() -> None:
    noise = pooled_noise([runs(0.01, 0.0, 3, 0)[0], runs(0.01, 0.0, 2, 1)[0], runs(0.01, 0.0, 1, 2)[0]])
    assert noise is not None
    assert noise.degrees == 3
    assert pooled_noise(runs(0.01, 0.0, 1, 0)) is None
    assert noise.interval()[0] == pytest.approx(math.sqrt(noise.sum_squares / stats.chi2.ppf(0.975, 3)))


# Means of several measures


def test_a_mean_of_seeds_and_of_parts_has_the_error_of_its_examples() -> None:
    one, other = runs(0.0, 0.01, 2, 3)[0]
    both = mean_measure([one, other])
    assert both.metric == pytest.approx((one.metric + other.metric) / 2)
    assert both.metric_se == pytest.approx(standard_error((one.influence + other.influence) / 2))
    assert difference_se(both, both) == 0.0
    parts = together(one, other)
    assert parts.metric == pytest.approx(both.metric)
    assert parts.metric_se == pytest.approx(one.metric_se / math.sqrt(2), rel=0.1)
