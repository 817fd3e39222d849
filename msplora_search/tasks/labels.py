"""Labels of a column: classes as indices, or numbers; and what is told of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.settings.kinds import OF_ONE_CLASS
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.metrics import MeanOfExamples, Metric, Values, metric
from msplora_search.tasks.reading.cells import class_names, class_order, number_of
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tallies import tallied
from msplora_search.text import printable, shown

MOST_CLASSES = 1000
MOST_TOLD = 10
FIELD = "task.label"


def labels_of(
    table: Table, name: str, classes: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """`class_labels`, or `known_labels` where the classes are given."""
    return class_labels(table, name) if classes is None else (known_labels(table, name, classes), classes)


def numbers_of(table: Table, name: str) -> NDArray[np.float64]:
    """The numbers of a column, see `cells.number_of`.

    Raises InputError naming the row of anything else, and for a constant.
    """
    numbers = np.empty(table.rows)
    for row, cell in enumerate(table.column(FIELD, name)):
        number = number_of(cell)
        if number is None:
            raise table.refused(
                FIELD, name, row, f"is {shown(cell)}; it must be a number, such as -2.5, of at most 1e30"
            )
        numbers[row] = number
    if (numbers == numbers[0]).all():
        raise InputError(
            f"{printable(table.source)}: label column {shown(name)} is {numbers[0]:g} everywhere; "
            "nothing can be learned",
            FIELD,
        )
    return numbers


def class_labels(table: Table, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Index of each row's class, and the names of the classes in order; see `cells.class_of` and `class_order`.

    So 0/1 labels keep their meaning; class 1 is the positive one of two unless `task.positive` says otherwise.
    Raises InputError naming the row where a label is missing or no class, and for a single class.
    """
    values = _class_values(table, name)
    classes = _ordered(table, name, set(values))
    return _indices(values, classes), tuple(classes)


def indices_of_lists(
    table: Table, name: str, lists: Sequence[Sequence[str]], classes: tuple[str, ...] | None
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Indices of the classes in each row's list, and the names of the classes: those given, or all there are.

    Raises InputError naming the row of one that is not among those given, and for fewer than two.
    """
    known = classes or tuple(_ordered(table, name, {value for values in lists for value in values}))
    among = set(known)
    for row, values in enumerate(lists):
        if odd := [value for value in values if value not in among]:
            raise table.refused(FIELD, name, row, f"has {shown(odd[0])}; the classes are {_listed(known)}")
    return [_indices(values, known) for values in lists], known


def _ordered(table: Table, name: str, values: set[str]) -> list[str]:
    """The classes in their order. Raises InputError where there are too few, or too many."""
    classes = class_order(values)
    if not 2 <= len(classes) <= MOST_CLASSES:
        told = f"only the class {shown(classes[0])}" if len(classes) == 1 else f"{len(classes):,} classes"
        raise InputError(
            f"{printable(table.source)}: label column {shown(name)} has {told}; "
            f"classification needs 2 to {MOST_CLASSES}",
            FIELD,
        )
    return classes


def known_labels(table: Table, name: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Index of each row's class among `classes`. Raises InputError naming the row of any other label."""
    values, known = _class_values(table, name), set(classes)
    for row, value in enumerate(values):
        if value not in known:
            raise table.refused(FIELD, name, row, f"is {shown(value)}; the classes are {_listed(classes)}")
    return _indices(values, classes)


def metric_of(task: TaskSettings, classes: Sequence[str]) -> Metric:
    """The metric of a task whose data have these classes.

    Raises InputError where `task.positive` is none of two.
    """
    if task.kind == "extractive-qa":
        return MeanOfExamples(task.metric, is_share=task.metric == "exact-match")
    return tallied(task) or metric(task.metric, len(classes), positive_of(task, classes))


def positive_of(task: TaskSettings, classes: Sequence[str]) -> int | None:
    """Index of the class whose f1 is measured: the one named `positive`, or the second; None for other metrics.

    More than two classes have no positive one: their f1 is the mean over all.
    Raises InputError where `positive` is named in vain.
    """
    positive = task.positive
    if positive is not None and (len(classes) != 2 or positive not in classes):
        wanted = "one of the two" if len(classes) == 2 else "left out: only one of two classes can be positive"
        raise InputError(
            f"task.positive is {shown(positive)}, but the classes are {_listed(classes)}; it must be {wanted}",
            "task.positive",
        )
    if task.metric != "f1" or len(classes) != 2 or task.kind not in OF_ONE_CLASS:
        return None
    return 1 if positive is None else list(classes).index(positive)


def counted(truth: Values, classes: Sequence[str]) -> bool:
    """Whether truth says which class an example has: as (examples,) indices, or (examples, classes) of 0 and 1."""
    return bool(classes) and np.issubdtype(truth.dtype, np.integer)


def class_counts(truth: Values, classes: Sequence[str]) -> list[int]:
    """How many examples each class has; empty where they have none, see `counted`."""
    if not counted(truth, classes):
        return []
    found = truth.sum(axis=0) if truth.ndim == 2 else np.bincount(truth, minlength=len(classes))
    return [int(count) for count in found]


def classes_told(classes: Sequence[str], counts: Sequence[int], positive: int | None) -> str:
    """Such as `classes: bad (251), good (249, positive)`; of many, the first ten."""
    each = [
        f"{printable(name)} ({count:,}{', positive' if i == positive else ''})"
        for i, (name, count) in enumerate(zip(classes, counts, strict=False))
    ] or [printable(name) for name in classes]
    rest = len(each) - MOST_TOLD
    return "classes: " + ", ".join(each[:MOST_TOLD]) + (f" and {rest:,} more" if rest > 0 else "")


def missing_classes(classes: tuple[str, ...], **parts: Values) -> list[str]:
    """Notes on classes that have no example in a part of the data."""
    notes = []
    for name, truth in parts.items():
        counts = class_counts(truth, classes)
        missing = [name for name, count in zip(classes, counts, strict=False) if not count]
        if missing:
            told = ", ".join(shown(one) for one in missing[:5]) + (", ..." if len(missing) > 5 else "")
            what = f"the class {told}" if len(missing) == 1 else f"{len(missing)} classes ({told})"
            notes.append(
                f"{what} has no {name} example" if len(missing) == 1 else f"{what} have no {name} example"
            )
    return notes


def _class_values(table: Table, name: str) -> list[str]:
    return class_names(table, name, FIELD, "a class: text, a whole number or true/false")


def _indices(values: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    index = {value: i for i, value in enumerate(classes)}
    return np.array([index[value] for value in values], dtype=np.int64)


def _listed(classes: Sequence[str]) -> str:
    rest = f" and {len(classes) - MOST_TOLD:,} more" if len(classes) > MOST_TOLD else ""
    return ", ".join(shown(name) for name in classes[:MOST_TOLD]) + rest
