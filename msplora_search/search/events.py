"""What a search tells while it runs; whoever listens prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from msplora_search.design.space import SearchSpace
from msplora_search.results.records import TrialRecord


@dataclass(frozen=True)
class SearchStarted:
    """Before the first trial of this call."""

    space: SearchSpace
    configurations: int | None
    """Size of the space; None where learning rates are continuous."""
    baselines: int
    """Baseline trials of the whole study."""
    trials: int | None
    """Proposals of the whole study that are trained; None where another budget ends it."""
    repeats: int
    """Further trainings with other seeds, at most."""
    proxy_steps: int
    records: tuple[TrialRecord, ...]
    """What earlier calls did."""
    notes: tuple[str, ...]
    budgets: str = ""
    """Those other budgets, for people; empty where there are none."""


@dataclass(frozen=True)
class TrialStarted:
    """A trial begins to train."""

    record: TrialRecord


@dataclass(frozen=True)
class TrialMeasured:
    """A trial reached a rung."""

    record: TrialRecord


@dataclass(frozen=True)
class TrialEnded:
    """A trial has its result."""

    record: TrialRecord


@dataclass(frozen=True)
class WorkerLost:
    """A worker process ended before its work did; its trial will be trained anew."""

    what: str


@dataclass(frozen=True)
class TrialTaken:
    """A trial was given to another worker, since this one had given no sign of life for long."""

    record: TrialRecord


@dataclass(frozen=True)
class Waiting:
    """A worker cannot go on before another does."""

    what: str
    """How long it has waited, and for whom."""


@dataclass(frozen=True)
class Notice:
    """Something that a user should know, though the search goes on."""

    what: str


@dataclass(frozen=True)
class Further:
    """What a further hour is expected to bring."""

    trials: int
    """Of one worker, at the pace of the proposals so far."""
    all_that_is_left: bool
    """Whether the space has no more."""
    gain: float
    """Of the metric, as a mean of the front over log parameters."""
    bounds: tuple[float, float]
    """Of the metric."""


@dataclass(frozen=True)
class SearchEnded:
    """No more trials in this call, and why."""

    reason: str
    further: Further | None = None
    """None where the space is exhausted, or too little was measured to tell."""


Aside = WorkerLost | TrialTaken | Waiting | Notice
"""What is told in one line, and changes no count."""
Event = SearchStarted | TrialStarted | TrialMeasured | TrialEnded | Aside | SearchEnded
Listener = Callable[[Event], None]


def light(event: Event) -> Event:
    """An event without the measurements of single examples, which displays do not show: 100 kB a trial."""
    match event:
        case SearchStarted(records=records):
            return replace(event, records=tuple(record.without_examples() for record in records))
        case TrialStarted(record):
            return TrialStarted(record.without_examples())
        case TrialMeasured(record):
            return TrialMeasured(record.without_examples())
        case TrialEnded(record):
            return TrialEnded(record.without_examples())
        case TrialTaken(record):
            return TrialTaken(record.without_examples())
        case _:
            return event
