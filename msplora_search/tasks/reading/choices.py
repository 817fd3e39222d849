"""What can be chosen among, and which of it is right, out of the cells of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.settings.task import MOST_CHOICES
from msplora_search.tasks.reading.cells import class_names, class_of, text_of
from msplora_search.tasks.reading.table import Table
from msplora_search.text import printable, shown

FIELD, LABEL = "task.choices", "task.label"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Choices:
    """The choices of one row."""

    texts: tuple[str, ...]
    names: tuple[str, ...] = ()
    """What the row itself calls each; none where it calls them nothing."""


def choices_of(table: Table, names: Sequence[str]) -> list[Choices]:
    """The choices of every row, two or more each, none of them empty.

    From one column of lists of texts, or of {"text": [...], "label": [...]} with a name for each, as ARC and
    CommonsenseQA have them; or from a column for each, where empty cells at the end are no choices.
    Raises InputError naming the row of what is none of that.
    """
    if len(names) == 1:
        cells = table.column(FIELD, names[0])
        return [_of_cell(table, names[0], row, cell) for row, cell in enumerate(cells)]
    columns = [table.column(FIELD, name) for name in names]
    return [_of_cells(table, names, row, cells) for row, cells in enumerate(zip(*columns, strict=True))]


def right_choices(table: Table, name: str, choices: Sequence[Choices]) -> tuple[NDArray[np.int64], str]:
    """The index of each row's right choice, and how the label column was read.

    All labels of a column are read alike: as what the rows call their choices where they do, else as indices from
    0, as letters or as texts of choices, whichever fits every row. Raises InputError naming the row where none
    does, or where two do and disagree.
    """
    cells = class_names(table, name, LABEL, "an index from 0, a letter, or the text of a choice")
    found: dict[str, list[int]] = {}
    furthest, stopped = -1, ""
    for told, read in _readings(choices).items():
        indices: list[int] = []
        for cell, of in zip(cells, choices, strict=True):
            index = read(cell, of)
            if index is None:
                break
            indices.append(index)
        if len(indices) == len(cells):
            found[told] = indices
        elif len(indices) > furthest:
            furthest, stopped = len(indices), told
    if not found:
        raise _unread(table, name, furthest, cells, choices[furthest], stopped)
    (told, indices), *others = found.items()
    for other, differing in others:
        row = next((i for i, pair in enumerate(zip(indices, differing, strict=True)) if pair[0] != pair[1]), None)
        if row is not None:
            said = f"is {shown(cells[row])}, which is one choice as {told} and another as {other}"
            raise table.refused(LABEL, name, row, f"{said}; write the labels of the column as letters A, B, ...")
    return np.array(indices, dtype=np.int64), f"labels are read as {told}"


def _readings(choices: Sequence[Choices]) -> dict[str, Callable[[str, Choices], int | None]]:
    if any(of.names for of in choices):
        return {"the choices' own names": _by_name}
    return {"indices from 0": _by_index, "letters": _by_letter, "texts of choices": _by_text}


def _by_name(cell: str, of: Choices) -> int | None:
    return of.names.index(cell) if of.names.count(cell) == 1 else None


def _by_index(cell: str, of: Choices) -> int | None:
    known = cell.isascii() and cell.isdigit() and len(cell) < 3
    return int(cell) if known and int(cell) < len(of.texts) else None


def _by_letter(cell: str, of: Choices) -> int | None:
    letters = LETTERS[: len(of.texts)]
    return letters.index(cell.upper()) if len(cell) == 1 and cell.upper() in letters else None


def _by_text(cell: str, of: Choices) -> int | None:
    texts = [text.strip() for text in of.texts]
    return texts.index(cell) if texts.count(cell) == 1 else None


def _unread(table: Table, name: str, row: int, cells: Sequence[str], of: Choices, stopped: str) -> InputError:
    """The error for a column that no reading fits: that of the row at which the best of them stopped."""
    last = len(of.texts) - 1
    if of.names:
        wanted = f"one of the names of the row's choices, {', '.join(map(shown, of.names))}"
    else:
        wanted = f"an index from 0 to {last}, a letter from A to {LETTERS[last]}, or the text of a choice"
    said = f"is {shown(cells[row])}"
    if cells[row] == str(last + 1) and all(cell.isdigit() and cell != "0" for cell in cells):
        return table.refused(LABEL, name, row, f"{said}, for the column counts from 1; it must count from 0")
    if [text.strip() for text in of.texts].count(cells[row]) > 1:
        return table.refused(LABEL, name, row, f"{said}, the text of several choices; it must be {wanted}")
    before = f"; the labels before it are {stopped}, and all must be of one form" if row else ""
    return table.refused(LABEL, name, row, f"{said}; it must be {wanted}{before}")


def _of_cell(table: Table, name: str, row: int, cell: Any) -> Choices:
    names: tuple[str, ...] = ()
    given = cell
    if isinstance(cell, dict) and isinstance(cell.get("text"), list):
        given = cell["text"]
        labels = cell.get("label", cell.get("labels"))
        if isinstance(labels, list):
            names = tuple(class_of(one) or "" for one in labels)
            if len(names) != len(given):
                said = f"has {len(given)} choices and {len(names)} names for them; each must have one"
                raise table.refused(FIELD, name, row, said)
    if not isinstance(given, list):
        one = "; where each choice has a column, name them all" if isinstance(cell, str) else ""
        raise table.refused(FIELD, name, row, f"is {shown(cell)}; it must be a list of texts{one}")
    texts = [text_of(one) for one in given]
    for place, text in enumerate(texts, start=1):
        if text is None or not text.strip():
            said = "is empty" if text is not None else f"is {shown(given[place - 1])}"
            raise table.refused(FIELD, name, row, f"has a choice {place} that {said}; it must be text")
    if not 2 <= len(texts) <= MOST_CHOICES:
        said = f"has {len(texts)} choice{'' if len(texts) == 1 else 's'}; it must have 2 to {MOST_CHOICES}"
        raise table.refused(FIELD, name, row, said)
    return Choices(tuple(text or "" for text in texts), names)


def _of_cells(table: Table, names: Sequence[str], row: int, cells: tuple[Any, ...]) -> Choices:
    texts = [text_of(cell) for cell in cells]
    for name, cell, text in zip(names, cells, texts, strict=True):
        if text is None:
            raise table.refused(FIELD, name, row, f"is {shown(cell)}; it must be text")
    kept = [text or "" for text in texts]
    while kept and not kept[-1].strip():
        kept.pop()
    gap = next((name for name, text in zip(names, kept, strict=False) if not text.strip()), None)
    if gap is not None:
        raise table.refused(FIELD, gap, row, "is empty, but a later choice is not; only the last ones may be")
    if len(kept) < 2:
        where = f"{printable(table.source)}: row {row + 1}"
        raise InputError(f"{where} has {len(kept)} choices in {len(names)} columns; it must have two", FIELD)
    return Choices(tuple(kept))
