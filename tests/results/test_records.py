from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.results.noise import difference_se
from msplora_search.results.records import Evaluation
from tests.strategies import evaluation


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40))
def test_an_evaluation_round_trips_through_json(cells: list[tuple[int, bool]]) -> None:
    predictions, right = (np.array(column) for column in zip(*cells, strict=True))
    before = Evaluation(0.33, 62, 0.8, 0.01, 0.4, predictions.astype(np.int64), right.astype(float))
    after = Evaluation.from_json(json.loads(json.dumps(before.to_json())))
    assert (after.rung, after.step, after.metric, after.metric_se, after.loss) == (0.33, 62, 0.8, 0.01, 0.4)
    assert after.predictions.tolist() == predictions.tolist()
    assert after.qualities.tolist() == right.tolist()
    assert after.qualities.dtype == np.float64


@given(st.lists(st.tuples(st.floats(-9, 9, width=32), st.floats(-9, 9, width=32)), min_size=1, max_size=40))
def test_an_evaluation_of_numbers_round_trips_too(cells: list[tuple[float, float]]) -> None:
    predictions, qualities = np.array(cells).T
    before = Evaluation(1.0, 62, -0.8, 0.01, 0.4, predictions, qualities)
    after = Evaluation.from_json(json.loads(json.dumps(before.to_json())))
    assert np.array_equal(after.predictions, predictions)
    assert np.array_equal(after.qualities, qualities)
    assert after.predictions.dtype == np.float64


RIGHT = st.lists(st.booleans(), min_size=20, max_size=20)


@given(RIGHT, RIGHT)
def test_for_accuracy_the_difference_has_the_paired_standard_error(one: list[bool], other: list[bool]) -> None:
    a, b = evaluation(one), evaluation(other)
    per_example = np.array(one, dtype=float) - np.array(other, dtype=float)
    assert difference_se(a, b) == pytest.approx(per_example.std() / np.sqrt(20), abs=1e-7)
    assert difference_se(b, a) == pytest.approx(difference_se(a, b))


def test_equal_answers_have_no_noise_between_them() -> None:
    a = evaluation([True, False, True, True])
    assert difference_se(a, a) == pytest.approx(0, abs=1e-7)
