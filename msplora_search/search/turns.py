"""Whose turn it is to ask for a trial: one worker of a search at a time, so that each takes another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import InterfaceError, OperationalError

from msplora_search.search.events import Listener, Waiting
from msplora_search.search.store.address import file_of
from msplora_search.search.store.engine import is_postgres
from msplora_search.search.store.folder import ASKING
from msplora_search.search.store.locks import AdvisoryLock, Lock, LockFile
from msplora_search.search.store.patient import PAUSES

FIRST, AGAIN = 30.0, 60.0
"""Seconds of waiting after which it is told, and told again. A turn takes less than a second."""


class LostTurnError(RuntimeError):
    """The connection broke that held the turn: another may have had it since."""


@dataclass(frozen=True)
class Turns:
    """The lock of a search, and who is told when it takes long to get it."""

    lock: Lock
    listen: Listener
    of_all: bool = True
    """Whether nobody else asks meanwhile, from whatever machine and folder."""

    @classmethod
    def of(cls, output: Path, storage: str | None, study: str, listen: Listener) -> Turns:
        """Those of all processes that search a study.

        `storage`: where it is not the database in the output folder. On PostgreSQL they may be on any machine; on
        an SQLite file wherever that is seen; on another database they have the output folder in common.
        """
        if storage is not None and is_postgres(storage):
            return cls(AdvisoryLock(storage, f"study {study}"), listen)
        file = file_of(storage) if storage is not None else None
        lock = LockFile.at(output / ASKING if file is None else Path(f"{file.absolute()}{ASKING}"))
        return cls(lock, listen, storage is None or file is not None)

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for one's turn and keep it.

        Raises InputError where its file cannot be written, SQLAlchemyError where the database does not answer for
        two minutes.
        """
        self._wait()
        try:
            yield
        finally:
            self.lock.release()

    def require_mine(self) -> None:
        """Raise LostTurnError where it was lost since."""
        if not self.lock.is_held():
            raise LostTurnError

    def _wait(self) -> None:
        patience, waited, pauses = FIRST, 0.0, iter(PAUSES)
        while True:
            try:
                if self.lock.acquire(patience):
                    return
            except (OperationalError, InterfaceError):
                pause = next(pauses, None)
                if pause is None:
                    raise
                self.listen(Waiting("for the storage, which does not answer"))
                time.sleep(pause)
                continue
            waited += patience
            patience = AGAIN
            self.listen(Waiting(f"{waited:.0f} s for {self.lock.holder()}, whose turn it is to ask for a trial"))
