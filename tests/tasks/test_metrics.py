from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import METRICS, MeanOfExamples, Metric, Values, metric

Cells = list[tuple[int, int]]
NAMES = ("accuracy", "f1", "matthews")


def cells(classes: int) -> st.SearchStrategy[Cells]:
    one = st.integers(0, classes - 1)
    return st.lists(st.tuples(one, one), min_size=2, max_size=30)


def columns(pairs: Cells) -> tuple[Values, Values]:
    labels, predictions = np.array(pairs, dtype=np.int64).T
    return labels, predictions


def by_sklearn(name: str, labels: Values, predictions: Values, classes: int) -> float:
    if name == "accuracy":
        return float(accuracy_score(labels, predictions))
    if name == "matthews":
        return float(matthews_corrcoef(labels, predictions))
    every = [1] if classes == 2 else list(range(classes))
    return float(f1_score(labels, predictions, labels=every, average="macro", zero_division=0))


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("name", NAMES)
@given(pairs=cells(2))
def test_values_of_two_classes_are_sklearns(name: str, pairs: Cells) -> None:
    labels, predictions = columns(pairs)
    assert metric(name, 2).score(labels, predictions) == pytest.approx(by_sklearn(name, labels, predictions, 2))


def test_f1_is_of_the_tasks_classes_also_of_one_that_does_not_occur() -> None:
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    of_two = (0.8 + 2 / 3) / 2
    assert metric("f1", 3).score(labels, predictions) == pytest.approx(of_two * 2 / 3)
    predictions[3] = 2  # a wrong guess of the absent class is worth no more
    assert metric("f1", 3).score(labels, predictions) == pytest.approx((1 + 2 / 3) / 3)


@pytest.mark.parametrize(("positive", "expected"), [(None, 2 / 3), (1, 2 / 3), (0, 0.8)])
def test_f1_of_two_classes_is_that_of_the_positive_one(positive: int | None, expected: float) -> None:
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    judge = metric("f1", 2, positive)
    assert judge.score(labels, predictions) == pytest.approx(expected)


def test_f1_of_unknown_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match="it needs to know how many the task has"):
        metric("f1")


# Numbers


def test_a_constant_correlates_with_nothing() -> None:
    truth = np.array([1.0, 2.0, 3.0])
    for name in ("pearson", "spearman"):
        assert metric(name).score(truth, np.ones(3)) == 0.0
        assert metric(name).score(truth, 2 * truth) == pytest.approx(1.0)


COUNTS = st.lists(st.tuples(st.integers(1, 9), st.floats(0, 9, width=32)), min_size=2, max_size=25)


@pytest.mark.parametrize(("name", "sign"), [("loss", -1), ("token-accuracy", 1), ("exact-match", 1)])
@given(pairs=COUNTS)
def test_means_over_tokens_weigh_every_token_alike(name: str, sign: int, pairs: list[tuple[int, float]]) -> None:
    truth, sums = np.array(pairs, dtype=np.float64).T
    assert metric(name).score(truth, sums) == pytest.approx(sign * sums.sum() / truth.sum())


# Influence


def examples(name: str, count: int, seed: int) -> tuple[Metric, Values, Values]:
    """A metric, and truth and predictions as it takes them."""
    draw = np.random.default_rng(seed)
    if name in ("accuracy", "f1", "matthews"):
        truth = draw.choice(3, count, p=[0.6, 0.3, 0.1])
        return metric(name, 3), truth, np.where(draw.random(count) < 0.7, truth, draw.choice(3, count))
    if name in ("pearson", "spearman"):
        truth = np.round(draw.normal(size=count), 1)  # with ties
        return metric(name), truth, truth + draw.normal(size=count)
    if name == "mean":
        return MeanOfExamples("f1", is_share=False), np.ones(count), draw.choice([0.0, 0.4, 1.0], count)
    if name.startswith("recall"):
        return metric(name), draw.integers(0, count, count), draw.geometric(0.2, count)
    tokens = draw.integers(1, 200, count).astype(float)
    return metric(name), tokens, tokens * draw.random(count)


@pytest.mark.parametrize("name", [*METRICS, "f1", "mean"])
def test_the_influence_is_what_one_more_example_does_to_the_metric(name: str) -> None:
    judge, truth, predictions = examples(name, 2000, 1)
    influence, whole = judge.influence(truth, predictions), judge.score(truth, predictions)
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    for row in range(0, 2000, 97):
        twice = np.r_[np.arange(2000), row]
        moved = (judge.score(truth[twice], predictions[twice]) - whole) * 2001
        assert moved == pytest.approx(influence[row], abs=0.03 * influence.std())


@pytest.mark.parametrize("name", [*METRICS, "f1", "mean"])
def test_the_standard_error_is_that_over_fresh_examples(name: str) -> None:
    drawn = [examples(name, 400, seed) for seed in range(400)]
    spread = np.std([judge.score(truth, predictions) for judge, truth, predictions in drawn])
    told = np.mean([Judge(judge, truth).measure(predictions).metric_se for judge, truth, predictions in drawn])
    assert told == pytest.approx(spread, rel=0.12)


def test_where_examples_belong_together_their_number_is_that_of_the_groups() -> None:
    truth, predictions = np.ones(60, dtype=np.int64), np.repeat(np.arange(20) % 4 > 0, 3).astype(np.int64)
    apart = Judge(METRICS["accuracy"], truth[:20]).measure(predictions[::3])
    copies = Judge(METRICS["accuracy"], truth, np.repeat(np.arange(20), 3)).measure(predictions)
    assert copies.metric_se == pytest.approx(apart.metric_se)
    assert len(copies.influence) == 20
