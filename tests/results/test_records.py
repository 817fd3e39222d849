from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.results.noise import difference_se
from msplora_search.results.records import Evaluation, Examples, Measure
from msplora_search.search.store.facts import judges_of, part_told
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import METRICS
from tests.strategies import evaluation


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_an_evaluation_round_trips_through_json_and_its_influence_follows(cells: list[int]) -> None:
    predictions = np.array(cells, dtype=np.int64)
    judge = Judge(METRICS["accuracy"], np.arange(len(cells)) % 3)
    before = Evaluation(**vars(judge.measure(predictions)), rung=0.33, step=62, loss=0.4)
    after = Evaluation.from_json(json.loads(json.dumps(before.to_json())), judge.influence)
    assert (after.rung, after.step, after.metric, after.metric_se, after.loss) == (
        0.33, 62, before.metric, before.metric_se, 0.4,
    )  # fmt: skip
    assert after.predictions.tolist() == cells
    assert after.influence.tolist() == before.influence.tolist()
    assert not len(Evaluation.from_json(before.to_json()).influence)


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=40))
def test_a_measure_of_numbers_round_trips_too(cells: list[float]) -> None:
    before = Measure(-0.8, 0.01, Examples(np.array(cells), np.zeros(len(cells))))
    after = Measure.from_json(json.loads(json.dumps(before.to_json())))
    assert np.array_equal(after.predictions, before.predictions)
    assert after.predictions.dtype == np.float64


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40), st.booleans())
def test_several_numbers_an_example_round_trip_as_rows(cells: list[tuple[int, int]], whole: bool) -> None:
    predictions = np.array(cells) if whole else np.array(cells) / 2
    before = Measure(0.5, 0.01, Examples(predictions, np.zeros(len(cells))))
    after = Measure.from_json(json.loads(json.dumps(before.to_json())))
    assert after.predictions.tolist() == predictions.tolist()
    assert after.predictions.dtype.kind == predictions.dtype.kind


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40), st.booleans())
def test_a_part_with_several_numbers_an_example_is_stored_as_rows(
    cells: list[tuple[int, int]], whole: bool
) -> None:
    truth = np.array(cells) if whole else np.array(cells) / 2
    told = json.loads(json.dumps(part_told(Judge(METRICS["accuracy"], truth))))
    found, judging = judges_of({**told, "judging": None}, METRICS["accuracy"])
    assert judging is None
    assert found.truth.tolist() == truth.tolist()
    assert found.truth.dtype.kind == truth.dtype.kind


RIGHT = st.lists(st.booleans(), min_size=20, max_size=20)


@given(RIGHT, RIGHT)
def test_for_accuracy_the_difference_has_the_paired_standard_error(one: list[bool], other: list[bool]) -> None:
    a, b = evaluation(one), evaluation(other)
    per_example = np.array(one, dtype=float) - np.array(other, dtype=float)
    assert difference_se(a, b) == pytest.approx(per_example.std(ddof=1) / np.sqrt(20), abs=1e-7)
    assert difference_se(b, a) == pytest.approx(difference_se(a, b))


def test_equal_answers_have_no_noise_between_them() -> None:
    a = evaluation([True, False, True, True])
    assert difference_se(a, a) == pytest.approx(0, abs=1e-7)


def test_stored_examples_are_not_unpacked_before_they_are_asked_for_but_damage_is_told() -> None:
    judge, told = Judge(METRICS["accuracy"], np.ones(40, dtype=np.int64)), evaluation([True] * 40).to_json()
    stored = Evaluation.from_json(told, judge.influence)
    assert not any(isinstance(kept, np.ndarray) for kept in vars(stored.examples).values())
    assert stored.influence is stored.influence
    with pytest.raises(ValueError, match="40 predictions for 39"):
        Evaluation.from_json(told, Judge(METRICS["accuracy"], np.ones(39, dtype=np.int64)).influence)
    with pytest.raises(zlib.error):
        Evaluation.from_json({**told, "predictions": "bm9uZQ=="}, judge.influence)
