"""Rows by column, as the tasks read them, and how a cell that cannot be used is spoken of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from msplora_search.errors import InputError
from msplora_search.text import printable, shown

MOST_LISTED = 20
"""Columns that a message lists."""


@dataclass(frozen=True)
class Table:
    """Columns of equal length, and where they came from."""

    columns: dict[str, list[Any]]
    """Those that were asked for."""
    source: str
    names: tuple[str, ...] = ()
    """Of every column that the source has, where more are there than were asked for."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was read."""
    count: int | None = None
    """Rows, where no column that was asked for is there to tell."""

    def column(self, field: str, name: str) -> list[Any]:
        """The column that the setting `field` names. Raises InputError where it is missing."""
        if name not in self.columns:
            there = _there_are(name, self.names or self.columns)
            said = f"{field} is {shown(name)}, no such column; {there}"
            raise InputError(f"{printable(self.source)}: {said}", field)
        return self.columns[name]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.count if self.count is not None else len(next(iter(self.columns.values()), []))

    def refused(self, field: str, column: str, row: int, said: str) -> InputError:
        """The error for the cell in `row`, counted from 0, of the column that the setting `field` names."""
        what = "label column" if field == "task.label" else "column"
        where = f"{printable(self.source)}: row {row + 1} of {what} {shown(column)}"
        return InputError(f"{where} {said}", field)


def chosen(names: Iterable[str], wanted: Iterable[str] | None) -> list[str]:
    """Those of `names` that are wanted, in order; all of them where None says that nothing is known."""
    kept = None if wanted is None else set(wanted)
    return [name for name in names if kept is None or name in kept]


def require_distinct(source: str, names: Iterable[str]) -> None:
    """Raise InputError where two columns have one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                f"{printable(source)}: two columns are called {shown(name)}; every column needs a name of its own",
                "task.dataset",
            )
        seen.add(name)


def _there_are(wrong: str, names: Iterable[str]) -> str:
    known = sorted(names)
    close = get_close_matches(wrong, known, n=1)
    if close:
        return f"did you mean {shown(close[0])}?"
    listed = ", ".join(printable(name) for name in known[:MOST_LISTED])
    return f"there are: {listed}" + (f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else "")
