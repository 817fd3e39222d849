from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.full.confirm import candidates
from msplora_search.full.judgement import judge_found
from msplora_search.results.noise import difference_interval, interval
from msplora_search.search.summary import summarise
from msplora_search.tasks.metrics import METRICS
from tests.example import JUDGE, evaluation, results

RANGES = {
    "accuracy": (0, 1), "f1": (0, 1), "matthews": (-1, 1), "pearson": (-1, 1), "spearman": (-1, 1),
    "loss": (-math.inf, 0), "token-accuracy": (0, 1), "exact-match": (0, 1), "reward-accuracy": (0, 1),
    "recall@1": (0, 1), "recall@5": (0, 1), "recall@10": (0, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_its_range(name: str) -> None:
    assert METRICS[name].bounds == RANGES[name]


@pytest.mark.parametrize("name", METRICS)
@given(share=st.floats(0, 1), half=st.floats(0, 1e6))
def test_no_interval_leaves_the_range_or_loses_its_centre(name: str, share: float, half: float) -> None:
    low, high = METRICS[name].bounds
    centre = max(low, -100.0) + share * (high - max(low, -100.0))
    below, above = interval(centre, half, (low, high))
    assert low <= below <= centre <= above <= high
    assert below == max(low, centre - half)
    below, above = difference_interval(centre - high, half, (low, high))
    assert low - high <= below <= centre - high <= above <= high - low


def test_a_confirmation_claims_nothing_better_than_right_or_worse_than_wrong() -> None:
    wrongs = [(1, 400), (2, 0), (0, 3), (400, 0), (399, 400), (0, 0)]
    found = [
        (point, tuple(evaluation(1.0, wrong) for wrong in row))
        for point, row in zip(candidates(summarise(results())), wrongs, strict=True)
    ]
    judged = judge_found(results(), found, JUDGE)
    for confirmed in judged.points:
        assert 0.0 <= confirmed.interval[0] <= confirmed.interval[1] <= 1.0
        for versus in confirmed.comparisons:
            assert -1.0 <= versus.interval[0] <= versus.interval[1] <= 1.0
