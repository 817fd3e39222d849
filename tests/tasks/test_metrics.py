from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from msplora_search.tasks.metrics import Values, bootstrap_draws, metric

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


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 4])
@given(data=st.data())
def test_replicates_are_the_metric_of_the_resampled_examples(name: str, classes: int, data: st.DataObject) -> None:
    labels, predictions = columns(data.draw(cells(classes)))
    draws = bootstrap_draws(len(labels), resamples=5, seed=1)
    found = metric(name, classes).replicates(labels, predictions, draws)
    for times, value in zip(draws.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(len(labels)), times)
        assert value == pytest.approx(by_sklearn(name, labels[drawn], predictions[drawn], classes), abs=1e-9)


def test_f1_is_of_the_tasks_classes_also_of_one_that_does_not_occur() -> None:
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    of_two = (0.8 + 2 / 3) / 2
    assert metric("f1", 3).score(labels, predictions) == pytest.approx(of_two * 2 / 3)
    draws = np.ones((1, 4))
    assert metric("f1", 3).replicates(labels, predictions, draws) == pytest.approx([of_two * 2 / 3])
    predictions[3] = 2  # a wrong guess of the absent class is worth no more
    assert metric("f1", 3).score(labels, predictions) == pytest.approx((1 + 2 / 3) / 3)


@pytest.mark.parametrize(("positive", "expected"), [(None, 2 / 3), (1, 2 / 3), (0, 0.8)])
def test_f1_of_two_classes_is_that_of_the_positive_one(positive: int | None, expected: float) -> None:
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    judge = metric("f1", 2, positive)
    assert judge.score(labels, predictions) == pytest.approx(expected)
    assert judge.replicates(labels, predictions, np.ones((1, 4))) == pytest.approx([expected])


def test_f1_of_unknown_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match="it needs to know how many the task has"):
        metric("f1")


def test_draws_are_resamples_of_the_same_size_and_always_the_same() -> None:
    draws = bootstrap_draws(50, resamples=200)
    assert draws.shape == (200, 50)
    assert (draws.sum(axis=1) == 50).all()
    assert draws.mean() == pytest.approx(1.0)
    assert np.array_equal(draws, bootstrap_draws(50, resamples=200))


def test_standard_errors_are_binomial_for_accuracy_and_near_it_by_bootstrap() -> None:
    labels = np.ones(400, dtype=np.int64)
    predictions = (np.arange(400) < 300).astype(np.int64)
    exact = metric("accuracy").standard_error(labels, predictions)
    assert exact == pytest.approx(np.sqrt(0.75 * 0.25 / 400))
    replicates = metric("accuracy").replicates(labels, predictions, bootstrap_draws(400))
    assert replicates.std() == pytest.approx(exact, rel=0.1)
    assert metric("matthews").standard_error(labels, predictions) == pytest.approx(0.0)


# Numbers


NUMBERS = st.lists(st.tuples(st.integers(-3, 3).map(float), st.floats(-5, 5, width=32)), min_size=4, max_size=25)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@given(pairs=NUMBERS)
def test_correlations_of_resamples_are_scipys(name: str, pairs: list[tuple[float, float]]) -> None:
    truth, predictions = np.array(pairs).T
    draws = bootstrap_draws(len(truth), resamples=5, seed=1)
    found = metric(name).replicates(truth, predictions, draws)
    for times, value in zip(draws.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(len(truth)), times)
        x, y = truth[drawn], predictions[drawn]
        if min(x.std(), y.std()) > 1e-3:
            by = stats.pearsonr if name == "pearson" else stats.spearmanr
            assert value == pytest.approx(by(x, y).statistic, abs=1e-6)


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
    assert metric(name).qualities(truth, sums) == pytest.approx(sign * sums / truth)
    draws = bootstrap_draws(len(truth), resamples=5, seed=1)
    expected = [sign * (times * sums).sum() / (times * truth).sum() for times in draws]
    assert metric(name).replicates(truth, sums, draws) == pytest.approx(expected)


def test_the_standard_error_over_tokens_is_near_that_of_resamples() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(1, 20, 400).astype(float)
    losses = tokens * generator.gamma(2.0, 0.5, 400)
    replicates = metric("loss").replicates(tokens, losses, bootstrap_draws(400))
    assert metric("loss").standard_error(tokens, losses) == pytest.approx(replicates.std(), rel=0.1)
