"""When a worker takes no more trials: what it begins fails, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from msplora_search.errors import WorkerStoppedError
from msplora_search.results.records import Configuration, Failure, State, TrialRecord

IN_A_ROW = 3
"""Configurations that fail one after the other, after which it is the worker that is at fault."""


@dataclass
class Faults:
    """The trials of one worker that failed since one went well.

    Want of memory or disk, errors, and time that is over are no matter of one configuration where several in a row
    have them: all take as many steps on as much data. So it is the machine, the data, or a limit that nothing can
    keep, and whatever the worker begins next would be lost too. Divergence is: a high rate fails by right, and the
    sampler learns from it. It neither counts nor ends a row. Seeds of one configuration count once.
    """

    _row: dict[Configuration, TrialRecord] = field(default_factory=dict)

    def went_well(self) -> None:
        """A trial was trained, to its end or until the pruning rule stopped it."""
        self._row.clear()

    def failed(self, record: TrialRecord) -> None:
        """A trial has no result; one that repeats another was not trained."""
        if record.state == State.FAILED and record.failure != Failure.DIVERGED:
            self._row[record.configuration] = record

    def require_few(self) -> None:
        """Raise WorkerStoppedError after `IN_A_ROW`."""
        if len(self._row) < IN_A_ROW:
            return
        last = [*self._row.values()][-1]
        numbers = ", ".join(str(record.number) for record in self._row.values())
        raise WorkerStoppedError(
            f"trials {numbers} failed one after the other, the last by {last.reason}; that is hardly the fault of "
            "their configurations, so this worker takes no more; once it is mended, the same command goes on"
        )
