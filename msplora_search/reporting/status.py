"""What ran, what runs, and the front so far; once, or for as long as anybody is at work."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console

from msplora_search.reporting.console import print_line
from msplora_search.reporting.lines import running_line
from msplora_search.reporting.terminal import print_front, seconds_left
from msplora_search.reporting.wording import duration
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Summary
from msplora_search.text import printable

LOOKED, SHARE = 2.0, 0.2
"""Fewest seconds between two looks; and the most of the time that looking takes, seconds with many trials."""
QUIET = 2
"""Looks in a row that find nobody at work, before watching ends: between two trials there is a moment."""


def running_in(results: StudyResults) -> list[TrialRecord]:
    """The trials that are being trained."""
    interrupted = set(results.interrupted)
    return [record for record in results.in_state(State.RUNNING) if record.number not in interrupted]


def wanted_of(results: StudyResults) -> tuple[int, int | None, int]:
    """Baselines, proposals and repeats that are to be trained; None where nothing bounds them."""
    return results.facts["baselines"], results.settings.search.trials, results.facts["repeats"]


def seconds_left_of(results: StudyResults) -> float | None:
    """What the search takes yet, at the present speed; None where that cannot be told."""
    ended = [record for record in results.records if record.state != State.RUNNING]
    return seconds_left(ended, *wanted_of(results), max(1, len(running_in(results))))


def progress_of(results: StudyResults) -> str:
    """`3 of 12 trials ended, about 2 min left`."""
    done = sum(record.counts for record in results.records if record.state != State.RUNNING)
    every = sum(count for count in wanted_of(results) if count is not None)
    left = seconds_left_of(results)
    rest = f", about {duration(left)} left" if left else ""
    of = "" if results.settings.search.trials is None else f" of {every}"
    return f"{done}{of} trials ended{rest}"


def print_status(console: Console, summary: Summary) -> None:
    """In lines, and the front."""
    results = summary.results
    print_line(console, f"{results.settings.name}: {progress_of(results)}")
    for record in running_in(results):
        where = f" on {printable(host)}" if (host := results.hosts.get(record.number)) else ""
        print_line(console, f"running{where}: {running_line(record)}")
    known = {record.number: running_line(record) for record in results.records}
    for number in results.interrupted:
        print_line(console, f"interrupted: {known.get(number, f'trial {number}')}; the same run trains it anew")
    print_front(console, summary, deciding=False)


def watch_status(console: Console, look: Callable[[], tuple[Summary, bool]]) -> None:
    """Print it whenever it changed, until nobody is at work; on a terminal in place.

    `look`: what the study holds, and whether anybody is.
    """
    before, quiet = "", 0
    while quiet < QUIET:
        began = time.monotonic()
        summary, at_work = look()
        with console.capture() as printed:
            print_status(console, summary)
        said = printed.get()
        if said != before:
            if console.is_terminal:
                console.clear()
            console.file.write(said)
            console.file.flush()
        before, quiet = said, 0 if at_work else quiet + 1
        if quiet < QUIET:
            time.sleep(max(LOOKED, (time.monotonic() - began) / SHARE))
