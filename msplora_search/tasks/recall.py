"""The metric of a search among texts: how often the right one is among the nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Recall:
    """The share of examples whose own positive is among the nearest; predictions are its ranks, from 1."""

    nearest: int
    bounds: tuple[float, float] = (0.0, 1.0)
    is_share: bool = True

    @property
    def name(self) -> str:
        """As in a study file."""
        return f"recall@{self.nearest}"

    def score(self, truth: NDArray[Any], predictions: NDArray[Any]) -> float:
        """Ranks (examples,) of at most `nearest`; which text is the right one, `truth`, is in them."""
        return float((predictions <= self.nearest).mean())

    def influence(self, truth: NDArray[Any], predictions: NDArray[Any]) -> NDArray[np.float64]:
        """1 or 0, less the share. Of the choice of questions alone: the texts among which they search are taken as
        given, though others would be easier or harder to tell apart.
        """
        found = np.asarray(predictions <= self.nearest, dtype=np.float64)
        return np.asarray(found - found.mean())

    def at_random(self, texts: int) -> float:
        """The metric where so many different texts lie in random order."""
        return min(1.0, self.nearest / texts)
