"""One file of rows on this machine: a path is a path, its name says the format, its bytes are looked at first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msplora_search.errors import InputError
from msplora_search.files import user_path
from msplora_search.tasks.reading.delimited import read_delimited
from msplora_search.tasks.reading.json_files import read_json_file
from msplora_search.tasks.reading.table import Table, chosen, require_distinct
from msplora_search.text import printable, shown

ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
FIELD = "task.dataset"
NOT_TEXT = {
    b"\x1f\x8b": "compressed by gzip; unpack it",
    b"BZh": "compressed by bzip2; unpack it",
    b"\xfd7zXZ": "compressed by xz; unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it",
    b"PK\x03\x04": "a zip archive, or a workbook of a spreadsheet; unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook of a spreadsheet; save it as CSV",
    b"PAR1": "a parquet file; give it the ending .parquet",
    b"ARROW1": "an Arrow file; save it as parquet",
    b"SQLite format 3": "a database; export its table as CSV",
    b"\xff\xfe\x00\x00": "UTF-32; save it as UTF-8",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
}
"""How files begin that are no text in UTF-8."""
LFS_POINTER = b"version https://git-lfs"


def is_file(path: str) -> bool:
    """Whether `path` is meant as one file; an id, or a folder of data files, is for `hub`."""
    found = user_path(path)
    if os.path.isdir(found):
        return False
    return os.path.lexists(found) or found.suffix.lower() in ENDINGS or path.startswith(("/", ".", "~"))


def fingerprint_of(path: str, field: str = FIELD) -> str:
    """A text that changes when the bytes of the file do. Raises InputError where it cannot be read."""
    found, _ = _existing(path, field)
    try:
        with found.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error, field) from None


def read_file(path: str, wanted: Iterable[str] | None, field: str = FIELD) -> Table:
    """The rows of a file; of its columns those that are wanted.

    The ending of the name as given says the format; where it has none, that of the file it links to does:
    caches and data version control keep files under names without endings. `field`: the setting that names it.
    Raises InputError naming the file, and the line where there is one.
    """
    found, ending = _existing(path, field)
    try:
        with found.open("rb") as file:
            start = file.read(512)
            _require_format(path, start, ending, field)
            if ending == ".parquet":
                return _read_parquet(file, path, wanted)
            text = _decoded(path, start + file.read(), field)
    except OSError as error:
        raise _unreadable(path, error, field) from None
    if ending in (".csv", ".tsv"):
        return read_delimited(path, text, "," if ending == ".csv" else "\t", wanted)
    return read_json_file(path, text, wanted, by_line=ending == ".jsonl")


def _existing(path: str, field: str) -> tuple[Path, str]:
    """The file and the ending that says its format."""
    found = user_path(path)
    if not os.path.isfile(found):  # False also for what no file can be called
        other = os.path.exists(found) and not os.path.isdir(found)
        what = "is a device or a pipe, not a file" if other else "is no file"
        known = f"give a {', '.join(ENDINGS)} file, an id or demo:NAME"
        raise InputError(f"{field}: {printable(path)} {what}; {known}", field)
    ending = found.suffix.lower() or found.resolve().suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{field}: {printable(path)} has the ending {shown(ending)}; it must be {', '.join(ENDINGS)}", field
        )
    return found, ending


def _require_format(path: str, start: bytes, ending: str, field: str) -> None:
    if start.startswith(LFS_POINTER):
        raise InputError(f"{printable(path)}: is a pointer of Git LFS, not the data; run `git lfs pull`", field)
    if ending == ".parquet":
        if start[:4] != b"PAR1":
            raise InputError(f"{printable(path)}: cannot be read as parquet: it does not begin with PAR1", field)
        return
    said = next((said for begin, said in NOT_TEXT.items() if start.startswith(begin)), None)
    if said is None and b"\0" in start:
        said = "no text in UTF-8: it holds NUL bytes, as UTF-16 and programs do; save it as UTF-8"
    if said is not None:
        raise InputError(f"{printable(path)}: is {said}", field)


def _decoded(path: str, data: bytes, field: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise InputError(
            f"{printable(path)}: line {line} is not UTF-8 (byte 0x{byte:02x}); save it as UTF-8", field
        ) from None


def _read_parquet(file: Any, path: str, wanted: Iterable[str] | None) -> Table:
    import datasets
    import pyarrow
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(file)
        names = opened.schema_arrow.names
        require_distinct(path, names)
        data = datasets.Dataset(opened.read(columns=chosen(names, wanted)))
        return Table(columns_of(data), path, tuple(names), count=opened.metadata.num_rows)
    except (pyarrow.ArrowException, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{printable(path)}: cannot be read as parquet: {printable(said)}", FIELD) from None


def columns_of(data: Any) -> dict[str, list[Any]]:
    """The columns of a data set of `datasets`, with the names of classes in place of their numbers."""
    import datasets

    for name, feature in data.features.items():
        if isinstance(feature, datasets.Image):  # opened one by one, with the name of the file at hand
            data = data.cast_column(name, datasets.Image(decode=False))
    columns = {name: list(data[name]) for name in data.column_names}
    for name, feature in data.features.items():
        if isinstance(feature, datasets.ClassLabel):
            columns[name] = [_class_name(feature, v) for v in columns[name]]
        elif isinstance(inner := getattr(feature, "feature", None), datasets.ClassLabel):
            columns[name] = [None if v is None else [_class_name(inner, one) for one in v] for v in columns[name]]
    return columns


def _class_name(feature: Any, number: int | None) -> str | None:
    return None if number is None or number < 0 else str(feature.int2str(number))


def _unreadable(path: str, error: OSError, field: str) -> InputError:
    return InputError(f"{printable(path)}: cannot be read: {error.strerror or type(error).__name__}", field)
