from __future__ import annotations

import math

import numpy as np
import pytest

from msplora_search.analysis.transfer import apart, regrets_of, transfer
from msplora_search.design.pyramid import Pyramid
from msplora_search.search.summary import Summary, summarise
from tests.example import QV, decided, record, results


def by_size(pyramid: Pyramid) -> float:
    return 120 - 20 * math.log2(1 + pyramid.rank_units)


def against_size(pyramid: Pyramid) -> float:
    return 30 + 20 * math.log2(1 + pyramid.rank_units)


@pytest.fixture(scope="module")
def study() -> Summary:
    return summarise(decided(by_size))


def test_a_study_agrees_with_itself(study: Summary) -> None:
    found = transfer(study, study)
    assert found.why_not is None
    assert found.matched == found.carried == len(study.points)
    assert found.correlation is not None
    assert found.chance_correlation is not None
    assert found.correlation.low > found.chance_correlation
    assert found.regret is not None
    assert found.random_regret is not None
    assert found.regret.mean < found.random_regret
    assert found.as_good_by_chance is not None
    assert found.as_good_by_chance < 0.05
    assert all(distance == 0 for _, _, distance, _ in found.front)


def test_where_small_is_good_what_is_best_where_large_is_good_is_worst(study: Summary) -> None:
    found = transfer(study, summarise(decided(against_size)))
    assert found.correlation is not None
    assert found.correlation.high < 0


def test_too_few_in_common_say_nothing(study: Summary) -> None:
    few = summarise(results(tuple(record(i, Pyramid.lora(64 * 2**i, 6, QV), 50 + i) for i in range(4))))
    found = transfer(study, few)
    assert found.correlation is None
    assert found.why_not is not None
    assert "are needed" in found.why_not


def test_regret_is_how_far_the_best_of_no_more_parameters_lies_above() -> None:
    draws = np.array([[0.5, 0.9, 0.7, 0.8]])
    assert regrets_of(draws, np.array([1.0, 3.0, 2.0, 3.0]))[0] == pytest.approx([0.0, 0.0, 0.0, 0.1])


def test_doubling_one_level_is_about_one_apart() -> None:
    one = Pyramid.from_split((3, 1, 1), (0, 3, 6), QV)
    assert apart(one, 1e-3, one, 1e-3) == 0
    assert apart(one, 1e-3, one, 2e-3) == pytest.approx(1)
    assert apart(one, 1e-3, Pyramid.from_split((7, 1, 1), (0, 3, 6), QV), 1e-3) == pytest.approx(1)
    assert apart(one, 1e-3, Pyramid.from_split((3, 1, 3), (0, 3, 6), QV), 1e-3) == pytest.approx(1)
    assert apart(one, 1e-3, Pyramid.from_split((3, 1, 1), (0, 3, 6), ("key",)), 1e-3) == math.inf
    assert apart(one, 1e-3, Pyramid.from_split((3, 1, 1), (0, 4, 6), QV), 1e-3) == pytest.approx(1 / 3)
