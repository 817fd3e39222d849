from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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
    average = "binary" if classes == 2 else "macro"
    return float(f1_score(labels, predictions, average=average, zero_division=0))


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("name", NAMES)
@given(pairs=cells(2))
def test_values_of_two_classes_are_sklearns(name: str, pairs: Cells) -> None:
    labels, predictions = columns(pairs)
    assert metric(name).score(labels, predictions) == pytest.approx(by_sklearn(name, labels, predictions, 2))


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 4])
@given(data=st.data())
def test_replicates_are_the_metric_of_the_resampled_examples(name: str, classes: int, data: st.DataObject) -> None:
    labels, predictions = columns(data.draw(cells(classes)))
    if max(labels.max(), predictions.max()) != classes - 1:
        labels[0] = classes - 1
    draws = bootstrap_draws(len(labels), resamples=5, seed=1)
    found = metric(name).replicates(labels, predictions, draws)
    for times, value in zip(draws.astype(int), found, strict=True):
        drawn = np.repeat(np.arange(len(labels)), times)
        assert value == pytest.approx(by_sklearn(name, labels[drawn], predictions[drawn], classes), abs=1e-9)


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
