"""Rows of a data set by column: local files and folders, Hugging Face data sets, demo data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msplora_search.errors import InputError
from msplora_search.settings.task import DatasetSource
from msplora_search.tasks.demo import PREFIX, demo_fingerprint, demo_rows
from msplora_search.tasks.reading import hub
from msplora_search.tasks.reading.local_files import ENDINGS, FIELD, fingerprint_of, is_file, read_file
from msplora_search.tasks.reading.table import Table, chosen
from msplora_search.text import printable, shown

TEST_FIELD = "task.dataset.test"


def fingerprint(source: DatasetSource, wanted: Sequence[str] | None = None, field: str = FIELD) -> str:
    """A text that changes when the wanted columns do. Does not read more than the bytes of a local file."""
    if source.path.startswith(PREFIX):
        return demo_fingerprint(source.path.removeprefix(PREFIX))
    if is_file(source.path):
        return fingerprint_of(source.path, field)
    return hub.fingerprint_of(source, wanted)


def read_table(source: DatasetSource, wanted: Sequence[str] | None = None, field: str = FIELD) -> Table:
    """Read all rows; of the columns only those that are wanted, where that is known.

    `field`: the setting that names the source. Raises InputError naming the source where it cannot be read or is
    empty. A column that is missing is told by `Table.column`.
    """
    if source.path.startswith(PREFIX):
        table = _of_demo(source.path, wanted)
    elif is_file(source.path):
        table = read_file(source.path, wanted, field)
    else:
        table = hub.read_data_set(source, wanted)
    if not table.rows:
        raise InputError(f"{printable(source.path)}: the data set is empty; it must have rows", field)
    return replace(table, notes=(", ".join((f"{table.rows:,} rows are read", *table.notes)),))


def source_of_test(source: DatasetSource) -> DatasetSource | None:
    """Where the test part is that `source` names: a file of its own, or another split of the same data set.

    A single file and demo data have no splits: beside them a test part is a file, or demo data.
    Raises InputError where they are to have one.
    """
    test = source.test
    if test is None:
        return None
    alone = source.path.startswith(PREFIX) or is_file(source.path)
    written_as_path = Path(test).suffix.lower() in ENDINGS or test.startswith(("/", "./", "../", "~"))
    if test.startswith(PREFIX) or written_as_path or (alone and is_file(test)):
        return source.model_copy(update={"path": test, "name": None, "test": None})
    if alone:
        raise InputError(
            f"{TEST_FIELD} is {shown(test)}, which is no file, and {printable(source.path)} has no splits; name a "
            f"{', '.join(ENDINGS)} file, or leave it out for a share of the rows",
            TEST_FIELD,
        )
    return source.model_copy(update={"split": test, "test": None})


def _of_demo(path: str, wanted: Sequence[str] | None) -> Table:
    rows = demo_rows(path.removeprefix(PREFIX))
    names = tuple(rows[0])
    return Table({name: [row[name] for row in rows] for name in chosen(names, wanted)}, path, names, (), len(rows))
