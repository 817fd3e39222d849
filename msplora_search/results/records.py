"""What is kept of a trial."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.pyramid import Pyramid


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One measurement of a trial: at a rung, over the validation part in its fixed order."""

    rung: float
    """Fraction of the proxy's steps."""
    step: int
    metric: float
    metric_se: float
    loss: float
    """Mean training loss since the measurement before."""
    predictions: NDArray[Any]
    """What the metric is of, one number an example: classes (int64), or values (float64)."""
    qualities: NDArray[np.float64]
    """How well each validation example did; 1 and 0 where it is right or wrong."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; the arrays compressed to text."""
        arrays = {"predictions": _pack(self.predictions.astype("<i4").tobytes())}
        if np.issubdtype(self.predictions.dtype, np.floating):
            arrays = {"values": _pack(self.predictions.astype("<f4").tobytes())}
        if np.isin(self.qualities, (0.0, 1.0)).all():
            arrays["right"] = _pack(np.packbits(self.qualities.astype(bool)).tobytes())
        else:
            arrays["qualities"] = _pack(self.qualities.astype("<f4").tobytes())
        return {
            "rung": self.rung,
            "step": self.step,
            "metric": self.metric,
            "metric_se": self.metric_se,
            "loss": self.loss,
            "examples": len(self.qualities),
            **arrays,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Evaluation:
        """Read what `to_json` wrote."""
        if "values" in data:
            predictions: NDArray[Any] = np.frombuffer(_unpack(data["values"]), dtype="<f4").astype(np.float64)
        else:
            predictions = np.frombuffer(_unpack(data["predictions"]), dtype="<i4").astype(np.int64)
        if "qualities" in data:
            qualities = np.frombuffer(_unpack(data["qualities"]), dtype="<f4").astype(np.float64)
        else:
            bits = np.frombuffer(_unpack(data["right"]), dtype=np.uint8)
            qualities = np.unpackbits(bits, count=data["examples"]).astype(np.float64)
        return cls(
            rung=data["rung"],
            step=data["step"],
            metric=data["metric"],
            metric_se=data["metric_se"],
            loss=data["loss"],
            predictions=predictions,
            qualities=qualities,
        )


NO_EXAMPLES: NDArray[Any] = np.empty(0)


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


class Failure(StrEnum):
    """Why a trial failed."""

    MEMORY = "memory"
    DISK = "disk"
    DIVERGED = "diverged"
    """The loss was no number any more."""
    ERROR = "error"

    @property
    def passes(self) -> bool:
        """Whether the same trial may well succeed another time."""
        return self in (Failure.MEMORY, Failure.DISK)


@dataclass(frozen=True, eq=False)
class TrialRecord:
    """One trial: a baseline or a proposal of the sampler, and how it went."""

    number: int
    state: State
    baseline: str | None
    """paper, or lora-RANK; None for a proposal."""
    pyramid: Pyramid | None
    """None where the proposal adapts nothing."""
    learning_rate: float
    adapter_params: int
    trainable_params: int
    """Adapters and task head."""
    curve: tuple[Evaluation, ...]
    steps: int
    """Training steps spent."""
    planned_steps: int
    """Training steps that it takes without pruning; 0 where nothing was to be trained."""
    seconds: float
    reason: str = ""
    """Why it was pruned, failed, refused, or of which trial it is a duplicate."""
    failure: Failure | None = None
    """The kind of reason of a failed trial."""

    @property
    def configuration(self) -> tuple[Pyramid | None, float]:
        """What makes two trials the same."""
        return self.pyramid, self.learning_rate

    @property
    def final(self) -> Evaluation:
        """The last measurement. Raises IndexError where there is none."""
        return self.curve[-1]

    def without_examples(self) -> TrialRecord:
        """The record with the numbers of its curve, but nothing of single examples."""
        light = (replace(e, predictions=NO_EXAMPLES, qualities=NO_EXAMPLES) for e in self.curve)
        return replace(self, curve=tuple(light))


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
