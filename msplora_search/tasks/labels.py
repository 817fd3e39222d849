"""Labels of a column: classes as indices, or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.tasks.tables import Table

MOST_CLASSES = 1000


def labels_of(
    table: Table, name: str, classes: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """`class_labels`, or `known_labels` where the classes are given."""
    return class_labels(table, name) if classes is None else (known_labels(table, name, classes), classes)


def numbers_of(table: Table, name: str) -> NDArray[np.float64]:
    """The numbers of a column. Raises InputError naming the row of anything else, and for a constant."""
    numbers = np.empty(table.rows)
    for row, cell in enumerate(table.column("task.label", name)):
        try:
            numbers[row] = np.nan if cell is None else float(cell)
        except (TypeError, ValueError):
            numbers[row] = np.nan
        if not np.isfinite(numbers[row]):
            raise InputError(
                f"{table.source}: row {row + 1} of label column {name!r} is {cell!r}; it must be a number"
            )
    if (numbers == numbers[0]).all():
        raise InputError(
            f"{table.source}: label column {name!r} is {numbers[0]:g} everywhere; nothing can be learned"
        )
    return numbers


def class_labels(table: Table, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Index of each row's class, and the names of the classes in sorted order.

    Whole numbers sort by value, so 0/1 labels keep their meaning; class 1 is the positive one of two.
    Raises InputError naming the row where a label is missing or no class, and for a single class.
    """
    values = _class_values(table, name)
    if len({type(value) for value in values}) > 1:
        values = [str(value) for value in values]
    classes = sorted(set(values))
    if not 2 <= len(classes) <= MOST_CLASSES:
        shown = f"only the class {classes[0]!r}" if len(classes) == 1 else f"{len(classes)} classes"
        raise InputError(
            f"{table.source}: label column {name!r} has {shown}; classification needs 2 to {MOST_CLASSES}"
        )
    index = {value: i for i, value in enumerate(classes)}
    return np.array([index[value] for value in values], dtype=np.int64), tuple(map(str, classes))


def known_labels(table: Table, name: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Index of each row's class among `classes`. Raises InputError naming the row of any other label."""
    index = {value: i for i, value in enumerate(classes)}
    values = [str(value) for value in _class_values(table, name)]
    for row, value in enumerate(values, start=1):
        if value not in index:
            raise InputError(
                f"{table.source}: row {row} of label column {name!r} is {value!r}; the classes are {list(classes)}"
            )
    return np.array([index[value] for value in values], dtype=np.int64)


def _class_values(table: Table, name: str) -> list[Any]:
    cells = table.column("task.label", name)
    for row, cell in enumerate(cells, start=1):
        if not isinstance(_as_class(cell), str | int):
            wanted = "a class: text, a whole number or true/false"
            raise InputError(
                f"{table.source}: row {row} of label column {name!r} is {cell!r}; it must be {wanted}"
            )
    return [_as_class(cell) for cell in cells]


def _as_class(cell: Any) -> Any:
    """A label as text or whole number; None or a fraction where it is neither."""
    if isinstance(cell, float) and cell.is_integer():  # a column of numbers with a hole is read as floats
        return int(cell)
    return int(cell) if isinstance(cell, bool) else cell


def missing_classes(classes: tuple[str, ...], **parts: NDArray[np.int64]) -> list[str]:
    """Notes on classes that have no example in a part of the data."""
    notes = []
    for name, truth in parts.items():
        missing = [classes[i] for i in sorted(set(range(len(classes))) - set(np.unique(truth).tolist()))]
        if missing:
            shown = ", ".join(repr(one) for one in missing[:5]) + (", ..." if len(missing) > 5 else "")
            what = f"the class {shown}" if len(missing) == 1 else f"{len(missing)} classes ({shown})"
            notes.append(
                f"{what} has no {name} example" if len(missing) == 1 else f"{what} have no {name} example"
            )
    return notes
