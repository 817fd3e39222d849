"""The database file of a study: whether it is whole before it is used, and still there while it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from msplora_search.errors import InputError
from msplora_search.files import damaged
from msplora_search.search.store.address import DATABASE, file_of

STUDY_FILE = "study.yaml"
"""Written once the database holds a study."""
REPORT = "report"
"""Folder that is written when a search ends."""
REMEDY = "restore it from a copy, or delete it to begin anew"


def holds_study(output: Path) -> bool:
    """Whether the folder's own database holds a study, finished or not; False where it has none.

    Raises InputError, before anything is opened for good or written, where the file is damaged, or where it
    is empty though a study was begun here: results that were lost must not be searched for again in silence.
    """
    path = output / DATABASE
    if not os.path.lexists(path):
        return False
    if not path.is_file():
        raise InputError(f"{path}: is no file, but must be the study's database; move it away")
    found = _studies(path)
    if not found and any((output / name).exists() for name in (STUDY_FILE, REPORT)):
        what = "it holds no study any more" if path.stat().st_size else "it is empty"
        raise damaged(path, what, REMEDY)
    return found > 0


def _studies(path: Path) -> int:
    """How many studies a database holds. Raises InputError where it is no whole database."""
    try:
        # rw: what a killed process left half written is rolled back, but no file is made
        address = f"file:{quote(os.fsencode(path.resolve()))}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=60)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise damaged(path, str(verdict), REMEDY)
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "studies" not in tables:
                return 0
            return int(database.execute("SELECT count(*) FROM studies").fetchone()[0])
    except sqlite3.OperationalError as error:
        raise InputError(f"{path}: cannot be read: {error}; it must be readable, and in use by one run") from None
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error), REMEDY) from None


@dataclass(frozen=True)
class Watch:
    """Notices that the file behind an open database is gone: SQLite goes on writing into nothing."""

    path: Path | None
    """None for a database that is no file."""
    identity: tuple[int, int] = (0, 0)

    @classmethod
    def on(cls, url: str) -> Watch:
        """Watch the file of an SQLite address that is open."""
        path = file_of(url)
        return cls(None) if path is None else cls(path.absolute(), _identity(path))

    def require_there(self) -> None:
        """Raise InputError where the file was deleted, moved or replaced since."""
        if self.path is not None and _identity(self.path) != self.identity:
            raise InputError(
                f"{self.path}: was deleted, moved or replaced while the search ran, so its results are stored "
                "no more; put it back and the same command goes on, or run it again to begin anew"
            )


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return found.st_dev, found.st_ino
