"""Class labels of a column as indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.tasks.tables import Table

MOST_CLASSES = 1000


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
            f"{table.source}: label column {name!r} has {shown}; text-classification needs 2 to {MOST_CLASSES}"
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
