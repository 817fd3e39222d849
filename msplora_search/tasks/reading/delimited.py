"""Tables of text: CSV and TSV. A cell is the text that stands in the file."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from msplora_search.errors import InputError
from msplora_search.tasks.reading.table import Table, chosen, require_distinct
from msplora_search.text import printable

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Reading:
    """The rows of a file in one way of reading, each with its first line; and what is wrong with that way."""

    rows: list[tuple[int, list[str]]]
    wrong: str | None

    @property
    def header(self) -> list[str]:
        """The first row."""
        return self.rows[0][1] if self.rows else []


def read_delimited(path: str, text: str, usual: str, wanted: Iterable[str] | None) -> Table:
    """The rows under a header; empty lines are none. `usual`: the separator of files with such an ending.

    The separator is the usual one, unless another (comma, semicolon, tab) finds more of the wanted columns in
    the header, or is the only one that finds more than one column.

    Quotes around a cell have their meaning where every row, so read, has as many cells as the header. Where that
    is so with quotes as plain text too, quotes are plain text if they would join lines, for a lone quote does
    that; and in TSV, where most programs do not quote, unless a quote in the header, or one that is doubled
    within a cell, shows that the file is quoted.

    Raises InputError naming the line where neither way gives every row as many cells as the header.
    """
    text = text if "\n" in text else text.replace("\r", "\n")
    names = None if wanted is None else set(wanted)
    separator = _separator(text, usual, names or set())
    reading, meaning = _reading(path, text, separator)
    header = [name.strip() for name in reading.header]
    require_distinct(path, filter(None, header))
    places = {name: header.index(name) for name in chosen(filter(None, header), names)}
    rows = [row for _, row in reading.rows[1:]]
    columns = {name: [row[place] for row in rows] for name, place in places.items()}
    told = [f"separated by {SEPARATORS[separator]}"] if separator != usual else []
    return Table(columns, path, tuple(filter(None, header)), (*told, *meaning), len(rows))


def _separator(text: str, usual: str, wanted: set[str]) -> str:
    def worth(separator: str) -> tuple[int, bool, bool]:
        try:
            with _long_cells():
                header: list[str] = next(_parsed(text, separator, strict=False), [])
        except csv.Error:
            header = []
        found = len(wanted & {name.strip() for name in header})
        return found, len(header) > 1, separator == usual

    return max(SEPARATORS, key=worth)


def _reading(path: str, text: str, separator: str) -> tuple[Reading, list[str]]:
    """The right way of reading, and what there is to tell of it."""
    plain = _plain(text, separator)
    quoted = _quoted(text, separator) if '"' in text else None
    if quoted is None:
        right = plain
    elif plain.wrong is None and quoted.wrong is None:
        same = len(plain.rows) == len(quoted.rows)
        right = quoted if same and (separator != "\t" or _shows_quoting(plain, quoted)) else plain
    elif plain.wrong is not None and quoted.wrong is not None:
        right = quoted if separator != "\t" or text.startswith('"') else plain
    else:
        right = quoted if quoted.wrong is None else plain
    if right.wrong is not None:
        raise InputError(f"{printable(path)}: {right.wrong}", "task.dataset")
    if quoted is None:
        return right, []
    return right, ["quotes around cells are taken off" if right is quoted else "quotes are part of the text"]


def _shows_quoting(plain: Reading, quoted: Reading) -> bool:
    """Both have the same rows and as many cells in each."""
    if plain.header != quoted.header:
        return True
    pairs = zip(plain.rows, quoted.rows, strict=True)
    return any(
        raw != cell and '"' in cell for (_, row), (_, taken) in pairs for raw, cell in zip(row, taken, strict=True)
    )


def _plain(text: str, separator: str) -> Reading:
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    rows = [(number, line.split(separator)) for number, line in enumerate(lines, start=1) if line]
    return Reading(rows, _uneven(rows))


def _quoted(text: str, separator: str) -> Reading:
    rows: list[tuple[int, list[str]]] = []
    reader, start = _parsed(text, separator, strict=True), 1
    try:
        with _long_cells():
            for row in reader:
                if row:
                    rows.append((start, row))
                start = reader.line_num + 1
    except csv.Error as error:
        said = "a quote that is never closed" if "end of data" in str(error) else str(error)
        hint = "a quote within a quoted cell is written twice"
        return Reading(rows, _uneven(rows) or f"line {start} has {said}; {hint}")
    return Reading(rows, _uneven(rows))


def _uneven(rows: list[tuple[int, list[str]]]) -> str | None:
    width = len(rows[0][1]) if rows else 0
    for line, row in rows:
        if len(row) != width:
            cells = f"{len(row)} cell{'s' * (len(row) != 1)}"
            return f"line {line} has {cells}, but the header {width}; every row must have as many as the header"
    return None


def _parsed(text: str, separator: str, strict: bool) -> Any:
    return csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, strict=strict)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let a cell be as long as it is; the module has one bound for everybody."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
