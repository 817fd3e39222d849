"""Texts with any number of labels: as lists or as columns, in training and in judgement."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.labels import class_counts, metric_of
from msplora_search.tasks.parts import Batch
from tests.tasks.tagged import content, named, pieces_tokenizer, refusal, table_of

KIND: dict[str, Any] = {"kind": "multi-label", "dataset": "x"}
ROWS: list[dict[str, Any]] = [
    {"text": "anna", "labels": ["b", "a"], "a": 1, "b": True},
    {"text": "was", "labels": [], "a": "0", "b": "false"},
    {"text": "in paris", "labels": ["b", "b"], "a": 0.0, "b": "TRUE"},
]
TRUTH = [[1, 1], [0, 0], [0, 1]]


def test_labels_are_lists_or_columns() -> None:
    lists, columns = content(ROWS, **KIND), content(ROWS, **KIND, labels=["a", "b"])
    for found in (lists, columns):
        assert found.truth.tolist() == TRUTH
        assert found.classes == ("a", "b")
        assert found.note == "1 of 3 rows have no label"
        assert class_counts(found.truth, found.classes) == [1, 2]
    swapped = content(ROWS, **KIND, labels=["b", "a"])
    assert (swapped.classes, swapped.truth.tolist()) == (("b", "a"), [row[::-1] for row in TRUTH])


def test_whole_numbers_are_labels_in_their_order() -> None:
    found = content([{"text": "a", "labels": [10, 2]}, {"text": "b", "labels": ["2"]}], **KIND)
    assert (found.classes, found.truth.tolist()) == (("2", "10"), [[1, 1], [1, 0]])


BAD: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"labels": "a, b"}, {}, "task.label", "row 2 of label column 'labels' is 'a, b'; it must be a list of"),
    ({"labels": None}, {}, "task.label", "is empty; it must be a list of labels, text or whole numbers; an"),
    ({"labels": ["a", None]}, {}, "task.label", "row 2 of label column 'labels' has None as item 2"),
    ({"labels": [["a"]]}, {}, "task.label", "row 2 of label column 'labels' has ['a'] as item 1"),
    ({"labels": ["c"]}, {"classes": ("a", "b")}, "task.label", "has 'c'; the classes are 'a', 'b'"),
    ({"a": 2}, {"labels": ["a", "b"]}, "task.labels", "row 2 of column 'a' is 2; it must be 0, 1, true or false"),
    ({"b": "yes"}, {"labels": ["a", "b"]}, "task.labels", "row 2 of column 'b' is 'yes'; it must be 0, 1, true"),
    ({"b": ""}, {"labels": ["a", "b"]}, "task.labels", "row 2 of column 'b' is ''; it must be 0, 1, true or"),
    ({"b": None}, {"labels": ["a", "b"]}, "task.labels", "row 2 of column 'b' is None; it must be 0, 1, true or"),
    ({"a": float("nan")}, {"labels": ["a", "b"]}, "task.labels", "row 2 of column 'a' is nan; it must be 0, 1"),
    ({}, {"labels": ["a", "z"]}, "task.labels", "task.labels is 'z', no such column"),
    ({}, {"label": "label"}, "task.label", "task.label is 'label', no such column; did you mean 'labels'?"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "task", "field", "said"), BAD)
def test_rows_that_cannot_be_used_are_named(
    change: dict[str, Any], task: dict[str, Any], field: str, said: str
) -> None:
    error = refusal([ROWS[0], {**ROWS[1], **change}, ROWS[2]], **KIND, **task)
    assert error.field == field
    assert said in str(error)


def test_labels_that_are_all_alike_are_refused() -> None:
    only = [{"text": "anna", "labels": ["a"]}, {"text": "was", "labels": []}]
    assert "has only the class 'a'; classification needs 2 to 1000" in str(refusal(only, **KIND))
    none = [{"text": "anna", "labels": []}]
    assert "has 0 classes" in str(refusal(none, **KIND))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"label": "x", "labels": ["a", "b"]}, "or label says which labels a text has; give one of them"),
    ({"label": None}, "or label says which labels a text has; give one of them"),
    ({"labels": ["a"]}, "at least 2 items"),
    ({"labels": ["a", "a"]}, "it should name each column once"),
    ({"labels": 3}, "it should be a column or a list of columns"),
    ({"metric": "f1"}, "is f1, which multi-label does not have; it has micro-f1, macro-f1"),
    ({"positive": "a"}, "says whose f1 is measured, but this is multi-label"),
    ({"words": "tokens"}, "is not read by multi-label"),
    ({"labels": ["a", "b"], "group": "b"}, "is the label column too"),
    ({"kind": "text-classification", "labels": ["a", "b"]}, "is not read by text-classification"),
    ({"kind": "token-classification", "text": "text"}, "is not read by token-classification, which reads words"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TaskSettings.model_validate({**KIND, **change})


@pytest.mark.parametrize(
    "task", [KIND, {**KIND, "labels": ["b", "a"]}, {**KIND, "label": "x", "text": ["p", "q"]}]
)
def test_settings_come_back_as_they_were_written(task: dict[str, Any]) -> None:
    settings = TaskSettings.model_validate(task)
    for plain in (settings.model_dump(mode="json"), settings.model_dump(mode="json", exclude_none=True)):
        assert TaskSettings.model_validate(plain) == settings


@pytest.mark.parametrize("metric", ["micro-f1", "macro-f1"])
@given(truth=arrays.arrays(np.int64, st.tuples(st.integers(1, 6), st.just(4)), elements=st.integers(0, 1)))
def test_chance_is_the_best_that_always_the_same_labels_can_do(metric: str, truth: Any) -> None:
    settings = TaskSettings.model_validate({**KIND, "metric": metric})
    judge = metric_of(settings, "abcd")
    constants = (judge.score(truth, np.array([labels] * len(truth))) for labels in product((0, 1), repeat=4))
    assert kind_of(settings, None).chance(truth, judge) == pytest.approx(max(constants))


def test_the_loss_is_a_mean_over_labels_and_any_split_of_a_batch_gives_it() -> None:
    kind = kind_of(TaskSettings.model_validate(KIND), pieces_tokenizer())
    found = kind.read(table_of(named(6)), None)
    rows = np.arange(6)
    batch = Batch(*kind.collate(found.examples, rows, found.truth), rows)
    scores = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    whole = kind.loss(scores, batch)
    chances = scores.sigmoid()
    each = torch.where(batch.targets == 1, chances, 1 - chances).log()
    assert whole == pytest.approx(float(-each.mean()), rel=1e-5)
    assert whole == pytest.approx(float(F.binary_cross_entropy(chances, batch.targets)), rel=1e-5)
    parts = [(part, scores[part.rows]) for part in batch.parts(4)]
    assert sum(float(kind.loss(own, part)) * part.asked / batch.asked for part, own in parts) == pytest.approx(
        float(whole), rel=1e-5
    )
