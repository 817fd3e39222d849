"""What a sum of Gaussian processes leaves possible, against functions that are known."""

import numpy as np
import pytest

from msplora_search.search.model.additive import DRAWS, AdditiveProcess, Floats, _matern, _Waves, parts_of

FACTORS = ("parameters", "mid rank", "mid rank", "rate")
PLACES = np.random.default_rng(0).random((400, 4))


def process(metrics: Floats, noise: float) -> AdditiveProcess:
    """Of the first places."""
    return AdditiveProcess(PLACES[: len(metrics)], metrics, np.full(len(metrics), noise**2), parts_of(FACTORS))


def test_a_part_a_factor_and_one_of_all() -> None:
    assert [list(part) for part in parts_of(FACTORS)] == [[0], [1, 2], [3], [0, 1, 2, 3]]


def test_draws_keep_to_what_was_measured_and_differ_where_nothing_was() -> None:
    truth = 0.8 + 0.02 * np.sin(3 * PLACES[:, 3]) + 0.01 * PLACES[:, 1]
    drawn = process(truth[:60], 1e-4).draws(np.concatenate([PLACES[:60], PLACES[300:], 5 + PLACES[:10]]))
    assert drawn.shape == (DRAWS, 170)
    near, between, far = (
        drawn[:, part].std(axis=0).mean() for part in (slice(60), slice(60, 160), slice(160, 170))
    )
    assert near < between < 0.002 < far
    assert np.abs(drawn[:, :60].mean(axis=0) - truth[:60]).max() < 0.003
    assert np.abs(drawn[:, 60:160].mean(axis=0) - truth[300:]).mean() < 0.002


def test_intervals_of_draws_hold_the_truth_as_often_as_they_say() -> None:
    held = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        truth = 0.8 + 0.02 * np.sin(3 * PLACES[:, 3] + seed) * (1 + PLACES[:, 1])
        measured = truth[:40] + random.normal(size=40) * 0.005
        low, high = np.quantile(process(measured, 0.004).draws(PLACES[300:], seed), [0.025, 0.975], axis=0)
        held.append(((low <= truth[300:]) & (truth[300:] <= high)).mean())
    assert 0.88 < np.mean(held) <= 1


def test_draws_are_the_same_for_a_seed() -> None:
    one = process(PLACES[:20, 0], 0.1)
    assert (one.draws(PLACES, 3) == one.draws(PLACES, 3)).all()
    assert not (one.draws(PLACES, 3) == one.draws(PLACES, 4)).all()


def test_random_waves_have_the_covariance_of_the_kernel() -> None:
    waves = _Waves.of(np.array([0, 1, 2, 3]), 0.7, np.random.default_rng(0))
    at = waves.at(PLACES[:100])
    assert np.abs(at @ at.T - _matern(PLACES[:100], PLACES[:100], 0.7)).mean() < 0.06


def test_metrics_by_chance_seldom_look_decided_and_decided_ones_nearly_always() -> None:
    chance, decided = [], []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(size=24)
        chance.append(process(0.8 + 0.005 * noise, 0.005).chance(seed))
        decided.append(process(0.8 + 0.005 * noise + 0.03 * PLACES[:24, 3], 0.005).chance(seed))
    assert np.mean(np.array(chance) <= 0.05) <= 0.15
    assert np.mean(chance) == pytest.approx(0.5, abs=0.15)
    assert np.mean(np.array(decided) <= 0.05) > 0.9
