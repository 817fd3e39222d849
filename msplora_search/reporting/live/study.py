"""The page of a study as it is now: made when somebody asks, once for each change."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from msplora_search.errors import InputError, NotBegunError
from msplora_search.reporting.confirmation import FOLDER, JSON, PICTURE
from msplora_search.reporting.html.live import Live
from msplora_search.reporting.html.page import waiting_page
from msplora_search.reporting.report import live_page
from msplora_search.reporting.status import LOOKED, QUIET, SHARE, progress_of, running_in
from msplora_search.results.records import TrialRecord
from msplora_search.search.results import StudyResults, load_results
from msplora_search.search.store.address import DATABASE
from msplora_search.search.store.folder import is_running
from msplora_search.search.store.stored import much_made
from msplora_search.search.summary import Summary, summarise

NOTHING_YET = "The search begins: model and data are loaded, and nothing was measured yet."
LAST_COME = 10
"""Niceness: against a training that wants every processor a tenth of one is left."""
AGAIN = 2
"""Seconds after which a page without a report is fetched again."""
Stamp = tuple[int, int] | None
"""Size and time of a file; None where there is none."""


@dataclass(frozen=True)
class Found:
    """What a look at a study found."""

    live: Live
    summary: Summary | None = None
    """None where there is nothing yet, or it cannot be read."""
    error: InputError | None = None
    """Why it cannot."""


@dataclass
class LiveStudy:
    """Looks at a study no more often than `status --watch` does, and once more when the search has ended.

    With the making of pages that takes a `SHARE` of one processor at most; after the first page, which a reader
    waits for, only of what others leave of it.
    """

    output: Path
    storage: str | None
    given: str
    """What commands need to find the study, ` --storage URL`; empty where that is in `output`."""
    ended: Event | None = None
    """Whether the search has ended, where that is told; None where it has to be found out."""
    _quiet: int = QUIET
    """Looks in a row that found nobody at work."""
    _due: float = 0.0
    """When the next look may be."""
    _seen: object = None
    """How the files stood when they were read last."""
    _found: Found | None = None
    _shown: bool = False
    """Whether a page with a report was made."""
    _made: tuple[str, bytes] = ("", b"")
    """The page that was made last, behind its version."""
    _lock: Lock = field(default_factory=Lock)

    def now(self) -> Live:
        """What there is to know of the page, without making it."""
        with self._lock:
            return self._look().live

    def page(self) -> tuple[Live, bytes]:
        """The page as it is now."""
        with self._lock:
            found = self._look()
            if self._made[0] != found.live.version:
                began = time.thread_time()
                self._made = found.live.version, self._page(found).encode("utf-8")
                self._due = time.monotonic() + max(LOOKED, (time.thread_time() - began) / SHARE)
                self._shown = self._shown or found.summary is not None
            return found.live, self._made[1]

    def require_begun(self) -> Live:
        """`now`; raises InputError where nothing can be read, and nobody is about to begin it."""
        with self._lock:
            found = self._look()
        if found.error is not None:
            raise found.error
        return found.live

    def _look(self) -> Found:
        """Read the study where that is due."""
        last = self.ended is not None and self.ended.is_set()
        if self._shown:
            give_way()
        if self._found is None or self._found.live.last != last or time.monotonic() >= self._due:
            began = time.thread_time()
            self._found = self._read(last)
            self._due = time.monotonic() + max(LOOKED, (time.thread_time() - began) / SHARE)
        return self._found

    def _read(self, last: bool) -> Found:
        busy = not last if self.ended else self.storage is None and is_running(self.output)
        study, confirmed = self._stamps(DATABASE, f"{DATABASE}-wal"), self._confirmation()
        seen, known = (last, busy, study, confirmed), self._found if self._found and self._found.summary else None
        if known and self.storage is None and seen == self._seen:
            return known
        try:
            with much_made():
                summary = summarise(load_results(self.output, self.storage))
        except NotBegunError as error:
            return _words(NOTHING_YET, last) if busy else _words(str(error), last, error)
        except InputError as error:
            return known if known and not last else _words(str(error), last, error)
        self._seen = seen
        state = _state(summary.results, busy or self._others_at_work(summary.results))
        return Found(Live(state, _version(summary.results, state, confirmed), last), summary)

    def _others_at_work(self, results: StudyResults) -> bool:
        """Whether other machines are, as far as a storage tells: between two trials there is a moment."""
        if self.ended is not None or self.storage is None:
            return False
        self._quiet = 0 if running_in(results) else min(QUIET, self._quiet + 1)
        return self._quiet < QUIET

    def _confirmation(self) -> list[Stamp]:
        return self._stamps(f"{FOLDER}/{JSON}", f"{FOLDER}/{PICTURE}")

    def _stamps(self, *names: str) -> list[Stamp]:
        return [_stamp(self.output / name) for name in names]

    def _page(self, found: Found) -> str:
        if found.summary is None:
            return waiting_page(found.live, AGAIN)
        try:
            return live_page(found.summary, self.output, self.given, found.live)
        except InputError as error:  # of a confirmation
            return waiting_page(Live(str(error), found.live.version, found.live.last), AGAIN)


def give_way() -> None:
    """Let whatever else this machine does come before this thread; where priorities are of processes, this one."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, max(LAST_COME, os.getpriority(os.PRIO_PROCESS, 0)))


def _state(results: StudyResults, at_work: bool) -> str:
    progress = progress_of(results)
    if at_work:
        return f"The search goes on: {progress}."
    done, *_ = progress.split(",")
    if results.interrupted:
        return f"The search was stopped: {done}; the same run goes on from there."
    return f"The search has ended: {done.removesuffix(' ended')}."


def _words(text: str, last: bool, error: InputError | None = None) -> Found:
    return Found(Live(text, _digest(text, last), last), error=error)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _version(results: StudyResults, state: str, confirmed: list[Stamp]) -> str:
    told = [_told(record) for record in results.records]
    return _digest(told, state, results.settings, results.facts["versions"], confirmed)


def _told(record: TrialRecord) -> tuple[object, ...]:
    """All of a record that changes."""
    return record.number, record.state, len(record.curve), record.steps, record.seconds, record.reason


def _digest(*told: object) -> str:
    return hashlib.sha256(repr(told).encode("utf-8", "backslashreplace")).hexdigest()[:32]
