"""What a study carries over from the fronts of earlier ones, as it is stored with it and its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import optuna
from optuna.trial import TrialState

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import Configuration
from msplora_search.search.store.attributes import CARRIED, PLAN
from msplora_search.search.store.stored import attributes_of, reading, trials_of

WARM_START = "warm_start"
"""Study attribute with what is carried over."""

Origin = tuple[str, int]
"""An earlier study, by the output folder or front.json that is named, and the trial in it."""


@dataclass(frozen=True)
class EarlierPoint:
    """A point on the front of an earlier study."""

    origin: Origin
    pyramid: Pyramid
    learning_rate: float

    @property
    def configuration(self) -> Configuration:
        """As that of a `TrialRecord`."""
        return self.pyramid, self.learning_rate


@dataclass(frozen=True)
class WarmStart:
    """What is carried over: fixed when a front is first read."""

    fronts: Mapping[str, int] = field(default_factory=dict)
    """Points on each front, by the earlier study."""
    points: tuple[EarlierPoint, ...] = ()
    """With the pyramids and rates that they have in this study's space."""

    @classmethod
    def of(cls, study: optuna.Study) -> Self:
        """What was stored so far. Raises StoredError."""
        stored = attributes_of(study).get(WARM_START)
        if stored is None:
            return cls()
        with reading("what it carries over"):
            points = tuple(
                EarlierPoint(_origin(p["from"]), Pyramid.from_json(p["pyramid"]), float(p["learning_rate"]))
                for p in stored["points"]
            )
            return cls({str(output): int(count) for output, count in stored["fronts"].items()}, points)

    def store(self, study: optuna.Study) -> None:
        """Keep it with the study."""
        points = [
            {"from": p.origin, "pyramid": p.pyramid.to_json(), "learning_rate": p.learning_rate}
            for p in self.points
        ]
        study.set_user_attr(WARM_START, {"fronts": dict(self.fronts), "points": points})

    def extended(self, fronts: Mapping[str, int], points: Sequence[EarlierPoint]) -> Self:
        """With further fronts, and what they gave."""
        return replace(self, fronts={**self.fronts, **fronts}, points=(*self.points, *points))


def origins_of(study: optuna.Study) -> set[Origin]:
    """Of the points that have a trial: one that waits, was planned, or has ended. Raises StoredError.

    A trial whose process died before it was planned stands for nothing.
    """
    found = set()
    for trial in trials_of(study):
        if CARRIED in trial.user_attrs and (PLAN in trial.user_attrs or trial.state != TrialState.FAIL):
            with reading(f"trial {trial.number}"):
                found.add(_origin(trial.user_attrs[CARRIED]))
    return found


def _origin(stored: Any) -> Origin:
    output, trial = stored
    return str(output), int(trial)
