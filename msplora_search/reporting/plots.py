"""The plots of a report. The only module that imports matplotlib."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from msplora_search.results.records import State, TrialRecord
from msplora_search.search.summary import Point, Summary, hypervolume_of

FRONT, PAPER, LORA, QUIET = "#1f5fa8", "#c8442c", "#6b8e23", "#9a9a9a"
STYLE: Any = {
    "svg.hashsalt": "msplora-search",  # the same study gives the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
}


def draw_front(summary: Summary, folder: Path) -> None:
    """`front.png` and `front.svg`: metric against parameters, and the depth groups of the front."""
    with mpl.rc_context(STYLE):
        rows = max(1, len(summary.front))
        figure = Figure(figsize=(9, 5.2 + 0.42 * rows), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[5, 0.5 + 0.42 * rows])
        _draw_points(above, summary)
        _draw_groups(below, summary)
        _save(figure, folder / "front")


def draw_hypervolume(summary: Summary, folder: Path) -> None:
    """`hypervolume.png`: how it grew with the steps spent, beside the steps without pruning."""
    spent, unpruned, volumes = [0], [0], [0.0]
    done: list[TrialRecord] = []
    limit = summary.results.settings.search.max_params
    for record in summary.results.records:
        if record.state in (State.COMPLETE, State.PRUNED, State.FAILED):
            if record.state == State.COMPLETE and (limit is None or record.adapter_params <= limit):
                done.append(record)
            spent.append(spent[-1] + record.steps)
            planned = record.steps if record.state == State.FAILED else record.planned_steps
            unpruned.append(unpruned[-1] + planned)
            volumes.append(hypervolume_of(summary.results, done))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.step(spent, volumes, where="post", color=FRONT, label="steps spent")
        axes.step(unpruned, volumes, where="post", color=QUIET, linestyle="--", label="the same trials unpruned")
        axes.set(xlabel="training steps", ylabel="hypervolume", ylim=(0, None), xlim=(0, None))
        axes.set_title(f"{summary.results.settings.name}: hypervolume against cost")
        axes.legend(frameon=False, loc="lower right")
        _save(figure, folder / "hypervolume", suffixes=(".png",))


def _draw_points(axes: Axes, summary: Summary) -> None:
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
    if summary.lora:
        _draw_series(axes, summary.lora, LORA, "s-", "plain LoRA (rank)")
        for point in summary.lora:
            rank = (point.record.baseline or "").removeprefix("lora-")
            _annotate(axes, point, f"r={rank}", LORA)
    if summary.front:
        axes.step(
            [p.params for p in summary.front], [p.metric for p in summary.front],
            where="post", color=FRONT, alpha=0.6, linewidth=1.2,
        )  # fmt: skip
        _draw_series(axes, list(summary.front), FRONT, "o", "front ± standard error")
    if summary.paper:  # last, so that it shows on a point of the front
        _draw_series(axes, [summary.paper], PAPER, "*", "paper's pyramid", size=12)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="adapter parameters (log scale)", ylabel=summary.results.settings.task.metric)
    axes.set_title(f"{summary.results.settings.name}: {summary.results.settings.model}", pad=40)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3,
                    columnspacing=1.2, handletextpad=0.4)  # fmt: skip


def _floor(summary: Summary) -> float:
    """Where the metric axis begins: below every complete trial; what was pruned far below would flatten them."""
    lowest = [p.metric - 2 * p.record.final.metric_se for p in summary.points]
    spread = max((p.metric for p in summary.points), default=0.0) - min(lowest, default=0.0)
    return min(lowest, default=-math.inf) - 0.25 * spread


def _scatter(axes: Axes, pairs: Sequence[tuple[int, float]], marker: str, label: str) -> None:
    if pairs:
        axes.scatter(
            [params for params, _ in pairs], [metric for _, metric in pairs],
            marker=marker, s=18, color=QUIET, alpha=0.5, linewidths=0.8, label=label,
        )  # fmt: skip


def _draw_series(axes: Axes, points: list[Point], colour: str, marker: str, label: str, size: float = 6) -> None:
    axes.errorbar(
        [p.params for p in points], [p.metric for p in points],
        yerr=[p.record.final.metric_se for p in points],
        fmt=marker, color=colour, markersize=size, linewidth=1, elinewidth=0.8, capsize=2, label=label,
    )  # fmt: skip


def _annotate(axes: Axes, point: Point, text: str, colour: str) -> None:
    axes.annotate(
        text, (point.params, point.metric), xytext=(5, -11), textcoords="offset points",
        fontsize=8, color=colour,
    )  # fmt: skip


def _draw_groups(axes: Axes, summary: Summary) -> None:
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


def _save(figure: Figure, path: Path, suffixes: tuple[str, ...] = (".png", ".svg")) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a study may be named in any script
        for suffix in suffixes:
            dated = {"Date": None} if suffix == ".svg" else {}
            figure.savefig(path.with_suffix(suffix), dpi=130, metadata=dated)
