"""Metric against cost: the front and the baselines with their noise, and all other trials behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from msplora_search.reporting.figures.axes import columns_of, cost_axis, cost_label
from msplora_search.reporting.figures.labels import Label, Obstacle, write_labels
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.series import (
    Pair,
    around_bars,
    around_line,
    around_points,
    bars_of,
    draw_series,
    stairs,
)
from msplora_search.reporting.figures.shown import Shown, pairs_of, rank_of
from msplora_search.reporting.figures.style import FRONT, INK, LADDERS, PAPER, QUIET, Look, Width
from msplora_search.results.front_file import FrontPoint
from msplora_search.results.records import TrialRecord
from msplora_search.text import brief

FRONT_LOOK, PAPER_LOOK = Look(FRONT, "o", 5), Look(PAPER, "*", 9)
STOPPED, OTHERS = "stopped early (metric when stopped)", "other trials"
MOST_POINTS = 1_000
"""Of one kind that are shapes of their own in an SVG or PDF: more are one picture in it."""
STRETCH = 0.4
"""Of the extent of front and baselines: trials farther off are shown apart, and do not stretch the axes."""


class View(NamedTuple):
    """What axes show, with logarithms of cost."""

    left: float
    right: float
    low: float
    high: float

    @classmethod
    def around(cls, pairs: Sequence[Pair]) -> View:
        """Of (cost, metric) pairs."""
        x, y = np.log10([max(1.0, pair[0]) for pair in pairs]), [pair[1] for pair in pairs]
        return cls(float(x.min()), float(x.max()), min(y), max(y))

    def padded(self, share: float) -> View:
        """With a margin of such a share of its extent, or of something where it has none."""
        aside = share * ((self.right - self.left) or 0.5)
        above = share * ((self.high - self.low) or max(1e-3, abs(self.high) / 20))
        return View(self.left - aside, self.right + aside, self.low - above, self.high + above)

    def holds(self, pair: Pair) -> bool:
        """Whether it shows such a point."""
        return self.left <= np.log10(max(1.0, pair[0])) <= self.right and self.low <= pair[1] <= self.high

    def apply(self, axes: Axes) -> None:
        """Let axes show it."""
        axes.set(xlim=(10**self.left, 10**self.right), ylim=(self.low, self.high))


def front_figure(shown: Shown, width: Width) -> Figure:
    """The front of one study; beside it all trials, where they reach far beyond."""
    view, apart = view_of(shown)
    wide = width is Width.TWO_COLUMNS
    figure = Figure(figsize=(width.inches, 3.7 if wide else 3.3 + 1.3 * apart), layout="constrained")
    if not apart:
        main = figure.subplots()
    elif wide:
        main, aside = figure.subplots(1, 2, width_ratios=[3.4, 1])
    else:
        main, aside = figure.subplots(2, 1, height_ratios=[3, 1])
    draw_front(main, shown, view)
    main.set_title(shown.title)
    if apart:
        draw_all(aside, shown, view)
    handles, labels = legend_of([main, *([aside] if apart else [])], [shown])
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, width))
    settle(figure)
    label_front(main, shown)
    return figure


def view_of(shown: Shown) -> tuple[View, bool]:
    """What the axes of a front show, and whether some trials lie too far off."""
    focus, every = _focus(shown), pairs_of(shown.complete) + pairs_of(shown.pruned)
    if not focus:
        return View.around(every or [(1_000, 0.0), (100_000, 1.0)]).padded(0.1), False
    near = View.around(focus)
    if all(near.padded(STRETCH).holds(pair) for pair in every):
        return View.around([*focus, *every]).padded(0.07), False
    return near.padded(0.1), True


def draw_front(axes: Axes, shown: Shown, view: View) -> None:
    """All that lies within a view, in axes of their own."""
    _scatter(axes, [p for p in pairs_of(shown.pruned) if view.holds(p)], "x", STOPPED)
    _scatter(axes, [p for p in pairs_of(_others(shown)) if view.holds(p)], ".", OTHERS)
    several = len(shown.ladders) > 1
    for place, (word, points) in enumerate(shown.ladders.items()):
        look = LADDERS[min(place, len(LADDERS) - 1)]
        alike = len(shown.ladders) > len(LADDERS) and place >= len(LADDERS) - 1
        on = " on other targets" if alike else f" on {brief(word, 30)}" if several else ""
        draw_series(axes, points, shown.bounds, look, "" if place >= len(LADDERS) else f"plain LoRA{on} (r: rank)")
    front = _pairs(shown.file.front)
    if front:
        corners = np.array(stairs([*front, (10**view.right, front[-1][1])]))
        axes.plot(corners[:, 0], corners[:, 1], color=FRONT, linewidth=1.0, alpha=0.8, zorder=1.5)
        draw_series(axes, shown.file.front, shown.bounds, FRONT_LOOK, "front (trial) ± standard error")
    if shown.file.paper:  # last, so that it shows on a point of the front
        draw_series(axes, [shown.file.paper], shown.bounds, PAPER_LOOK, "paper's pyramid")
    view.apply(axes)
    cost_axis(axes, cost_label(shown.file.cost_is))
    axes.set_ylabel(brief(shown.file.metric, 18))


def draw_all(axes: Axes, shown: Shown, view: View) -> None:
    """Every trial, and the part that the main axes show."""
    every = pairs_of(shown.complete) + pairs_of(shown.pruned)
    _scatter(axes, pairs_of(shown.pruned), "x", STOPPED, 7)
    _scatter(axes, pairs_of(_others(shown)), ".", OTHERS, 10)
    front = _pairs(shown.file.front)
    axes.plot([x for x, _ in front], [y for _, y in front], "o", color=FRONT, markersize=2.2, linestyle="none")
    corners = [(10**view.left, view.low), (10**view.right, view.high)]
    whole = View.around([*every, *corners]).padded(0.08)
    whole.apply(axes)
    cost_axis(axes, "", 3)
    axes.tick_params(labelsize=6)
    axes.set_title("all trials", fontsize=7)
    axes.add_patch(Rectangle(
        (10**view.left, view.low), 10**view.right - 10**view.left, view.high - view.low, fill=False,
        edgecolor=INK, linewidth=0.6,
    ))  # fmt: skip


def legend_of(axes: Sequence[Axes], studies: Sequence[Shown]) -> tuple[list[Any], list[str]]:
    """Handles and labels, each once; that of the judging part where something is judged."""
    named: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    handles, labels = list(named.values()), list(named)
    drawn = [p for s in studies for p in (*s.file.front, *s.file.lora, *([s.file.paper] if s.file.paper else []))]
    if any(point.metric_judged is not None for point in drawn):
        (hollow,) = axes[0].plot([], [], "-o", color=QUIET, markerfacecolor="white", markersize=3.5, linewidth=0.5)
        return [*handles, hollow], [*labels, "the same on the judging part"]
    return handles, labels


def label_front(axes: Axes, shown: Shown) -> None:
    """Trial numbers at the front, ranks at the ladders; the layout must be final."""
    labels = [Label(f"{p.trial}", (p.cost, p.metric), FRONT) for p in shown.file.front]
    for place, points in enumerate(shown.ladders.values()):
        colour = LADDERS[min(place, len(LADDERS) - 1)].colour
        labels += [Label(f"r={rank_of(p)}", (p.cost, p.metric), colour) for p in points]
    write_labels(axes, labels, _obstacles(axes, shown), 6.5)


def _obstacles(axes: Axes, shown: Shown) -> list[Obstacle]:
    ladders, front = list(shown.ladders.values()), list(shown.file.front)
    told = [*front, *shown.file.lora, *([shown.file.paper] if shown.file.paper else [])]
    judged = [(float(p.cost), p.metric_judged) for p in told if p.metric_judged is not None]
    found = around_points(axes, _pairs(told), 6, 10) + around_points(axes, judged, 4, 8, aside=4.5)
    found += around_bars(axes, told, shown.bounds, 3) + around_line(axes, stairs(_pairs(front)), 1)
    for points in ladders:
        found += around_line(axes, _pairs(points), 0.5)
    found += around_points(axes, pairs_of(_others(shown)), 3, 0.5)
    return found + around_points(axes, pairs_of(shown.pruned), 4, 0.3)


def _others(shown: Shown) -> list[TrialRecord]:
    """Complete, neither baselines nor on the front."""
    named = {point.trial for point in shown.file.front}
    return [r for r in shown.complete if r.baseline is None and r.number not in named]


def _focus(shown: Shown) -> list[Pair]:
    """What must be seen: front and baselines with their error bars, and their judging parts."""
    told = [*shown.file.front, *shown.file.lora, *([shown.file.paper] if shown.file.paper else [])]
    ends = zip(told, bars_of(told, shown.bounds), strict=True)
    found = [(float(p.cost), end) for p, bar in ends for end in bar]
    return found + [(float(p.cost), p.metric_judged) for p in told if p.metric_judged is not None]


def _pairs(points: Sequence[FrontPoint]) -> list[Pair]:
    return [(float(point.cost), point.metric) for point in points]


def _scatter(axes: Axes, pairs: Sequence[Pair], marker: str, label: str, size: float = 0) -> None:
    if pairs:
        cross = marker == "x"
        axes.scatter(
            [x for x, _ in pairs], [y for _, y in pairs], marker=marker, s=size or (11 if cross else 22),
            color=QUIET, alpha=0.8 if cross else 0.6, linewidths=0.7 if cross else 0, label=label, zorder=1,
            rasterized=len(pairs) > MOST_POINTS,
        )  # fmt: skip
