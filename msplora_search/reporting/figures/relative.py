"""A front as its gain over plain LoRA of equal size, so that studies of different metrics can share axes."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from msplora_search.reporting.course import unit_of
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import INK, QUIET, Look
from msplora_search.results.front_file import FrontPoint


def rival_of(point: FrontPoint, ladder: tuple[FrontPoint, ...]) -> FrontPoint:
    """The best plain LoRA that costs no more; of a point below them all, the smallest, which costs more."""
    least = min(rung.cost for rung in ladder)
    affordable = [rung for rung in ladder if rung.cost <= max(point.cost, least)]
    return max(affordable, key=lambda rung: (rung.metric, -rung.cost))


def gains_of_points(shown: Shown) -> list[tuple[FrontPoint, float, float]]:
    """Each point of the front, its gain and the gain's standard error, as if the two were measured apart."""
    scale = unit_of(shown.bounds).scale
    rivals = [(point, rival_of(point, shown.file.lora)) for point in shown.file.front]
    return [
        (
            p,
            scale * (p.metric - r.metric),
            scale * (0 if p.trial == r.trial else math.hypot(p.metric_se, r.metric_se)),
        )
        for p, r in rivals
    ]


def relative_ends(shown: Shown) -> list[tuple[float, float]]:
    """What axes must hold: both ends of each error bar."""
    found = gains_of_points(shown)
    return [(float(p.cost), gain + side * se) for p, gain, se in found for side in (-1, 1)]


def draw_relative(axes: Axes, shown: Shown, look: Look, label: str) -> None:
    """Gains with error bars; hollow where even the smallest plain LoRA costs more."""
    found = gains_of_points(shown)
    sizes, gains, errors = (np.array(of, dtype=np.float64) for of in zip(
        *((p.cost, gain, se) for p, gain, se in found), strict=True
    ))  # fmt: skip
    least = min(rung.cost for rung in shown.file.lora)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.errorbar(sizes, gains, yerr=errors, color=look.colour, marker=look.marker, markersize=look.size,
                  linestyle=look.line, linewidth=0.9, elinewidth=0.7, capsize=1.5, label=label)  # fmt: skip
    if not (below := sizes < least).any():
        return
    axes.plot(sizes[below], gains[below], look.marker, color=look.colour, markerfacecolor="white",
              markersize=look.size, zorder=2.5)  # fmt: skip
    axes.plot([], [], "o", color=QUIET, markerfacecolor="white", markersize=look.size,
              label=f"against the smallest plain LoRA, which has more {shown.file.cost_is.unit}")  # fmt: skip
