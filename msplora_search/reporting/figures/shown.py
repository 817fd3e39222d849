"""A study as figures and tables show it: of its storage, or of a front.json alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from msplora_search.files import public_name
from msplora_search.results.front_file import FrontFile, FrontPoint
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.baselines import AT, word_for, word_of
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary
from msplora_search.tasks.metrics import METRICS
from msplora_search.text import brief

BOUNDS = {"f1": (0.0, 1.0), "negative loss": METRICS["loss"].bounds, **{n: m.bounds for n, m in METRICS.items()}}
"""Of metrics, by their name for people."""


@dataclass(frozen=True)
class Shown:
    """One study."""

    label: str
    """What it is called beside others."""
    file: FrontFile
    summary: Summary | None = None
    """All that its storage says; None where there is a front.json alone."""

    @classmethod
    def of(cls, summary: Summary) -> Shown:
        """What a summary's front.json would say, and the summary itself."""
        gain, settings = summary.gain_over_lora, summary.results.settings
        file = FrontFile(
            study=settings.name,
            model=public_name(settings.model),
            metric=settings.task.metric_label,
            front=tuple(map(_read, summary.front)),
            paper=_read(summary.paper) if summary.paper else None,
            lora=tuple(map(_read, summary.lora)),
            gain=(gain.metric, *gain.interval) if gain else None,
            cost_is=summary.cost_is,
        )
        return cls(settings.name, file, summary)

    @property
    def title(self) -> str:
        """Its name and its model; what is long is cut, so that it stays on a figure."""
        return titled(self.file.study, self.file.model or "")

    @property
    def bounds(self) -> tuple[float, float]:
        """Of its metric; infinite where it is not known."""
        if self.summary:
            return self.summary.results.metric.bounds
        return BOUNDS.get(self.file.metric, (-math.inf, math.inf))

    @property
    def ladders(self) -> dict[str, list[FrontPoint]]:
        """Plain LoRA by rising cost, by the word for its targets; those of the first choice first."""
        found: dict[str, list[FrontPoint]] = {}
        first = next(iter(self.summary.ladders), None) if self.summary else None
        for point in sorted(self.file.lora, key=lambda p: AT in (p.baseline or "")):
            word = (point.baseline or "").partition(AT)[2] or first or word_of(point.pyramid.targets)
            found.setdefault(word, []).append(point)
        return found

    def word_for(self, targets: Sequence[str]) -> str:
        """As plain LoRA on the same targets has it: all-linear, rather than the names of modules."""
        return word_for(targets, {word: of[0].pyramid.targets for word, of in self.ladders.items()})

    @cached_property
    def complete(self) -> list[TrialRecord]:
        """Trained to the end, the first training of each configuration."""
        return [point.record for point in self.summary.points] if self.summary else []

    @cached_property
    def pruned(self) -> list[TrialRecord]:
        """Stopped, with what was measured by then."""
        found = self.summary.results.in_state(State.PRUNED) if self.summary else []
        return [record for record in found if record.curve]


def rank_of(point: FrontPoint) -> str:
    """Of a rung of the ladder of plain LoRA."""
    return brief((point.baseline or "").removeprefix("lora-").partition(AT)[0], 10)


def titled(study: str, what: str, most: int = 40) -> str:
    """The title of a figure."""
    return f"{brief(study, most)}: {brief(what, most)}" if what else brief(study, most)


def pairs_of(records: Sequence[TrialRecord]) -> list[tuple[int, float]]:
    """Cost and last metric of each."""
    return [(record.cost, record.final.metric) for record in records]


def _read(point: Point) -> FrontPoint:
    """As it is read back from front.json."""
    told: dict[str, Any] = point.to_json()
    assert point.record.pyramid is not None
    return FrontPoint(**{**told, "costs": point.record.costs, "pyramid": point.record.pyramid})
