"""Folders of data files and data sets of the Hugging Face hub."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msplora_search.adapters.foreign import hub_cache_fault, in_one_line
from msplora_search.errors import InputError
from msplora_search.files import user_path
from msplora_search.settings.task import DatasetSource
from msplora_search.tasks.reading import local_files
from msplora_search.tasks.reading.local_files import ENDINGS, columns_of, read_file
from msplora_search.tasks.reading.table import Table, chosen
from msplora_search.text import printable, shown

PATTERNS = ("[", "]", "?", "*", "::")
"""What the library takes for a pattern in the name of a folder."""


def read_data_set(source: DatasetSource, wanted: Sequence[str] | None) -> Table:
    """A split of a data set. Text files of a folder are read as single files are; see `local_files`.

    Raises InputError where it cannot be had, naming the cache where that is what cannot be written.
    """
    files = _plain_files(source)
    if files:
        return _joined(source.path, [read_file(file, wanted) for file in files])
    data = _load(source, wanted)
    names = tuple(data.column_names)
    return Table(columns_of(data.select_columns(chosen(names, wanted))), source.path, names, count=len(data))


def fingerprint_of(source: DatasetSource, wanted: Sequence[str] | None) -> str:
    """A text that changes when the wanted columns do. Raises InputError as `read_data_set` does."""
    files = _plain_files(source)
    if files:
        return hashlib.sha256("".join(local_files.fingerprint_of(file) for file in files).encode()).hexdigest()
    return str(_load(source, wanted)._fingerprint)


def _load(source: DatasetSource, wanted: Sequence[str] | None) -> Any:
    """The split as `datasets` reads it; of CSV files only the wanted columns, as the text that stands in them."""
    import datasets

    with _asked(source):
        builder = _builder(source)
        options: dict[str, Any] = {}
        if type(builder.config).__name__ == "CsvConfig" and builder.info.features is None and wanted is not None:
            converters = dict.fromkeys(wanted, str)
            options = {"na_filter": False, "usecols": list(wanted), "converters": converters}
        return datasets.load_dataset(
            source.path, source.name, split=source.split, revision=source.revision, **options
        )


def _plain_files(source: DatasetSource) -> list[str]:
    """The files of a folder that make the split; none where they are no tables of ours, or described by it."""
    if not user_path(source.path).is_dir():
        return []
    if any(sign in str(user_path(source.path).resolve()) for sign in PATTERNS):
        raise InputError(
            f"task.dataset: the name of the folder {printable(source.path)} holds one of {' '.join(PATTERNS)}; "
            "rename it, or name one file in it",
            "task.dataset",
        )
    with _asked(source):
        builder = _builder(source)
    found = [str(file) for file in (builder.config.data_files or {}).get(source.split, [])]
    ours = all(Path(file).suffix.lower() in ENDINGS and Path(file).is_file() for file in found)
    return found if ours and builder.info.features is None else []


def _joined(source: str, tables: list[Table]) -> Table:
    """One below the other; a column that one of them lacks is empty there."""
    if len(tables) == 1:
        return tables[0]
    names = tuple(dict.fromkeys(name for table in tables for name in table.names))
    asked = dict.fromkeys(name for table in tables for name in table.columns)
    columns = {
        name: [cell for table in tables for cell in table.columns.get(name, [None] * table.rows)] for name in asked
    }
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return Table(columns, source, names, notes, sum(table.rows for table in tables))


def _builder(source: DatasetSource) -> Any:
    import datasets

    return datasets.load_dataset_builder(source.path, source.name, revision=source.revision)


@contextmanager
def _asked(source: DatasetSource) -> Iterator[None]:
    """Keep the library quiet, and say what failed in one line."""
    import datasets

    try:
        with _quiet():
            yield
    except Exception as error:
        if fault := hub_cache_fault(error, str(datasets.config.HF_DATASETS_CACHE)):
            raise InputError(f"task.dataset {shown(source.path)}: {fault}", "task.dataset") from None
        cause = error.__cause__ if type(error).__module__.startswith("datasets") and error.__cause__ else error
        raise InputError(
            f"task.dataset {shown(source.path)}: {in_one_line(cause)}; give a file, demo:NAME, a folder of data "
            "files, or a Hugging Face id (with name and split) that can be reached",
            "task.dataset",
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars, no warnings and no log lines of the library."""
    import datasets
    from huggingface_hub.utils.tqdm import disable_progress_bars

    datasets.disable_progress_bars()
    disable_progress_bars()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
