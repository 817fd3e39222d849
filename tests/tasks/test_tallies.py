"""Metrics of counts: values by the libraries that users know, influences by what an example does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score

from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.tallies import LabelF1, SpanF1, TagAccuracy

MICRO, MACRO = LabelF1("micro-f1", is_mean=False), LabelF1("macro-f1", is_mean=True)
SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 5))
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(*[arrays.arrays(np.int64, shape, elements=st.integers(0, 1)) for _ in range(2)])
)


@pytest.mark.parametrize("judge", [MICRO, MACRO], ids=lambda judge: judge.name)
@given(pair=PAIRS)
def test_f1_of_labels_is_sklearns(judge: LabelF1, pair: tuple[Values, Values]) -> None:
    expected = f1_score(*pair, average=judge.name.removesuffix("-f1"), zero_division=0)
    assert judge.score(*pair) == pytest.approx(expected)


def test_a_label_that_nobody_has_or_calls_counts_0() -> None:
    truth, called = np.array([[1, 0, 0], [1, 1, 0]]), np.array([[1, 0, 0], [1, 0, 0]])
    assert MACRO.score(truth, called) == pytest.approx(1 / 3)
    assert MICRO.score(truth, called) == pytest.approx(2 * 2 / (3 + 2))


def test_spans_are_weighed_alike_whatever_sentence_they_are_in() -> None:
    truth, counts = np.array([3.0, 0.0, 1.0]), np.array([[2, 2], [0, 2], [1, 1]])
    assert SpanF1().score(truth, counts) == pytest.approx(2 * 3 / (4 + 5))
    assert SpanF1().score(np.zeros(3), np.zeros((3, 2), dtype=np.int64)) == 0


def test_the_accuracy_of_tags_counts_words_and_knows_that_of_the_most_frequent() -> None:
    truth = np.array([[4.0, 3.0], [6.0, 2.0]])
    assert TagAccuracy().score(truth, np.array([4.0, 3.0])) == pytest.approx(0.7)
    assert TagAccuracy.majority(truth) == pytest.approx(0.5)


def examples(judge: Metric, count: int, seed: int) -> tuple[Values, Values]:
    """Truth and predictions as the metric takes them."""
    draw = np.random.default_rng(seed)
    if isinstance(judge, LabelF1):
        truth = (draw.random((count, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.int64)
        return truth, np.where(draw.random((count, 4)) < 0.8, truth, 1 - truth)
    words = draw.integers(1, 30, count)
    if isinstance(judge, TagAccuracy):
        return np.stack([words, draw.binomial(words, 0.8)], axis=1).astype(float), draw.binomial(words, 0.9) * 1.0
    truth = draw.binomial(words, 0.2)
    right = draw.binomial(truth, 0.7)
    return truth.astype(float), np.stack([right, right + draw.binomial(words, 0.05)], axis=1)


JUDGES = pytest.mark.parametrize("judge", [SpanF1(), TagAccuracy(), MICRO, MACRO], ids=lambda judge: judge.name)


@JUDGES
def test_the_influence_is_what_one_more_example_does_to_the_metric(judge: Metric) -> None:
    truth, predictions = examples(judge, 2000, 1)
    influence, whole = judge.influence(truth, predictions), judge.score(truth, predictions)
    assert influence.shape == (2000,)
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    for row in range(0, 2000, 97):
        twice = np.r_[np.arange(2000), row]
        moved = (judge.score(truth[twice], predictions[twice]) - whole) * 2001
        assert moved == pytest.approx(influence[row], abs=0.03 * influence.std())


@JUDGES
def test_the_standard_error_is_that_over_fresh_examples(judge: Metric) -> None:
    drawn = [examples(judge, 400, seed) for seed in range(400)]
    spread = np.std([judge.score(truth, predictions) for truth, predictions in drawn])
    told = np.mean([Judge(judge, truth).measure(predictions).metric_se for truth, predictions in drawn])
    assert told == pytest.approx(spread, rel=0.12)


@JUDGES
def test_of_examples_with_nothing_in_them_none_moves_the_metric(judge: Metric) -> None:
    truth, predictions = examples(judge, 20, 1)
    nothing = judge.influence(np.zeros_like(truth), np.zeros_like(predictions))
    assert not nothing.any()
