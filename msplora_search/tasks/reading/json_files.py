"""JSON, one object a line or one document, as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from msplora_search.errors import InputError
from msplora_search.tasks.reading.table import Table, chosen
from msplora_search.text import printable, shown

MOST_DIGITS = 4000
"""Python refuses to read longer integers; such a one is kept as its digits."""
Object = dict[str, Any]


class RepeatedKeyError(ValueError):
    """An object names a key twice."""


def read_json_file(path: str, text: str, wanted: Iterable[str] | None, by_line: bool) -> Table:
    """Rows out of JSON: an object a line, a list of objects, {"column": [cells]}, or {"data": [objects]}.

    A key that a row lacks is an empty cell. `by_line`: what files with such an ending hold; the other is read too.
    Raises InputError naming the line, or the row that is no object.
    """
    kept = None if wanted is None else set(wanted)
    if by_line and not text.lstrip().startswith("["):
        return _table(path, _lines(path, text), kept)
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_int=_integer) if text.strip() else []
    except (ValueError, RecursionError) as error:
        if not by_line and isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _table(path, _lines(path, text), kept)
        raise _broken(path, error, 1) from None
    if isinstance(document, dict) and _is_columns(document):
        return _of_columns(path, document, kept)
    return _table(path, enumerate(_rows(path, document), start=1), kept, "row")


def _lines(path: str, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line, object_pairs_hook=_object, parse_int=_integer)
            except (ValueError, RecursionError) as error:
                raise _broken(path, error, number) from None


def _rows(path: str, document: Any) -> list[Any]:
    """The list of rows in a document."""
    if isinstance(document, dict) and len(document) == 1:
        (document,) = document.values()
    if not isinstance(document, list):
        forms = 'a list of objects, {"column": [cells]} or an object a line'
        raise InputError(f"{printable(path)}: holds no rows; JSON must be {forms}", "task.dataset")
    return document


def _is_columns(document: Object) -> bool:
    lists = all(isinstance(cells, list) for cells in document.values())
    of_rows = len(document) == 1 and all(isinstance(c, dict) for cells in document.values() for c in cells)
    return bool(document) and lists and not of_rows


def _of_columns(path: str, document: Object, wanted: set[str] | None) -> Table:
    lengths = {name: len(cells) for name, cells in document.items()}
    rows = next(iter(lengths.values()))
    odd = next((name for name, length in lengths.items() if length != rows), None)
    if odd is not None:
        raise InputError(
            f"{printable(path)}: column {shown(odd)} has {lengths[odd]} cells, but {shown(next(iter(lengths)))} "
            f"{rows}; all must have as many",
            "task.dataset",
        )
    names = tuple(document)
    return Table({name: document[name] for name in chosen(names, wanted)}, path, names, count=rows)


def _table(path: str, rows: Iterable[tuple[int, Any]], wanted: set[str] | None, unit: str = "line") -> Table:
    names: dict[str, None] = {}
    kept: list[Object] = []
    for number, row in rows:
        if not isinstance(row, dict):
            said = f"{unit} {number} is {shown(row)}; it must be an object with the columns as keys"
            raise InputError(f"{printable(path)}: {said}", "task.dataset")
        names.update(dict.fromkeys(row))
        kept.append({name: row[name] for name in row if wanted is None or name in wanted})
    columns = {name: [row.get(name) for row in kept] for name in chosen(names, wanted)}
    return Table(columns, path, tuple(names), count=len(kept))


def _object(pairs: list[tuple[str, Any]]) -> Object:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return made


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MOST_DIGITS else digits


def _broken(path: str, error: Exception, line: int) -> InputError:
    match error:
        case json.JSONDecodeError():
            line, said = line + error.lineno - 1, f"{error.msg} (column {error.colno})"
        case RepeatedKeyError():
            said = f"an object has the key {shown(str(error))} twice"
        case RecursionError():
            said = "it is nested too deep"
        case _:
            said = printable(str(error))
    return InputError(f"{printable(path)}: line {line} is no JSON that can be read: {said}", "task.dataset")
