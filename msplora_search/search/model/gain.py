"""What a configuration of known cost is expected to add to a front: a closed form.

The front's envelope is the best metric at no more cost, a step function of log cost. A configuration of cost c and
metric y raises it to y wherever it lies below y, to the right of c alone. With y normal, the expectation of the
area added is the sum over the steps to the right of c of their width times the expected improvement over each
(Jones, Schonlau and Welch, Efficient global optimization, 1998): no sampling, because the cost is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from msplora_search.results import pareto

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Envelope:
    """Steps of the best metric over log cost, from the first step to `end`."""

    starts: Floats
    """(steps,), rising; the first is -inf."""
    heights: Floats
    """(steps,), rising; the first is what is to be had for nothing, such as the metric of chance."""
    begin: float
    end: float
    """Log costs between which an area counts."""

    @classmethod
    def of(cls, metrics: Floats, costs: Floats, floor: float, over: tuple[float, float]) -> Envelope:
        """That of some points, (points,) each, on a range of costs."""
        above = metrics > floor
        chosen = pareto.front(metrics[above], costs[above])
        return cls(
            starts=np.concatenate([[-np.inf], np.log(costs[above][chosen])]),
            heights=np.concatenate([[floor], metrics[above][chosen]]),
            begin=float(np.log(over[0])),
            end=float(np.log(over[1])),
        )

    def mean(self) -> float:
        """Of its height over log cost."""
        ends = np.append(self.starts[1:], np.inf)
        widths = np.clip(np.minimum(ends, self.end) - np.maximum(self.starts, self.begin), 0.0, None)
        extent = self.end - self.begin
        return float((widths * self.heights).sum() / extent if extent > 0 else self.heights[-1])

    def at(self, costs: Floats) -> Floats:
        """Its height at costs, (n,)."""
        return np.asarray(self.heights[np.searchsorted(self.starts, np.log(costs), side="right") - 1])

    def expected_gain(self, mean: Floats, sd: Floats, costs: Floats) -> Floats:
        """By how much configurations are expected to raise its mean over log cost, each alone; (n,).

        `mean`, `sd`: (n,), of the true metric, in its units; so is the result.
        """
        size = np.maximum(np.log(costs), self.begin)[:, None]
        starts, ends = self.starts, np.append(self.starts[1:], np.inf)
        widths = np.clip(np.minimum(ends, self.end) - np.maximum(starts, size), 0.0, None)
        over = mean[:, None] - self.heights
        spread = np.maximum(sd, 1e-12)[:, None]
        z = over / spread
        improvement = over * ndtr(z) + spread * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        extent = self.end - self.begin
        return np.asarray((widths * improvement).sum(axis=1) / extent if extent > 0 else improvement[:, -1])
