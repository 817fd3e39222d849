"""Reads `front.json` back."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.text import printable, shown

NEWER = {"metric_judged": None, "metric_judged_se": None, "seeds": 1}
"""Fields that files of version 0.1 do not have."""


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
    front_probability: float
    learning_rate: float
    pyramid: Pyramid

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FrontPoint:
        """Read a POINT of `front.json`. Raises ValueError or TypeError for what is wrong."""
        known = {field.name for field in fields(cls)}
        if isinstance(data, dict):
            data = {**NEWER, **data}
        if not isinstance(data, dict) or data.keys() != known:
            raise ValueError(f"a point of the front is {shown(data)}; it must have the fields {sorted(known)}")
        for name in ("trial", "seeds", "adapter_params", "trainable_params"):
            _require(name, data[name], isinstance(data[name], int) and data[name] >= 0, "a whole number")
        for name in ("metric", "metric_se", "front_probability", "learning_rate"):
            _require(name, data[name], isinstance(data[name], int | float), "a number")
        for name in ("metric_judged", "metric_judged_se"):
            _require(name, data[name], isinstance(data[name], int | float | None), "a number or null")
        _require("learning_rate", data["learning_rate"], 0 < data["learning_rate"] < 1, "above 0 and below 1")
        _require("baseline", data["baseline"], isinstance(data["baseline"], str | None), "a name or null")
        return cls(**{**data, "pyramid": Pyramid.from_json(data["pyramid"])})


def load_front(path: str | Path) -> list[FrontPoint]:
    """The front of a study by rising parameters, from its output folder or its `front.json`.

    Raises InputError where there is none or it cannot be read.
    """
    file = Path(path) / "report" / "front.json" if Path(path).is_dir() else Path(path)
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{file}: is a folder or a device; give the output folder of a finished run")
        data = json.loads(file.read_text(encoding="utf-8"))
        return [FrontPoint.from_json(point) for point in _points(data)]
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; give the output folder of a finished run") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: is no front.json of this program: {printable(str(error))}") from None


def _points(data: Any) -> list[Any]:
    match data:
        case {"front": list(points)}:
            return points
    raise ValueError(f"it is {shown(data)}; it must have a list called front")


def _require(name: str, value: object, right: bool, kind: str) -> None:
    if isinstance(value, bool) or not right:
        raise ValueError(f"{name} is {shown(value)}; it must be {kind}")
