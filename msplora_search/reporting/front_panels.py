"""The two panels of a front's plot: metric against parameters, and the depth groups of its points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from msplora_search.results.noise import interval
from msplora_search.results.records import State
from msplora_search.search.baselines import AT
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary
from msplora_search.text import brief, printable

FRONT, PAPER, LORA, QUIET = "#1f5fa8", "#c8442c", "#6b8e23", "#9a9a9a"
ASIDE = 7 / 72
"""Inches from a point to its value on the judging part, so that error bars do not hide it."""
COLUMNS = 3
"""Of the legend."""


class Look(NamedTuple):
    """How the points of one kind are drawn."""

    colour: str
    marker: str
    size: float = 6
    line: str = ""


LADDERS = (
    Look(LORA, "s", line="-"),
    Look("#b8860b", "D", 5, "-"),
    Look("#7b4fa3", "^", line="-"),
    Look("#2a9d8f", "v", line="-"),
    Look("#8c564b", "P", line="-"),
)
"""One a ladder; where there are more, those from the last on look alike."""


def draw_points(axes: Axes, summary: Summary) -> int:
    """Every trial, with the front, the ladders and the paper's setting; returns the rows of its legend above."""
    floor = _floor(summary)
    pruned = [(r.adapter_params, r.final.metric) for r in summary.results.in_state(State.PRUNED)]
    _scatter(axes, [p for p in pruned if p[1] >= floor], "x", "pruned (metric when stopped)")
    _scatter(axes, [(params, floor) for params, metric in pruned if metric < floor], "v", "pruned below this plot")
    others = [p for p in summary.points if not p.record.baseline]
    if others:
        axes.scatter(
            [p.params for p in others], [p.metric for p in others],
            s=20, color=FRONT, alpha=0.35, linewidths=0, label="complete",
        )  # fmt: skip
    _draw_ladders(axes, summary)
    if summary.front:
        axes.step(
            [p.params for p in summary.front], [p.metric for p in summary.front],
            where="post", color=FRONT, alpha=0.6, linewidth=1.2,
        )  # fmt: skip
        _draw_series(axes, summary, summary.front, Look(FRONT, "o"), "front ± standard error")
    if summary.paper:  # last, so that it shows on a point of the front
        _draw_series(axes, summary, [summary.paper], Look(PAPER, "*", 12), "paper's pyramid")
    return _draw_legend(axes, any(p.judged for p in [*summary.front, *summary.baselines.values()]))


def _draw_ladders(axes: Axes, summary: Summary) -> None:
    several = len(summary.ladders) > 1
    for place, (word, points) in enumerate(summary.ladders.items()):
        look = LADDERS[min(place, len(LADDERS) - 1)]
        alike = len(summary.ladders) > len(LADDERS) and place >= len(LADDERS) - 1
        on = " on other targets" if alike else f" on {brief(printable(word), 30)}" if several else ""
        label = "" if place >= len(LADDERS) else f"plain LoRA{on} (rank)"
        _draw_series(axes, summary, points, look, label)
        for point in points:
            rank = point.name.removeprefix("lora-").partition(AT)[0]
            up = place % 2 == 1  # two ladders often have points of one size
            axes.annotate(
                f"r={brief(printable(rank), 10)}", (point.params, point.metric), xytext=(-4, 4 if up else -4),
                textcoords="offset points", fontsize=8, color=look.colour, ha="right",
                va="bottom" if up else "top", zorder=5,
            )  # fmt: skip


def _draw_legend(axes: Axes, judged: bool) -> int:
    handles, labels = axes.get_legend_handles_labels()
    if judged:
        (hollow,) = axes.plot([], [], "-o", color=QUIET, markerfacecolor="white", markersize=5, linewidth=0.7)
        handles, labels = [*handles, hollow], [*labels, "the same on the judging part"]
    if handles:
        axes.legend(handles, labels, frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0),
                    ncols=COLUMNS, columnspacing=1.2, handletextpad=0.4)  # fmt: skip
    return math.ceil(len(handles) / COLUMNS)


def _floor(summary: Summary) -> float:
    """Where the metric axis begins: below every complete trial; what was pruned far below would flatten them."""
    lowest = [p.metric - 2 * p.measure.metric_se for p in summary.points]
    spread = max((p.metric for p in summary.points), default=0.0) - min(lowest, default=0.0)
    return min(lowest, default=-math.inf) - 0.25 * spread


def _scatter(axes: Axes, pairs: Sequence[tuple[int, float]], marker: str, label: str) -> None:
    if pairs:
        axes.scatter(
            [params for params, _ in pairs], [metric for _, metric in pairs],
            marker=marker, s=18, color=QUIET, alpha=0.5, linewidths=0.8, label=label,
        )  # fmt: skip


def _draw_series(axes: Axes, summary: Summary, points: Sequence[Point], look: Look, label: str) -> None:
    """Points with error bars; beside each, hollow and joined to it, its value on the judging part."""
    bounds = summary.results.metric.bounds
    ends = [interval(p.metric, p.measure.metric_se, bounds) for p in points]
    bars = [[p.metric - low for p, (low, _) in zip(points, ends, strict=True)],
            [high - p.metric for p, (_, high) in zip(points, ends, strict=True)]]  # fmt: skip
    drawn = axes.errorbar(
        [p.params for p in points], [p.metric for p in points], yerr=bars, fmt=look.line + look.marker,
        color=look.colour, markersize=look.size, linewidth=1, elinewidth=0.8, capsize=2, label=label,
    )  # fmt: skip
    _draw_judged(axes, points, look, drawn)


def _draw_judged(axes: Axes, points: Sequence[Point], look: Look, drawn: ErrorbarContainer) -> None:
    found = [(p.params, p.metric, p.judged.metric) for p in points if p.judged is not None]
    figure = axes.get_figure(root=True)
    assert figure is not None
    aside = axes.transData + ScaledTranslation(ASIDE, 0, figure.dpi_scale_trans)
    below = drawn.lines[0].get_zorder() - 0.05
    for params, metric, judged in found:
        axes.annotate(
            "", (params, metric), xytext=(params, judged), textcoords=aside, zorder=below,
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    sizes, values = [params for params, _, _ in found], [judged for _, _, judged in found]
    axes.plot(
        sizes, values, look.marker, transform=aside, color=look.colour, markerfacecolor="white",
        markersize=0.7 * look.size, markeredgewidth=0.9,
    )  # fmt: skip
    if found:
        axes.update_datalim([*zip(sizes, values, strict=True)])  # it stretches no axis by itself
        axes.autoscale_view()


def draw_groups(axes: Axes, summary: Summary) -> None:
    """One row a front point: each depth group as a bar over its layers, darker for more rank."""
    layers = summary.results.facts["layers"]
    pyramids = [(p, p.record.pyramid) for p in summary.front if p.record.pyramid is not None]
    most = max((g.mid_rank + g.layer_rank for _, q in pyramids for g in q.groups), default=1) or 1
    for row, (_, pyramid) in enumerate(pyramids):
        for group in pyramid.groups:
            strength = 0.12 + 0.6 * (group.mid_rank + group.layer_rank) / most
            axes.barh(
                row, group.layers, left=group.start, height=0.72,
                color=(0.12, 0.37, 0.66, strength), edgecolor="white", linewidth=1.5,
            )  # fmt: skip
            axes.text(
                (group.start + group.stop) / 2, row, f"mid {group.mid_rank} · layer {group.layer_rank}",
                ha="center", va="center", fontsize=8,
            )  # fmt: skip
    axes.set_yticks(
        range(len(pyramids)),
        [f"trial {p.record.number}: {p.params:,} · global {q.global_rank}" for p, q in pyramids],
        fontsize=8,
    )
    axes.invert_yaxis()
    axes.set(xlim=(0, layers), xlabel="layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(layers, 16)))
    axes.grid(visible=False)
    axes.set_title("depth groups of the front", fontsize=10, loc="left")
