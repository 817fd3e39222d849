"""A study that is watched is shown whenever it changed, until nobody is at work."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from msplora_search.reporting import status
from msplora_search.reporting.status import QUIET, running_in, watch_status
from msplora_search.results.records import State
from msplora_search.search.summary import Summary, summarise
from tests.example import results

WHOLE = replace(results(), facts={**results().facts, "baselines": 2, "repeats": 0})
EARLIER = replace(WHOLE, records=WHOLE.records[:4])


def watched(looks: list[tuple[Summary, bool]], terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is written, of so many looks."""
    monkeypatch.setattr(status, "LOOKED", 0.0)
    monkeypatch.setattr(status, "SHARE", 1e9)
    file, left = io.StringIO(), iter(looks)
    watch_status(Console(file=file, force_terminal=terminal, width=200), lambda: next(left))
    assert next(left, None) is None  # it ended when it was to, not before
    return file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_it_is_shown_whenever_it_changed_until_nobody_is_at_work(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = summarise(EARLIER), summarise(WHOLE)
    looks = [(before, True), (before, False), (before, True), *[(after, True)] * 3, *[(after, False)] * QUIET]
    said = watched(looks, terminal, monkeypatch)
    assert said.count("trials ended") == said.count("Front of") == 2
    first, last = map(int, re.findall(r"(\d+) of \d+ trials ended", said))
    assert first < last
    assert said.count("\x1b[2J") == (2 if terminal else 0)


def test_what_was_interrupted_does_not_run() -> None:
    one, other = (replace(record, state=State.RUNNING) for record in WHOLE.records[-2:])
    now = replace(WHOLE, records=(*WHOLE.records[:-2], one, other), interrupted=(one.number,))
    assert running_in(now) == [other]
