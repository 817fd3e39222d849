"""What a cell means: a text, a class, or a number. One rule for every format, which the docstrings give."""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from msplora_search.errors import InputError
from msplora_search.tasks.reading.table import Table
from msplora_search.text import printable, shown

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
SWITCHES = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
"""Yes and no as text."""
LARGEST = 1e30
"""Of numbers to be predicted: their squares are computed in fp32 and bf16."""


def text_of(cell: Any) -> str | None:
    """A cell as text; None where it is none.

    Text is itself, an empty cell is the empty text. Numbers, dates and true/false, which only typed formats
    (JSON, Parquet, data sets of the hub) have, are written out: 3, 1.5, 2024-12-31, true. Bytes are text where
    they are UTF-8. Nothing else is text: no infinities and NaN, no lists and mappings, no halves of characters.
    """
    text: str | None = None
    match cell:
        case None:
            text = ""
        case str():
            text = cell if cell.isascii() or _is_whole(cell) else None
        case bool():
            text = str(cell).lower()
        case float():
            text = repr(cell) if math.isfinite(cell) else None
        case int() | decimal.Decimal() | datetime.date() | datetime.time():
            text = str(cell)
        case bytes():
            text = _decoded(cell)
    return text


def class_of(cell: Any) -> str | None:
    """A cell as the name of a class; None where it is none.

    A class is the cell's text without outer spaces: `01` and `1` are two classes, and so are `None` and `NA`.
    In typed formats a whole number is its digits, 1.0 as well as 1, for columns with an empty cell are often
    stored so; any other fraction is no class, since 1.10 and 1.1 are one number there: write it as text.
    """
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else None
    return (text_of(cell) or "").strip() or None


def number_of(cell: Any) -> float | None:
    """A cell as a number to be predicted: finite, at most 1e30; None where it is none, as true/false is."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | decimal.Decimal):
        return None
    if isinstance(cell, str) and not NUMBER.fullmatch(cell.strip()):
        return None
    try:
        number = float(cell)
    except (OverflowError, ValueError):
        return None
    return number if abs(number) <= LARGEST else None


def switch_of(cell: Any) -> bool | None:
    """A cell as yes or no: true/false, 1/0, or one of them as text; None where it is none of these."""
    if isinstance(cell, bool | int | float):
        return bool(cell) if cell in (0, 1) else None
    return SWITCHES.get((text_of(cell) or "").strip().lower())


def class_order(names: set[str]) -> list[str]:
    """By value where all are whole numbers as one writes them, else as text: 2 before 10, but `01` as text."""
    return sorted(names, key=int) if all(_is_integer(name) for name in names) else sorted(names)


def texts(table: Table, names: Sequence[str], field: str) -> list[list[str]]:
    """The columns that the setting `field` names, as text. Raises InputError naming the row of what is none."""
    columns = []
    for name in names:
        found = []
        for row, cell in enumerate(table.column(field, name)):
            text = text_of(cell)
            if text is None:
                raise table.refused(field, name, row, f"is {shown(cell)}; it must be text")
            found.append(text)
        columns.append(found)
    return columns


def class_names(table: Table, name: str, field: str, wanted: str) -> list[str]:
    """The column that the setting `field` names, as names of classes, see `class_of`.

    `wanted`: what a cell must be. Raises InputError naming the row of what is none.
    """
    names = []
    for row, cell in enumerate(table.column(field, name)):
        found = class_of(cell)
        if found is None:
            said = "is empty" if cell == "" else f"is {shown(cell)}"
            raise table.refused(field, name, row, f"{said}; it must be {wanted}")
        names.append(found)
    return names


def lists_of(
    table: Table, field: str, name: str, read: Callable[[Any], str | None], wanted: str
) -> list[list[str]]:
    """The column that the setting `field` names, as lists, each item by `read`, which gives None for what is none.

    `wanted`: what a cell must be. Raises InputError naming the row of what is none.
    """
    found = []
    for row, cell in enumerate(table.column(field, name)):
        if not isinstance(cell, list | tuple):
            said = "is empty" if cell in (None, "") else f"is {shown(cell)}"
            raise table.refused(field, name, row, f"{said}; it must be {wanted}")
        items = [None if item is None else read(item) for item in cell]
        if None in items:
            place = items.index(None)
            raise table.refused(
                field, name, row, f"has {shown(cell[place])} as item {place + 1}; it must be {wanted}"
            )
        found.append([item for item in items if item is not None])
    return found


def empty_note(
    table: Table, names: Sequence[str], columns: list[list[str]], field: str, all_empty: bool = False
) -> str:
    """How many rows have an empty text among `columns`; with `all_empty`, no text but empty ones.

    Raises InputError where every row of a column (with `all_empty`, of all of them) is empty.
    """
    blank = [[not text.strip() for text in texts_of] for texts_of in columns]
    hollow = [name for name, cells in zip(names, blank, strict=True) if all(cells)]
    if len(hollow) > (len(names) - 1 if all_empty else 0):
        raise InputError(
            f"{printable(table.source)}: column {shown(hollow[0])} is empty everywhere; it must hold texts", field
        )
    count = sum((all if all_empty else any)(cells) for cells in zip(*blank, strict=True))
    return f"{count:,} of {table.rows:,} rows have an empty text" if count else ""


def _is_integer(name: str) -> bool:
    return len(name) < 20 and re.fullmatch(r"0|-?[1-9][0-9]*", name) is not None


def _is_whole(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
