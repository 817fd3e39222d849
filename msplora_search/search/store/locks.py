"""Locks for all processes at a storage: a file beside an SQLite database, or a lock of the database itself.

A lock ends with the process that has it, however that ends.
"""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
import sqlalchemy
from filelock import FileLock, Timeout
from sqlalchemy.exc import DBAPIError

from msplora_search.errors import InputError
from msplora_search.files import write_whole
from msplora_search.search.store.engine import engine_for
from msplora_search.text import printable

LOCK_NOT_AVAILABLE = "55P03"
"""What PostgreSQL calls it when a lock was not to be had in time."""


class Lock(Protocol):
    """Of which one process at a time is the holder."""

    def acquire(self, timeout: float) -> bool:
        """Wait at most so many seconds for it; whether it is held now."""

    def release(self) -> None:
        """Let the next have it."""

    def is_held(self) -> bool:
        """Whether it still is, where it can be lost: with the connection to a server."""

    def holder(self) -> str:
        """Who has it, for people."""


@dataclass(frozen=True)
class LockFile:
    """A file that is locked, and one beside it that tells by whom. It holds where the file is seen."""

    path: Path
    lock: FileLock

    @classmethod
    def at(cls, path: Path) -> LockFile:
        """Of this path."""
        return cls(path, FileLock(path))

    @property
    def note(self) -> Path:
        """Process number and host of who has it."""
        return self.path.with_suffix(".holder")

    def acquire(self, timeout: float) -> bool:
        """Raises InputError where the file cannot be written."""
        try:
            self.lock.acquire(timeout=timeout)
        except Timeout:
            return False
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}; its folder must be writable") from None
        with suppress(OSError):  # nothing depends on it
            write_whole(self.note, f"{os.getpid()} {platform.node()}\n", flush=False)
        return True

    def release(self) -> None:
        """Of a file."""
        self.lock.release()

    def is_held(self) -> bool:
        """Always: who stopped has it still."""
        return True

    def holder(self) -> str:
        """And whether that process was stopped."""
        try:
            pid, host = self.note.read_text(encoding="utf-8").split()
            if host != platform.node():
                return f"process {printable(pid)} on {printable(host)}"
            status = psutil.Process(int(pid)).status()
        except (OSError, ValueError, psutil.Error):
            return f"the holder of {self.path}"
        stopped = (
            f", which is stopped (`kill -CONT {pid}` lets it go on)" if status == psutil.STATUS_STOPPED else ""
        )
        return f"process {pid}{stopped}"


@dataclass
class AdvisoryLock:
    """A lock of PostgreSQL (its manual, 13.3.5), held by a connection of its own while it is held."""

    url: str
    what: str
    """Its name; the same for all who are to wait for each other."""
    _connection: sqlalchemy.Connection | None = field(default=None, init=False)

    @property
    def key(self) -> int:
        """64 bits, by which the database knows it."""
        return int.from_bytes(hashlib.sha256(f"msplora-search {self.what}".encode()).digest()[:8], signed=True)

    def acquire(self, timeout: float) -> bool:
        """Raises SQLAlchemyError where the database does not answer."""
        connection = engine_for(self.url).connect()
        try:
            name = f"msplora-search {platform.node()} {os.getpid()}"
            connection.execute(sqlalchemy.text("SELECT set_config('application_name', :n, false)"), {"n": name})
            wait = {"t": f"{max(1, round(1000 * timeout))}ms"}
            connection.execute(sqlalchemy.text("SELECT set_config('lock_timeout', :t, false)"), wait)
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:k)"), {"k": self.key})
        except DBAPIError as error:
            connection.close()
            if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                return False
            raise
        self._connection = connection
        return True

    def release(self) -> None:
        """With its connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()

    def is_held(self) -> bool:
        """Whether the connection lives."""
        if self._connection is None:
            return False
        try:
            return bool(self._connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1)
        except DBAPIError:
            return False

    def holder(self) -> str:
        """By the name that its connection bears."""
        asked = (
            "SELECT a.application_name, host(a.client_addr) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.classid = :high AND l.objid = :low"
        )
        unsigned = self.key % 2**64
        try:
            with engine_for(self.url).connect() as connection:
                place = {"high": unsigned >> 32, "low": unsigned & 0xFFFFFFFF}
                found = connection.execute(sqlalchemy.text(asked), place).first()
        except DBAPIError:
            found = None
        if found is None:
            return f"the holder of the lock {self.what!r} of the database"
        name, address = found
        _, host, pid = (*str(name).split(" "), "", "")[:3]
        return f"process {printable(pid)} on {printable(host)} ({printable(str(address))})"
