"""How hypervolume grew with the cost of a search."""

from __future__ import annotations

from dataclasses import dataclass

from msplora_search.results.records import State, TrialRecord
from msplora_search.search.summary import Summary, hypervolumes_of


@dataclass(frozen=True)
class Course:
    """After each trial that was trained, and before the first of them: all lists are of one length."""

    trials: tuple[int | None, ...]
    """The trial that ended there; None at the beginning."""
    spent: tuple[int, ...]
    """Training steps so far."""
    unpruned: tuple[int, ...]
    """Those that the same trials cost without pruning."""
    hypervolume: tuple[float, ...]


def course_of(summary: Summary) -> Course:
    """In the order of the record; only what may be chosen adds to the hypervolume."""
    numbers, spent, unpruned, done = list[int | None]([None]), [0], [0], [0]
    limit, counted = summary.results.settings.search.max_params, list[TrialRecord]()
    for record in summary.results.records:
        if record.state in (State.COMPLETE, State.PRUNED, State.FAILED):
            if record.state == State.COMPLETE and (limit is None or record.adapter_params <= limit):
                counted.append(record)
            done.append(len(counted))
            numbers.append(record.number)
            spent.append(spent[-1] + record.steps)
            planned = record.steps if record.state == State.FAILED else record.planned_steps
            unpruned.append(unpruned[-1] + planned)
    volumes = hypervolumes_of(summary.results, counted)[done]
    return Course(tuple(numbers), tuple(spent), tuple(unpruned), tuple(map(float, volumes)))
