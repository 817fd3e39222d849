"""Points of a front or a ladder with their error bars, and what of them a label had better not cover."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from msplora_search.reporting.figures.labels import Box, Obstacle
from msplora_search.reporting.figures.style import QUIET, Look
from msplora_search.results.front_file import FrontPoint
from msplora_search.results.noise import interval

ASIDE = 4.5 / 72
"""Inches from a point to its value on the judging part, so that error bars do not hide it."""
Pair = tuple[float, float]


def bars_of(points: Sequence[FrontPoint], bounds: tuple[float, float]) -> list[Pair]:
    """The ends of each point's metric ± standard error, which leave no bounds."""
    return [interval(p.metric, p.metric_se, bounds) for p in points]


def draw_series(
    axes: Axes,
    points: Sequence[FrontPoint],
    bounds: tuple[float, float],
    look: Look,
    label: str,
    judged: bool = True,
) -> None:
    """Points with error bars, joined by the line of their look; beside each, hollow, its judging part."""
    if not points:
        return
    ends = bars_of(points, bounds)
    bars = [[p.metric - low for p, (low, _) in zip(points, ends, strict=True)],
            [high - p.metric for p, (_, high) in zip(points, ends, strict=True)]]  # fmt: skip
    axes.errorbar(
        [p.cost for p in points], [p.metric for p in points], yerr=bars, marker=look.marker,
        linestyle=look.line, color=look.colour, markersize=look.size, linewidth=0.9, elinewidth=0.7, capsize=1.5,
        capthick=0.7, label=label,
    )  # fmt: skip
    if judged:
        _draw_judged(axes, points, look)


def _draw_judged(axes: Axes, points: Sequence[FrontPoint], look: Look) -> None:
    found = [(p.cost, p.metric, p.metric_judged) for p in points if p.metric_judged is not None]
    if not found:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    aside = axes.transData + ScaledTranslation(ASIDE, 0, figure.dpi_scale_trans)
    for params, metric, judged in found:
        axes.annotate(
            "", (params, metric), xytext=(params, judged), textcoords=aside, zorder=1.8,
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    axes.plot(
        [params for params, _, _ in found], [judged for _, _, judged in found], look.marker, transform=aside,
        color=look.colour, markerfacecolor="white", markersize=0.75 * look.size, markeredgewidth=0.7,
    )  # fmt: skip


def around_points(
    axes: Axes, points: Sequence[Pair], size: float, weight: float, aside: float = 0
) -> list[Obstacle]:
    """Markers `size` points of print across, `aside` points of print to the right."""
    pixels = _pixels(axes)
    half = size / 2 * pixels
    return [
        Obstacle((Box(x - half + aside * pixels, y - half, x + half + aside * pixels, y + half),), weight)
        for x, y in _places(axes, points)
    ]


def around_bars(
    axes: Axes, points: Sequence[FrontPoint], bounds: tuple[float, float], weight: float
) -> list[Obstacle]:
    """Error bars."""
    half, found = _pixels(axes), list[Obstacle]()
    for point, (low, high) in zip(points, bars_of(points, bounds), strict=True):
        (x, bottom), (_, top) = _places(axes, [(point.cost, low), (point.cost, high)])
        found.append(Obstacle((Box(x - half, bottom, x + half, top),), weight))
    return found


def around_line(axes: Axes, points: Sequence[Pair], weight: float) -> list[Obstacle]:
    """A line through the points."""
    step, half = 2 * _pixels(axes), 0.6 * _pixels(axes)
    found = list[Box]()
    for one, other in pairwise(_places(axes, points)):
        count = max(2, round(float(np.hypot(*(np.subtract(other, one)))) / step))
        for x, y in np.linspace(one, other, count):
            found.append(Box(x - half, y - half, x + half, y + half))
    return [Obstacle(tuple(found), weight)]


def stairs(points: Sequence[Pair]) -> list[Pair]:
    """The corners of the steps through points by rising x."""
    corners = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        corners += [(x, before), (x, y)]
    return corners


def _places(axes: Axes, points: Sequence[Pair]) -> list[Pair]:
    pairs = np.array(points, dtype=np.float64).reshape(-1, 2)
    return [(x, y) for x, y in axes.transData.transform(pairs).tolist()]


def _pixels(axes: Axes) -> float:
    """In a point of print."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure.dpi / 72
