"""What a search measures its trials on: a `Workbench`, or what stands in for one where trainings are looked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msplora_search.design.costs import Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.proxy.shelf import Shelf
from msplora_search.results.records import Evaluation
from msplora_search.settings.models import StudySettings
from msplora_search.tasks.judge import Judge


class Judged(Protocol):
    """What a search must know of a task."""

    @property
    def chance(self) -> float:
        """The metric of the best constant prediction."""

    @property
    def judges(self) -> tuple[Judge, Judge | None]:
        """Of the validation part and the judging part."""


class Bench(Protocol):
    """Trains and measures one trial after another."""

    @property
    def settings(self) -> StudySettings:
        """Of the study."""

    @property
    def task(self) -> Judged:
        """What is learned."""

    @property
    def steps(self) -> int:
        """Training steps of a whole proxy."""

    @property
    def head_params(self) -> int:
        """Parameters that are trained beside an adapter's."""

    def space(self) -> SearchSpace:
        """What may be proposed."""

    def adapter_params(self, pyramid: Pyramid) -> int:
        """Before any training."""

    def costs(self, pyramid: Pyramid) -> Costs:
        """All that is known of what it costs, before any training."""

    def measure(
        self, pyramid: Pyramid, learning_rate: float, seed: int | None = None, shelf: Shelf | None = None
    ) -> Iterator[Evaluation]:
        """Train and measure at each rung; whoever has seen enough stops iterating. Raises what a training does.

        `seed`: the study's unless given. `shelf`: from which it goes on, and on which it is put.
        """
