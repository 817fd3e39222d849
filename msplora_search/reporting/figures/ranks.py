"""A map of the ranks that were tried: the best metric of each pair of levels, and what was never tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from msplora_search.design.pyramid import Pyramid
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import QUIET, Width
from msplora_search.results.records import TrialRecord
from msplora_search.text import brief

LEVELS = ("global", "mid", "layer")
COLOURS = "cividis"
"""Of even steps in lightness, for any colour vision (Nunez, Anderton and Renslow, 2018)."""
MOST_RANKS = 12
"""Of a level in the map; of more, the most often tried."""


@dataclass(frozen=True)
class Tried:
    """The trials of one cell."""

    best: float | None
    """None where none was trained to the end."""
    count: int


def ranks_figure(shown: Shown, width: Width) -> Figure | None:
    """A panel a pair of levels; None where nothing was trained to the end."""
    return rank_maps([shown], width)


def rank_maps(studies: Sequence[Shown], width: Width) -> Figure | None:
    """Those of several studies, one below the other; None where nothing was trained to the end in any."""
    studies = [shown for shown in studies if shown.complete]
    if not studies:
        return None
    wide = width is Width.TWO_COLUMNS
    figure = Figure(figsize=(width.inches, (2.75 if wide else 6.6) * len(studies)), layout="constrained")
    across, down = (3, len(studies)) if wide else (1, 3 * len(studies))
    panels = figure.subplots(down, across, squeeze=False).reshape(len(studies), 3)
    for shown, row in zip(studies, panels, strict=True):
        scale = _scale([record.final.metric for record in shown.complete])
        for axes, (one, other) in zip(row, combinations(range(3), 2), strict=True):
            picture = _draw(axes, shown, one, other, scale)
        bar = figure.colorbar(picture, ax=row, shrink=0.85, aspect=28, pad=0.02, extend="min")
        bar.set_label(f"best {brief(shown.file.metric, 18)}")
        bar.outline.set_linewidth(0.4)
        if len(studies) > 1:
            row[0].set_title(brief(shown.label, 60))
    whose = f"{brief(studies[0].title, 80 if wide else 40)}; " if len(studies) == 1 else ""
    figure.suptitle(f"{whose}numbers count trials", fontsize=8, x=0.01, ha="left")
    figure.get_layout_engine().set(wspace=0.04, w_pad=0.05)  # type: ignore[union-attr, call-arg]
    figure.legend(
        handles=[Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="#bbbbbb", hatch="////", linewidth=0.4),
                 Rectangle((0, 0), 1, 1, facecolor="#eeeeee", edgecolor=QUIET, linewidth=0.4)],
        labels=["never tried", "all stopped early"], loc="outside lower center", ncols=2,
    )  # fmt: skip
    settle(figure)
    return figure


def cells_of(shown: Shown, down: int, across: int) -> dict[tuple[int, int], Tried]:
    """The trials of each pair of ranks of two levels, by their places in `LEVELS`."""
    found: dict[tuple[int, int], Tried] = {}
    measured: list[tuple[TrialRecord, float | None]] = [(r, r.final.metric) for r in shown.complete]
    for record, metric in [*measured, *((r, None) for r in shown.pruned)]:
        if record.pyramid is None:
            continue
        ranks = ranks_of(record.pyramid)
        before = found.get((ranks[down], ranks[across]), Tried(None, 0))
        metrics = [m for m in (before.best, metric) if m is not None]
        found[ranks[down], ranks[across]] = Tried(max(metrics, default=None), before.count + 1)
    return found


def ranks_of(pyramid: Pyramid) -> tuple[int, int, int]:
    """Global, mid and layer; the largest where a level differs by group."""
    mid, layer = (max(getattr(g, name) for g in pyramid.groups) for name in ("mid_rank", "layer_rank"))
    return pyramid.global_rank, mid, layer


def _draw(axes: Axes, shown: Shown, down: int, across: int, scale: Normalize) -> AxesImage:
    cells = cells_of(shown, down, across)
    rows, columns = (_most_tried(cells, place) for place in (0, 1))
    values = np.full((len(rows), len(columns)), np.nan)
    for i, one in enumerate(rows):
        for j, other in enumerate(columns):
            cell = cells.get((one, other))
            _cell(axes, (j, i), cell, scale)
            if cell is not None and cell.best is not None:
                values[i, j] = cell.best
    picture = axes.imshow(values, cmap=COLOURS, norm=scale, origin="lower", aspect="auto", zorder=1)
    axes.set_xticks(range(len(columns)), [f"{rank}" for rank in columns])
    axes.set_yticks(range(len(rows)), [f"{rank}" for rank in rows])
    axes.set(xlabel=f"{LEVELS[across]} rank", ylabel=f"{LEVELS[down]} rank")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return picture


def _cell(axes: Axes, at: tuple[int, int], cell: Tried | None, scale: Normalize) -> None:
    """What lies around or instead of a shade: a hatch, or the number of trials."""
    corner = at[0] - 0.5, at[1] - 0.5
    if cell is None:
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor="white", edgecolor="#bbbbbb", hatch="////", linewidth=0.3)
        )
        return
    if cell.best is None:
        axes.add_patch(Rectangle(corner, 1, 1, facecolor="#eeeeee", edgecolor=QUIET, linewidth=0.4))
    light = cell.best is None or float(scale(cell.best)) > 0.55
    count = axes.text(
        *at, f"{cell.count}", ha="center", va="center", fontsize=6, color="black" if light else "white", zorder=3
    )
    count.set_in_layout(False)  # within the axes


def _scale(metrics: list[float]) -> Normalize:
    """From the tenth part of the trials up: the worst few would leave no shades to the rest."""
    low, high = float(np.quantile(metrics, 0.1)), max(metrics)
    return Normalize(low if low < high else high - 1e-3, high, clip=True)


def _most_tried(cells: dict[tuple[int, int], Tried], place: int) -> list[int]:
    counts: dict[int, int] = {}
    for pair, tried in cells.items():
        counts[pair[place]] = counts.get(pair[place], 0) + tried.count
    return sorted(sorted(counts, key=lambda rank: (-counts[rank], rank))[:MOST_RANKS])
