"""What a training wrote down of its levels: whether they pulled a weight the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msplora_search.adapters.interference import Pair
from msplora_search.analysis.reading import beside
from msplora_search.analysis.updates import Floats
from msplora_search.design.scaling import LEVELS
from msplora_search.files import damaged
from msplora_search.full.trainers.recording import FILE, whole_lines

REMEDY = "delete it, and analyze goes without; or train anew"


@dataclass(frozen=True, eq=False)
class Interference:
    """Cosines of what two levels do to the same weight, over a training."""

    steps: tuple[int, ...]
    """That were recorded, from 1, rising."""
    planned: int
    """Steps of the whole training."""
    cosines: Mapping[Pair, Floats]
    """(recorded steps, layers); NaN where two levels do not meet."""

    def mean_by_step(self, pair: Pair) -> Floats:
        """Over layers, (recorded steps,)."""
        return np.asarray(np.nanmean(self.cosines[pair], axis=1))

    def told(self, pair: Pair) -> dict[str, float]:
        """Means over all, the first and the last quarter of the steps; the share of layers and steps below 0."""
        means, every = self.mean_by_step(pair), self.cosines[pair]
        quarter = max(1, len(means) // 4)
        return {
            "mean": float(means.mean()),
            "at_first": float(means[:quarter].mean()),
            "at_last": float(means[-quarter:].mean()),
            "opposed": float((every < 0).sum() / np.isfinite(every).sum()),
        }

    def to_json(self) -> dict[str, Any]:
        """`interference` of `analysis.json`."""
        return {
            "steps": list(self.steps),
            "of_steps": self.planned,
            "pairs": [
                {
                    "levels": list(pair),
                    **self.told(pair),
                    "by_step": self.mean_by_step(pair).tolist(),
                    "by_layer": [_mean(column) for column in every.T],
                }
                for pair, every in self.cosines.items()
            ],
        }


def _mean(cosines: Floats) -> float | None:
    known = cosines[np.isfinite(cosines)]
    return float(known.mean()) if len(known) else None


def read_interference(path: Path) -> Interference | None:
    """What lies beside the trained adapter of a folder; None where nothing was recorded.

    Raises DamagedError where it is no record.
    """
    file = beside(path) / FILE
    lines = whole_lines(file) if file.is_file() else []
    try:
        return _parsed([json.loads(line) for line in lines]) if lines else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(file, str(error) or type(error).__name__, REMEDY) from None


def _parsed(lines: list[dict[str, Any]]) -> Interference | None:
    """Raises one of many errors for what is no record."""
    steps = [int(line["step"]) for line in lines]
    if sorted(set(steps)) != steps:
        raise ValueError("its steps do not rise")
    cosines: dict[Pair, Floats] = {}
    for one, other in ((a, b) for i, a in enumerate(LEVELS) for b in LEVELS[i + 1 :]):
        rows = [line["cosines"].get(f"{one} {other}") for line in lines]
        if not any(rows):
            continue
        layers = max(len(row or ()) for row in rows)
        found = np.array([row or [None] * layers for row in rows], dtype=np.float64)
        if found.ndim != 2 or np.nanmax(np.abs(found)) > 1 + 1e-9:
            raise ValueError("a cosine is none")
        cosines[one, other] = found
    return Interference(tuple(steps), int(lines[-1]["steps"]), cosines) if cosines else None
