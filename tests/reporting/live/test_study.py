"""The page is made when somebody asks, once for each change, and says whether the search goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from msplora_search.errors import DamagedError, InputError, NotBegunError
from msplora_search.reporting.html.live import Live
from msplora_search.reporting.live import study as module
from msplora_search.reporting.live.study import NOTHING_YET, LiveStudy
from msplora_search.results.records import State
from msplora_search.search.results import StudyResults
from msplora_search.search.store.address import DATABASE
from msplora_search.search.store.folder import only_run
from msplora_search.search.summary import Summary
from tests.example import results

WHOLE = replace(results(), facts={**results().facts, "baselines": 2, "repeats": 0})
EARLIER = replace(WHOLE, records=WHOLE.records[:4])
HOSTILE = "</p><script>alert(1)</script>"


class Stored:
    """What the storage holds, how often it was read, and how many pages were made of it."""

    def __init__(self, folder: Path) -> None:
        self.file, self.looks, self.pages, self.held = folder / DATABASE, 0, 0, EARLIER
        self.error: InputError | None = None

    def hold(self, held: StudyResults) -> None:
        """Write something else."""
        self.held = held
        self.file.write_text(f"{self.looks}" * (self.looks + 1))

    def load(self, *_: object) -> StudyResults:
        self.looks += 1
        if self.error:
            raise self.error
        return self.held

    def page(self, summary: Summary, output: Path, storage: str, live: Live) -> str:
        self.pages += 1
        return f"{live.state} {len(summary.results.records)} records"


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """Whose looks are due at once."""
    made = Stored(tmp_path)
    monkeypatch.setattr(module, "LOOKED", 0.0)
    monkeypatch.setattr(module, "SHARE", 1e9)
    monkeypatch.setattr(module, "load_results", made.load)
    monkeypatch.setattr(module, "live_page", made.page)
    return made


def test_a_page_is_made_once_for_each_change_and_a_file_read_once(stored: Stored, tmp_path: Path) -> None:
    ended = Event()
    study = LiveStudy(tmp_path, None, "", ended)
    stored.hold(EARLIER)
    first, body = study.page()
    for _ in range(3):
        assert study.page() == (first, body)
        assert study.now() == first
    assert (stored.looks, stored.pages) == (1, 1)
    assert body.startswith(b"The search goes on: 4 of ")
    stored.hold(EARLIER)  # a write that changed nothing that is shown
    assert study.page() == (first, body)
    assert (stored.looks, stored.pages) == (2, 1)
    stored.hold(WHOLE)
    second = study.now()
    assert second.version != first.version
    assert stored.pages == 1  # nobody has asked for it yet
    assert study.page()[0] == second
    assert (stored.looks, stored.pages) == (3, 2)
    ended.set()
    last, body = study.page()
    assert last.last
    assert last.version != second.version
    assert body.startswith(b"The search has ended: ")


def test_what_a_page_took_is_a_small_part_of_the_time(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED", 3600.0)
    ended = Event()
    study = LiveStudy(tmp_path, None, "", ended)
    stored.hold(EARLIER)
    first = study.page()
    stored.hold(WHOLE)
    assert study.page() == first
    assert stored.looks == 1
    ended.set()  # which does not wait
    assert study.page() != first


def test_before_anything_is_stored_the_page_says_so(stored: Stored, tmp_path: Path) -> None:
    stored.error = NotBegunError(f"{tmp_path}: holds no study")
    live, body = LiveStudy(tmp_path, None, "", Event()).page()
    assert NOTHING_YET in body.decode()
    assert b'http-equiv="refresh"' in body
    with only_run(tmp_path):
        assert LiveStudy(tmp_path, None, "").require_begun() == live
    with pytest.raises(NotBegunError):
        LiveStudy(tmp_path, None, "").require_begun()


def test_what_cannot_be_read_is_told_as_text_and_hides_nothing_that_was_read(
    stored: Stored, tmp_path: Path
) -> None:
    stored.error = DamagedError(HOSTILE)
    study = LiveStudy(tmp_path, None, "", Event())
    _, body = study.page()
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert b"<script" not in body
    stored.error = None
    stored.hold(EARLIER)
    found = study.page()
    stored.hold(WHOLE)
    stored.error = InputError("is locked")
    assert study.page() == found


def test_a_search_of_another_process_goes_on_while_its_lock_is_held(stored: Stored, tmp_path: Path) -> None:
    study = LiveStudy(tmp_path, None, "")
    with only_run(tmp_path):
        stored.hold(EARLIER)
        at_work = study.now()
    assert at_work.state.startswith("The search goes on: 4 of ")
    ended = study.now()
    assert ended.state.startswith("The search has ended: 4 of ")
    assert ended.version != at_work.version
    assert not ended.last  # it may be taken up again
    running = replace(WHOLE.records[3], state=State.RUNNING)
    stopped = replace(EARLIER, records=(*EARLIER.records[:3], running), interrupted=(running.number,))
    stored.hold(stopped)
    assert study.now().state.startswith("The search was stopped: 3 of ")


def test_on_another_storage_the_moment_between_two_trials_is_no_end(stored: Stored, tmp_path: Path) -> None:
    running = replace(WHOLE.records[3], state=State.RUNNING)
    stored.held = replace(EARLIER, records=(*EARLIER.records[:3], running))
    study = LiveStudy(tmp_path, "postgresql://user@host/name", " --storage postgresql://user@host/name")
    assert "goes on" in study.now().state
    stored.held = EARLIER
    assert "goes on" in study.now().state
    assert "has ended" in study.now().state
    assert "has ended" in LiveStudy(tmp_path, "postgresql://user@host/name", "").now().state
