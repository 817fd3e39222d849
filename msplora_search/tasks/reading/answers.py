"""Right answers out of the cells of a table: texts of the context, and where they begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msplora_search.errors import InputError
from msplora_search.tasks.reading.cells import text_of
from msplora_search.tasks.reading.table import Table
from msplora_search.text import brief, printable, shown

FIELD = "task.answers"
FORMS = 'a text of the context, a list of such texts, or {"text": [...], "answer_start": [...]}'


@dataclass(frozen=True)
class Answers:
    """The right answers to one question: none where it has no answer."""

    texts: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    """Where each begins in the context, in characters."""


def answers_of(table: Table, name: str, contexts: list[str]) -> list[Answers]:
    """The answers of every row; those without a place are where they first occur in the context.

    Raises InputError naming the row of an answer that is not in its context, or not where it is said to be, and
    where no question has an answer.
    """
    cells = table.column(FIELD, name)
    found = [_of_cell(table, name, row, cell, contexts[row]) for row, cell in enumerate(cells)]
    if not any(one.texts for one in found):
        raise InputError(
            f"{printable(table.source)}: no row of column {shown(name)} has an answer; some must", FIELD
        )
    return found


def _of_cell(table: Table, name: str, row: int, cell: Any, context: str) -> Answers:
    starts: Any = None
    given = cell
    if isinstance(cell, dict) and "text" in cell:
        given, starts = cell["text"], cell.get("answer_start")
    if not isinstance(given, list):
        text = text_of(given)
        if text is None:
            raise table.refused(FIELD, name, row, f"is {shown(cell)}; it must be {FORMS}")
        given = [given] if text.strip() else []
        starts = [starts] if isinstance(starts, int) else starts
    if starts is not None and not (isinstance(starts, list) and len(starts) == len(given)):
        said = f"has {len(given)} texts, but {shown(starts)} as answer_start; each text must have its place"
        raise table.refused(FIELD, name, row, said)
    placed = [
        _placed(table, name, row, one, starts[i] if starts else None, context) for i, one in enumerate(given)
    ]
    return Answers(tuple(text for text, _ in placed), tuple(start for _, start in placed))


def _placed(table: Table, name: str, row: int, given: Any, start: Any, context: str) -> tuple[str, int]:
    """An answer without outer spaces, and where it begins."""
    text = text_of(given)
    if text is None or not text.strip():
        said = "an empty text" if text is not None else shown(given)
        raise table.refused(FIELD, name, row, f"has the answer {said}; each must be text of the context")
    if start is None:
        start = context.find(text.strip())
        if start < 0:
            raise table.refused(FIELD, name, row, f"has the answer {shown(text)}, which is not in its context")
        return text.strip(), start
    known = isinstance(start, int) and not isinstance(start, bool) and start >= 0
    if not known or context[start : start + len(text)] != text:
        there = f"the context has {shown(brief(context[start : start + len(text)], 60))} there" if known else ""
        wanted = there or "it must be the number of the answer's first character, from 0"
        raise table.refused(FIELD, name, row, f"has answer_start {shown(start)} for {shown(text)}, but {wanted}")
    return text.strip(), start + len(text) - len(text.lstrip())
