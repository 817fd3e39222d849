"""What is kept of a trial."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.costs import Cost, Costs
from msplora_search.design.pyramid import Pyramid

InfluenceOf = Callable[[NDArray[Any]], NDArray[np.float64]]
"""The influence of each example on the metric of some predictions, see `Measure.influence`."""
NO_EXAMPLES: NDArray[Any] = np.empty(0)
Configuration = tuple[Pyramid | None, float]
"""A pyramid, or None where nothing is adapted, and a learning rate."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a metric is of, example by example, in the part's fixed order."""

    predictions: NDArray[Any] = field(default_factory=lambda: NO_EXAMPLES)
    """What the metric is of, (examples,) or (examples, numbers): classes (int64), or values (float64)."""
    influence: NDArray[np.float64] = field(default_factory=lambda: NO_EXAMPLES)
    """How far each example, or each group of examples that belong together, moves the metric: mean 0."""


@dataclass(frozen=True, eq=False)
class StoredExamples:
    """The same as it is stored: unpacked when it is asked for, as a study has thousands that nobody asks for."""

    data: dict[str, Any]
    influence_of: InfluenceOf | None

    @property
    def predictions(self) -> NDArray[Any]:
        """As in `Examples`. Raises LookupError, ValueError or zlib.error for what is none."""
        return _predictions(self.data)

    @cached_property
    def influence(self) -> NDArray[np.float64]:
        """As in `Examples`; it is kept, as those near the front are asked for again and again."""
        return NO_EXAMPLES if self.influence_of is None else self.influence_of(self.predictions)

    def checked(self) -> Self:
        """Itself, once it is known that it can be unpacked."""
        found = self.predictions
        if self.influence_of is not None:
            self.influence_of(found)
        return self


@dataclass(frozen=True, eq=False)
class Measure:
    """The metric of a model on one part, in the part's fixed order."""

    metric: float
    metric_se: float
    """Over the choice of examples; see `noise.standard_error`."""
    examples: Examples | StoredExamples

    @property
    def predictions(self) -> NDArray[Any]:
        """Of `examples`."""
        return self.examples.predictions

    @property
    def influence(self) -> NDArray[np.float64]:
        """Of `examples`."""
        return self.examples.influence

    def to_json(self) -> dict[str, Any]:
        """Plain data; predictions compressed to text. The influence follows from them and is left out."""
        predictions = self.predictions
        arrays = {"predictions": _pack(predictions.astype("<i4").tobytes())}
        if np.issubdtype(predictions.dtype, np.floating):
            arrays = {"values": _pack(predictions.astype("<f4").tobytes())}
        return {
            "metric": self.metric,
            "metric_se": self.metric_se,
            "examples": len(predictions),
            **({"numbers": predictions.shape[1]} if predictions.ndim == 2 else {}),
            **arrays,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], influence_of: InfluenceOf | None = None) -> Measure:
        """Read what `to_json` wrote; without `influence_of` there is no influence."""
        return cls(data["metric"], data["metric_se"], StoredExamples(data, influence_of).checked())

    def without_examples(self) -> Self:
        """The numbers, but nothing of single examples."""
        return replace(self, examples=Examples())


@dataclass(frozen=True, eq=False)
class Evaluation(Measure):
    """One measurement of a trial: at a rung, on the validation part."""

    rung: float
    """Fraction of the proxy's steps."""
    step: int
    loss: float
    """Mean training loss since the measurement before."""
    judged: Measure | None = None
    """At the end of a trial, the same model on the judging part, where there is one. No choice reads it."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; see `Measure.to_json`."""
        judged = {} if self.judged is None else {"judged": self.judged.to_json()}
        return {"rung": self.rung, "step": self.step, "loss": self.loss, **super().to_json(), **judged}

    @classmethod
    def from_json(
        cls,
        data: dict[str, Any],
        influence_of: InfluenceOf | None = None,
        judged_influence_of: InfluenceOf | None = None,
    ) -> Evaluation:
        """Read what `to_json` wrote; without `influence_of` there is no influence."""
        measured, judged = Measure.from_json(data, influence_of), data.get("judged")
        return cls(
            **vars(measured),
            rung=data["rung"],
            step=data["step"],
            loss=data["loss"],
            judged=None if judged is None else Measure.from_json(judged, judged_influence_of),
        )

    def without_examples(self) -> Self:
        """The numbers, but nothing of single examples."""
        return replace(super().without_examples(), judged=self.judged and self.judged.without_examples())


class State(StrEnum):
    """What became of a trial."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    DUPLICATE = "duplicate"
    """Proposed a configuration that was measured before; answered from the record."""
    REFUSED = "refused"
    """Over `max_params`, or adapting nothing; never trained."""

    @property
    def needs_no_training(self) -> bool:
        """Whether a proposal of this state costs nothing, and counts nothing."""
        return self in (State.DUPLICATE, State.REFUSED)


class Failure(StrEnum):
    """Why a trial failed."""

    MEMORY = "memory"
    DISK = "disk"
    DIVERGED = "diverged"
    """The loss was no number any more."""
    TIME = "time"
    """It took longer than `scale.trial_time`."""
    ERROR = "error"

    @property
    def passes(self) -> bool:
        """Whether the same trial may well succeed another time."""
        return self in (Failure.MEMORY, Failure.DISK)


@dataclass(frozen=True, eq=False)
class TrialRecord:
    """One trial: a baseline, a proposal of the sampler, or a repeat of one of them, and how it went."""

    number: int
    state: State
    baseline: str | None
    """`search.baselines.Baseline.name`; None for a proposal. A repeat has that of what it repeats."""
    pyramid: Pyramid | None
    """None where the proposal adapts nothing."""
    learning_rate: float
    adapter_params: int
    trainable_params: int
    """Adapters and task head."""
    curve: tuple[Evaluation, ...]
    """On the validation part, at each rung that it reached."""
    steps: int
    """Training steps spent."""
    planned_steps: int
    """Training steps that it takes without pruning; 0 where nothing was to be trained."""
    seconds: float
    reason: str = ""
    """Why it was pruned, failed, refused, or of which trial it is a duplicate."""
    failure: Failure | None = None
    """The kind of reason of a failed trial."""
    seed: int = 0
    """Of its training; proposals and baselines have the search's."""
    repeat_of: int | None = None
    """The trial whose configuration it trains again, with another seed."""
    costs: Costs | None = None
    """All that is known of what it costs; None in studies of versions that did not store it."""
    cost_is: Cost = Cost.PARAMS
    """Which of them the search makes small."""

    @property
    def cost(self) -> int:
        """What the search makes small beside making the metric large."""
        return self.adapter_params if self.costs is None else self.costs.of(self.cost_is)

    @property
    def size(self) -> str:
        """Its cost for people, and its parameters where they are not that."""
        told = self.cost_is.told(self.cost)
        return told if self.cost_is is Cost.PARAMS else f"{told}, {Cost.PARAMS.told(self.adapter_params)}"

    @cached_property
    def configuration(self) -> Configuration:
        """What makes two trials the same, but for the seed."""
        return self.pyramid, self.learning_rate

    @cached_property
    def stage(self) -> tuple[int, State, int]:
        """What tells two records of a study apart: one changes with its state, or by another measurement."""
        return self.number, self.state, len(self.curve)

    @property
    def counts(self) -> bool:
        """Whether it is one of the trials that were asked for: not so a proposal that needs no training."""
        return self.baseline is not None or self.repeat_of is not None or not self.state.needs_no_training

    @property
    def final(self) -> Evaluation:
        """The last measurement. Raises IndexError where there is none."""
        return self.curve[-1]

    @property
    def judged(self) -> Measure | None:
        """On the judging part, at the end; None where that was not reached, or there is no such part."""
        return self.curve[-1].judged if self.curve else None

    def without_examples(self) -> TrialRecord:
        """The record with the numbers of its curve, but nothing of single examples."""
        light = tuple(evaluation.without_examples() for evaluation in self.curve)
        return replace(self, curve=light)


def _predictions(data: dict[str, Any]) -> NDArray[Any]:
    if "values" in data:
        found = np.frombuffer(_unpack(data["values"]), dtype="<f4").astype(np.float64)
    else:
        found = np.frombuffer(_unpack(data["predictions"]), dtype="<i4").astype(np.int64)
    return found.reshape(-1, data["numbers"]) if "numbers" in data else found


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode("ascii")


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
