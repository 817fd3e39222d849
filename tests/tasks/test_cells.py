from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest

from msplora_search.errors import InputError
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.labels import classes_told, known_labels, numbers_of, positive_of
from msplora_search.tasks.reading.cells import class_of, number_of, text_of, texts
from msplora_search.tasks.reading.table import Table

NO_TEXT: list[Any] = [
    float("nan"), float("inf"), ["a"], {"a": 1}, b"\xff\xfe", "half \ud83d", object(), [], {}, {"type": "text"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("00123", "00123"), (" a ", " a "), (None, ""), (3, "3"), (1.5, "1.5"), (1.0, "1.0"), (True, "true"),
        (False, "false"), ("ü".encode(), "ü"), (decimal.Decimal("1.10"), "1.10"),
        (datetime.date(2024, 12, 31), "2024-12-31"), ("\U0001f600", "\U0001f600"),
    ],
)  # fmt: skip
def test_a_cell_is_text_as_it_is_written(cell: Any, text: str) -> None:
    assert text_of(cell) == text


@pytest.mark.parametrize("cell", NO_TEXT)
def test_what_is_no_text_is_never_written_out_but_refused_with_its_row(cell: Any) -> None:
    assert text_of(cell) is None
    with pytest.raises(InputError, match=r"d.csv: row 2 of column 'text' is .*; it must be text") as caught:
        texts(Table({"text": ["a", cell]}, "d.csv"), ["text"], "task.text")
    assert caught.value.field == "task.text"
    assert class_of(cell) is None
    assert number_of(cell) is None


@pytest.mark.parametrize(
    ("cell", "name"),
    [(" good\n", "good"), ("01", "01"), (1, "1"), (1.0, "1"), (-2, "-2"), (True, "true"), ("NA", "NA"),
     ("1.10", "1.10"), ("", None), ("  ", None), (None, None), (1.1, None)],
)  # fmt: skip
def test_a_class_is_the_text_without_outer_spaces(cell: Any, name: str | None) -> None:
    assert class_of(cell) == name


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("2", 2.0), (" -2.5e3 ", -2500.0), (".5", 0.5), (3, 3.0), (0.1, 0.1), (decimal.Decimal("0.1"), 0.1),
        ("1,5", None), ("1_000", None), ("٣", None), ("inf", None), ("nan", None), ("", None), (None, None),
        (True, None), ("true", None), ("9" * 5000, None), (10**400, None), ("1e400", None), (1e31, None),
    ],
)  # fmt: skip
def test_a_number_is_finite_and_written_as_one(cell: Any, number: float | None) -> None:
    assert number_of(cell) == number
    if number is None:
        with pytest.raises(InputError, match=r"row 2 of label column 'label' is .*; it must be a number"):
            numbers_of(Table({"label": ["1", cell]}, "d.csv"), "label")


def test_classes_that_are_not_known_are_refused_with_their_row() -> None:
    table = Table({"label": ["good ", "1"]}, "d.csv")
    with pytest.raises(InputError, match=r"row 2 of label column 'label' is '1'; the classes are 'bad', 'good'$"):
        known_labels(table, "label", ("bad", "good"))
    many = tuple(map(str, range(100, 200)))
    with pytest.raises(InputError, match=r"'109' and 90 more$"):
        known_labels(table, "label", many)


def task_of(metric: str, positive: str | None) -> TaskSettings:
    return TaskSettings.model_validate({"dataset": "d.csv", "metric": metric, "positive": positive})


@pytest.mark.parametrize(
    ("metric", "positive", "classes", "index"),
    [("f1", None, ("a", "b"), 1), ("f1", "a", ("a", "b"), 0), ("f1", None, ("a", "b", "c"), None),
     ("accuracy", None, ("a", "b"), None)],
)  # fmt: skip
def test_the_positive_class_is_the_one_named_or_the_second(
    metric: str, positive: str | None, classes: tuple[str, ...], index: int | None
) -> None:
    assert positive_of(task_of(metric, positive), classes) == index


@pytest.mark.parametrize(
    ("classes", "said"),
    [(("a", "b"), "task.positive is 'x', but the classes are 'a', 'b'; it must be one of the two"),
     (("a", "b", "x"), "it must be left out: only one of two classes can be positive")],
)  # fmt: skip
def test_a_positive_class_that_is_none_of_two_is_refused(classes: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        positive_of(task_of("f1", "x"), classes)
    assert caught.value.field == "task.positive"


def test_classes_are_told_with_their_counts_and_the_positive_one() -> None:
    assert classes_told(["bad", "good"], [251, 1249], 1) == "classes: bad (251), good (1,249, positive)"
    many = classes_told([str(i) for i in range(30)], [5] * 30, None)
    assert many.endswith("8 (5), 9 (5) and 20 more")
    assert "\x1b" not in classes_told(["\x1b[31m"], [1], None)
