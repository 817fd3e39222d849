"""Reads `front.json` back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from msplora_search.design.costs import Cost, Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.text import printable, shown

Read = TypeVar("Read")
MOST = 1e12
"""In size, of any number that is drawn."""
NEWER = {"metric_judged": None, "metric_judged_se": None, "seeds": 1, "costs": None}
"""Fields that older files do not have; their cost is that of their parameters."""


@dataclass(frozen=True)
class FrontPoint:
    """One point of a front; `metric` is as measured at the end of the proxy, larger is better."""

    trial: int
    baseline: str | None
    metric: float
    metric_se: float
    metric_judged: float | None
    """On the judging part, which nothing was chosen by; None where there is none."""
    metric_judged_se: float | None
    seeds: int
    """Trainings that `metric` is the mean of."""
    adapter_params: int
    trainable_params: int
    cost: int
    """What the search made small beside making the metric large: see `FrontFile.cost_is`."""
    costs: Costs | None
    """All that is known of what it costs; None in older files."""
    front_probability: float
    learning_rate: float
    pyramid: Pyramid

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FrontPoint:
        """Read a POINT of `front.json`. Raises ValueError or TypeError for what is wrong."""
        known = {field.name for field in fields(cls)}
        if isinstance(data, dict):
            data = {**NEWER, "cost": data.get("adapter_params"), **data}
        if not isinstance(data, dict) or data.keys() != known:
            raise ValueError(f"a point of the front is {shown(data)}; it must have the fields {sorted(known)}")
        for name in ("trial", "seeds", "adapter_params", "trainable_params", "cost"):
            _require(name, data[name], isinstance(data[name], int) and data[name] >= 0, "a whole number")
        for name in ("metric", "metric_se", "front_probability", "learning_rate"):
            _require(name, data[name], isinstance(data[name], int | float), "a number")
        for name in ("metric_judged", "metric_judged_se"):
            _require(name, data[name], isinstance(data[name], int | float | None), "a number or null")
        _require("learning_rate", data["learning_rate"], 0 < data["learning_rate"] < 1, "above 0 and below 1")
        _require("baseline", data["baseline"], isinstance(data["baseline"], str | None), "a name or null")
        costs = None if data["costs"] is None else Costs.from_json(data["costs"])
        return cls(**{**data, "costs": costs, "pyramid": Pyramid.from_json(data["pyramid"])})

    def require_drawable(self) -> None:
        """Raise ValueError for numbers that no axis can hold."""
        for name in ("metric", "metric_se", "metric_judged", "metric_judged_se"):
            value = getattr(self, name)
            fine = value is None or (math.isfinite(value) and abs(value) < MOST)
            _require(name, value, fine, "a number that can be drawn")
        _require("metric_se", self.metric_se, self.metric_se >= 0, "0 or more")
        for name in ("adapter_params", "cost"):
            value = getattr(self, name)
            _require(name, value, 0 < value < MOST, "above 0, and no more than a model has")


@dataclass(frozen=True)
class FrontFile:
    """What `front.json` says of a study."""

    study: str
    model: str | None
    """None in files of version 0.1."""
    metric: str
    front: tuple[FrontPoint, ...]
    """By rising cost."""
    paper: FrontPoint | None
    lora: tuple[FrontPoint, ...]
    """Plain LoRA of every choice of targets, by rising cost."""
    gain: tuple[float, float, float] | None
    """Over plain LoRA of equal size: the estimate and its 95% interval; None where it is not told."""
    cost_is: Cost = Cost.PARAMS
    """What the search made small; older files do not say that it was the parameters."""

    @classmethod
    def from_json(cls, data: Any) -> FrontFile:
        """Read all of `front.json`. Raises ValueError or TypeError for what is wrong, or cannot be drawn."""
        points = tuple(FrontPoint.from_json(point) for point in _points(data))
        study, model, metric = (data.get(name) for name in ("study", "model", "metric"))
        cost_is = data.get("cost_is", Cost.PARAMS.value)
        _require("cost_is", cost_is, cost_is in list(Cost), f"one of {', '.join(Cost)}")
        for name, value in (("study", study), ("metric", metric)):
            _require(name, value, isinstance(value, str), "a text")
        _require("model", model, isinstance(model, str | None), "a text or null")
        match data.get("baselines"):
            case {"paper": paper, "lora": list(ladder)}:
                lora = tuple(FrontPoint.from_json(point) for point in ladder)
                papers = [] if paper is None else [FrontPoint.from_json(paper)]
            case other:
                raise ValueError(f"baselines is {shown(other)}; it must have the paper's and the list lora")
        for point in (*points, *lora, *papers):
            point.require_drawable()
        gain = _gain(data.get("gain_over_lora"))
        return cls(study, model, metric, points, papers[0] if papers else None, lora, gain, Cost(cost_is))


def load_front_file(path: str | Path) -> FrontFile:
    """All of a study's `front.json`, of its output folder or the file itself.

    Raises InputError where there is none or it cannot be read.
    """
    return _read(Path(path), FrontFile.from_json)


def load_front(path: str | Path) -> list[FrontPoint]:
    """The front of a study by rising cost, from its output folder or its `front.json`.

    Raises InputError where there is none or it cannot be read.
    """
    return _read(Path(path), lambda data: [FrontPoint.from_json(point) for point in _points(data)])


def _read(path: Path, parse: Callable[[Any], Read]) -> Read:
    file = path / "report" / "front.json" if path.is_dir() else path
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{file}: is a folder or a device; give the output folder of a finished run")
        return parse(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; give the output folder of a finished run") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: is no front.json of this program: {printable(str(error))}") from None


def _points(data: Any) -> list[Any]:
    match data:
        case {"front": list(points)}:
            return points
    raise ValueError(f"it is {shown(data)}; it must have a list called front")


def _gain(data: Any) -> tuple[float, float, float] | None:
    match data:
        case None:
            return None
        case {
            "metric": int() | float() as middle,
            "interval_95": [int() | float() as low, int() | float() as high],
        }:
            found = (float(middle), float(low), float(high))
            _require("gain_over_lora", data, all(abs(of) < MOST for of in found), "of numbers that can be drawn")
            return found
    raise ValueError(f"gain_over_lora is {shown(data)}; it must have a metric and its interval_95, or be null")


def _require(name: str, value: object, right: bool, kind: str) -> None:
    if isinstance(value, bool) or not right:
        raise ValueError(f"{name} is {shown(value)}; it must be {kind}")
