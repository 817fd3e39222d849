"""Writes the files of a report into a folder, each whole, and into no other folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msplora_search.errors import InputError
from msplora_search.files import install


def write_folder(folder: Path, fill: Callable[[Path], None], last: str | None = None) -> None:
    """`files.install`; raises InputError where it cannot, or where a link leads out of the output folder."""
    try:
        if folder.is_symlink():
            raise InputError(f"{folder}: is a link to another folder, which may not be ours; delete the link")
        install(folder, fill, last)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}; the report needs a folder it can write") from None
