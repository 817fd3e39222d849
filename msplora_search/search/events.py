"""What a search tells while it runs; whoever listens prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    trials: int
    """Proposals of the whole study."""
    proxy_steps: int
    records: tuple[TrialRecord, ...]
    """What earlier calls did."""
    notes: tuple[str, ...]


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
class SearchEnded:
    """No more trials in this call, and why."""

    reason: str


Event = SearchStarted | TrialStarted | TrialMeasured | TrialEnded | WorkerLost | SearchEnded
Listener = Callable[[Event], None]
