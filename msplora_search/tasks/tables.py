"""Rows of a data set by column: local files and folders, Hugging Face data sets, demo data."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msplora_search.errors import InputError, suggest
from msplora_search.settings.task import DatasetSource
from msplora_search.tasks.demo import PREFIX, demo_fingerprint, demo_rows

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True)
class Table:
    """Columns of equal length, and where they came from."""

    columns: dict[str, list[Any]]
    source: str

    def column(self, field: str, name: str) -> list[Any]:
        """The column that the setting `field` names. Raises InputError where it is missing."""
        if name not in self.columns:
            raise InputError(f"{self.source}: {field} is {name!r}, no such column; {suggest(name, self.columns)}")
        return self.columns[name]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), []))


def fingerprint(source: DatasetSource) -> str:
    """A text that changes when the rows do. Does not read more than the bytes of a local file."""
    if source.path.startswith(PREFIX):
        return demo_fingerprint(source.path.removeprefix(PREFIX))
    if is_file(source.path):
        with _existing(source.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return str(_hub(source)._fingerprint)


def read_table(source: DatasetSource) -> Table:
    """Read all rows. Raises InputError naming the source where it cannot be read or is empty."""
    if source.path.startswith(PREFIX):
        rows = demo_rows(source.path.removeprefix(PREFIX))
        table = Table({name: [row[name] for row in rows] for name in rows[0]}, source.path)
    elif is_file(source.path):
        table = _read_file(_existing(source.path))
    else:
        table = _of_dataset(_hub(source), source.path)
    if not table.rows:
        raise InputError(f"{source.path}: the data set is empty; it must have rows")
    return table


def is_file(path: str) -> bool:
    """Whether `path` is meant as one file; an id, or a folder of data files, is for `load_dataset`."""
    found = Path(path).expanduser()
    return not found.is_dir() and (found.suffix in READERS or found.exists() or path.startswith(("/", ".", "~")))


def _existing(path: str) -> Path:
    found = Path(path).expanduser()
    if not found.is_file():
        raise InputError(f"task.dataset: {path} is no file; give a {', '.join(READERS)} file, an id or demo:NAME")
    if found.suffix not in READERS:
        raise InputError(f"task.dataset: {path} has the ending {found.suffix!r}; it must be {', '.join(READERS)}")
    return found


def _read_file(path: Path) -> Table:
    import datasets

    if path.stat().st_size == 0:  # datasets has a long explanation of its own for this
        return Table({}, str(path))
    options: dict[str, Any] = {"sep": "\t"} if path.suffix == ".tsv" else {}
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            reader = READERS[path.suffix]
            data = datasets.load_dataset(
                reader, data_files=str(path), split="train", cache_dir=scratch, keep_in_memory=True, **options
            )
            return _of_dataset(data, str(path))
    except (datasets.exceptions.DatasetsError, ValueError, OSError) as error:
        if "corresponds to no data" in str(error):
            return Table({}, str(path))
        cause = error.__cause__ or error
        first_line = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]}: {first_line}") from None


def _hub(source: DatasetSource) -> Any:
    import datasets

    try:
        return datasets.load_dataset(source.path, source.name, split=source.split, revision=source.revision)
    except Exception as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"task.dataset {source.path!r}: {first_line}; give a file, demo:NAME, a folder of data files, "
            "or a Hugging Face id (with name and split) that can be reached"
        ) from None


def _of_dataset(data: Any, source: str) -> Table:
    import datasets

    for name, feature in data.features.items():
        if isinstance(feature, datasets.Image):  # opened one by one, with the name of the file at hand
            data = data.cast_column(name, datasets.Image(decode=False))
    columns = {name: list(data[name]) for name in data.column_names}
    for name, feature in data.features.items():
        if isinstance(feature, datasets.ClassLabel):
            columns[name] = [None if v is None or v < 0 else feature.int2str(v) for v in columns[name]]
    return Table(columns, source)


def texts(table: Table, names: Sequence[str], field: str) -> list[list[str]]:
    """The text columns that the setting `field` names, as text: an empty cell is "", a number is written out.

    Raises InputError for a cell that holds a list or a mapping.
    """
    columns = []
    for name in names:
        cells = table.column(field, name)
        odd = next((i for i, cell in enumerate(cells) if isinstance(cell, list | dict)), None)
        if odd is not None:
            raise InputError(
                f"{table.source}: row {odd + 1} of column {name!r} is {cells[odd]!r}; it must be text"
            )
        columns.append(["" if cell is None else str(cell) for cell in cells])
    return columns
