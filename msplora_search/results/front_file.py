"""Reads `front.json` back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError


@dataclass(frozen=True)
class FrontPoint:
    """One point of a front; `metric` is as measured at the end of the proxy, larger is better."""

    trial: int
    baseline: str | None
    metric: float
    metric_se: float
    adapter_params: int
    trainable_params: int
    front_probability: float
    learning_rate: float
    pyramid: Pyramid

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FrontPoint:
        """Read a POINT of `front.json`."""
        return cls(**{**data, "pyramid": Pyramid.from_json(data["pyramid"])})


def load_front(path: str | Path) -> list[FrontPoint]:
    """The front of a study by rising parameters, from its output folder or its `front.json`.

    Raises InputError where there is none or it cannot be read.
    """
    file = Path(path) / "report" / "front.json" if Path(path).is_dir() else Path(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return [FrontPoint.from_json(point) for point in data["front"]]
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; give the output folder of a finished run") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is no front.json of this program: {error}") from None
