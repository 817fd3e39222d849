"""Whose turn it is to ask for a trial: one worker of a machine at a time, so that each takes another."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from msplora_search.errors import InputError
from msplora_search.files import write_whole
from msplora_search.search.events import Listener, Waiting
from msplora_search.search.store.folder import ASKING, HOLDER
from msplora_search.text import printable

FIRST, AGAIN = 30.0, 60.0
"""Seconds of waiting after which it is told, and told again. A turn takes less than a second."""


@dataclass(frozen=True)
class Turns:
    """The lock of an output folder, and who is told when it takes long to get it."""

    folder: Path
    lock: FileLock
    listen: Listener

    @classmethod
    def of(cls, folder: Path, listen: Listener) -> Turns:
        """The turns of the searches in an output folder."""
        return cls(folder, FileLock(folder / ASKING), listen)

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for one's turn and keep it. Raises InputError where the folder cannot be written."""
        self._wait()
        try:
            with suppress(OSError):  # nothing depends on it
                write_whole(self.folder / HOLDER, f"{os.getpid()} {platform.node()}\n", flush=False)
            yield
        finally:
            self.lock.release()

    def _wait(self) -> None:
        patience, waited = FIRST, 0.0
        while True:
            try:
                self.lock.acquire(timeout=patience)
            except Timeout:
                waited += patience
                patience = AGAIN
                self.listen(Waiting(f"{waited:.0f} s for {self._holder()}, whose turn it is to ask for a trial"))
            except OSError as error:
                raise InputError(
                    f"{self.folder / ASKING}: {error.strerror or error}; the output folder must be writable"
                ) from None
            else:
                return

    def _holder(self) -> str:
        """Who has the lock, and whether it was stopped."""
        try:
            pid, host = (self.folder / HOLDER).read_text(encoding="utf-8").split()
            if host != platform.node():
                return f"process {printable(pid)} on {printable(host)}"
            status = psutil.Process(int(pid)).status()
        except (OSError, ValueError, psutil.Error):
            return f"the holder of {self.folder / ASKING}"
        stopped = (
            f", which is stopped (`kill -CONT {pid}` lets it go on)" if status == psutil.STATUS_STOPPED else ""
        )
        return f"process {pid}{stopped}"
