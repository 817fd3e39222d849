"""How hypervolume, and the gain over plain LoRA, grew with the cost of a search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from msplora_search.results.records import State, TrialRecord
from msplora_search.search.against_lora import Gain, gains_over
from msplora_search.search.points import Point
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
    for record in _trained(summary):
        if record.state == State.COMPLETE and (limit is None or record.adapter_params <= limit):
            counted.append(record)
        done.append(len(counted))
        numbers.append(record.number)
        spent.append(spent[-1] + record.steps)
        planned = record.steps if record.state == State.FAILED else record.planned_steps
        unpruned.append(unpruned[-1] + planned)
    volumes = hypervolumes_of(summary.results, counted)[done]
    return Course(tuple(numbers), tuple(spent), tuple(unpruned), tuple(map(float, volumes)))


@dataclass(frozen=True)
class Gains:
    """The gain of the front so far over plain LoRA of equal size, in units of the metric: lists of one length.

    It begins when the whole range of sizes can be compared, and ends with the last trial.
    """

    trials: tuple[int, ...]
    """The trial that ended there."""
    spent: tuple[int, ...]
    """Training steps so far."""
    gain: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Ends of the 95% interval."""


def gains_of(summary: Summary) -> Gains | None:
    """None where there is no plain LoRA to compare with, or too little of the rest."""
    if summary.gain_over_lora is None:
        return None
    by_number = {point.record.number: point for point in summary.candidates if len(point.told)}
    steps, at, points = 0, list[tuple[int, int]](), list[Point]()
    for record in _trained(summary):
        steps += record.steps
        if record.number in by_number:
            at.append((record.number, steps))
            points.append(by_number[record.number])
    ladder = [p for p in summary.lora if p.record.number in by_number]
    found = [(*place, gain) for place, gain in zip(at, gains_over(ladder, points), strict=True) if gain]
    if not found:
        return None
    return _gains([*found, (_trained(summary)[-1].number, steps, found[-1][2])])


def _gains(found: list[tuple[int, int, Gain]]) -> Gains:
    """Of trial, steps spent and gain of each."""
    return Gains(
        trials=tuple(trial for trial, _, _ in found),
        spent=tuple(steps for _, steps, _ in found),
        gain=tuple(gain.metric for _, _, gain in found),
        low=tuple(gain.interval[0] for _, _, gain in found),
        high=tuple(gain.interval[1] for _, _, gain in found),
    )


class Unit(NamedTuple):
    """Of a difference of metrics."""

    scale: float
    """What it is multiplied by for people."""
    name: str
    least: float
    """Scaled, it is small: an axis reaches so far above and below 0, so that nothing is not drawn as something."""


def unit_of(bounds: tuple[float, float]) -> Unit:
    """Points of metrics that have bounds, as they are of others."""
    return Unit(100.0, " (points)", 0.1) if all(map(math.isfinite, bounds)) else Unit(1.0, "", 0.01)


def _trained(summary: Summary) -> list[TrialRecord]:
    return [r for r in summary.results.records if r.state in (State.COMPLETE, State.PRUNED, State.FAILED)]
