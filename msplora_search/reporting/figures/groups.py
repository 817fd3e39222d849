"""An atlas of depth groups: a row a point, layers across, the ranks of each level as shades and as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from msplora_search.design.costs import Cost
from msplora_search.reporting.figures.labels import Box
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import INK, Width
from msplora_search.results.front_file import FrontPoint
from msplora_search.text import brief

SHADES = LinearSegmentedColormap.from_list("ranks", ["#ddeaf4", "#7fb0d6", "#0072B2", "#003a5c"])
"""From little rank to much: lightness alone tells them apart."""
MOST_ROWS = 60
"""Of one atlas; of a longer front as many points, evenly picked, with both ends."""
ROW, LEAST_ROW, TALLEST = 0.30, 0.15, 9.0
"""Inches of a row, of a row in a long atlas, and of a page."""


def groups_figure(shown: Shown, width: Width) -> Figure | None:
    """The atlas of a front; None where there is none."""
    return atlas([shown], width)


def atlas(studies: Sequence[Shown], width: Width) -> Figure | None:
    """The fronts of several studies, one below the other; None where all are empty."""
    studies = [shown for shown in studies if shown.file.front]
    if not studies:
        return None
    counts = [len(rows_of(shown)) for shown in studies]
    row = min(ROW, max(LEAST_ROW, TALLEST / sum(counts)))
    figure = Figure(figsize=(width.inches, sum(counts) * row + 0.7 * len(studies) + 0.3), layout="constrained")
    most = max(_largest(point) for shown in studies for point in shown.file.front)
    panels = figure.subplots(
        len(studies),
        2,
        width_ratios=[1, 14 if width is Width.TWO_COLUMNS else 4],
        height_ratios=[count + 0.6 for count in counts],
        squeeze=False,
    )
    size = 6.5 if row > 0.2 else 5
    written = [text for shown, pair in zip(studies, panels, strict=True)
               for text in _draw(pair[0], pair[1], shown, most, size)]  # fmt: skip
    for shown, (_, layers) in zip(studies, panels, strict=True):
        layers.set_title(shown.title if len(studies) == 1 else brief(shown.label, 60), pad=size + 9)
    panels[-1][1].set_xlabel("layer")
    figure.get_layout_engine().set(wspace=0.0, w_pad=0.03)  # type: ignore[union-attr, call-arg]
    settle(figure)
    for text, room in written:
        if not _fits(text, room):
            text.set_visible(False)
    return figure


def rows_of(shown: Shown) -> list[FrontPoint]:
    """The points of a front that are drawn."""
    points = list(shown.file.front)
    if len(points) <= MOST_ROWS:
        return points
    return [points[round(i * (len(points) - 1) / (MOST_ROWS - 1))] for i in range(MOST_ROWS)]


def _draw(globals_: Axes, layers: Axes, shown: Shown, most: int, size: float) -> list[tuple[Text, Rectangle]]:
    """Draw one front; returns the numbers within their bars."""
    points = rows_of(shown)
    depth = max(point.pyramid.layers for point in points)
    written = []
    for row, point in enumerate(points):
        pyramid = point.pyramid
        written.append(_bar(globals_, (0, 1), (row - 0.4, 0.8), pyramid.global_rank, most, size))
        for group in pyramid.groups:
            across = (group.start, group.layers)
            written.append(_bar(layers, across, (row - 0.4, 0.4), group.mid_rank, most, size))
            for layer in range(group.start, group.stop):
                _bar(layers, (layer, 1), (row, 0.4), group.layer_rank, most, 0)
            middle = (group.start + (group.layers - 1) // 2, 1)
            written.append(_number(layers, middle, (row, 0.4), group.layer_rank, most, size))
            layers.plot([group.stop] * 2, [row - 0.45, row + 0.45], color=INK, linewidth=0.9)
        layers.plot([0] * 2, [row - 0.45, row + 0.45], color=INK, linewidth=0.9)
    _frame(globals_, layers, shown, points, depth, size)
    return [pair for pair in written if pair is not None]


def _frame(
    globals_: Axes, layers: Axes, shown: Shown, points: Sequence[FrontPoint], depth: int, size: float
) -> None:
    """Limits, and what stands around the bars."""
    for axes in (globals_, layers):
        axes.set_ylim(len(points) - 0.4, -0.6)
        axes.grid(visible=False)
        axes.tick_params(length=0, labelsize=size)
        for spine in axes.spines.values():
            spine.set_visible(False)
    globals_.set(xlim=(0, 1), xticks=[])
    globals_.set_yticks(range(len(points)), [f"{point.trial}" for point in points])
    layers.set(xlim=(0, depth), yticks=[])
    layers.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(depth, 12), steps=[1, 2, 4, 5, 10]))
    layers.tick_params(axis="x", length=2, width=0.6)
    _head(globals_, (0, 1), (-4, 4), "trial", "right", size)
    _head(globals_, (0.5, 1), (0, 4), "global", "center", size)
    _head(layers, (0.5, 1), (0, 4), "mid above, layer below", "center", size)
    _columns(layers, shown, points, size)


def _columns(axes: Axes, shown: Shown, points: Sequence[FrontPoint], size: float) -> None:
    """Cost, metric and, where they differ, targets to the right of the bars."""
    several = len({point.pyramid.targets for point in points}) > 1
    heading = "parameters" if shown.file.cost_is is Cost.PARAMS else shown.file.cost_is.column
    ends = size * 7.2, size * 7.7, size * 15.5
    _head(axes, (1, 1), (ends[0], 4), heading, "right", size)
    _head(axes, (1, 1), (ends[1], 4), f"{brief(shown.file.metric, 18)} ± SE", "left", size)
    for row, point in enumerate(points):
        metric = f"{point.metric:.3f} ± {point.metric_se:.3f}"
        cells = [(ends[0], f"{point.cost:,}", "right"), (ends[1], metric, "left")]
        cells += [(ends[2], brief(shown.word_for(point.pyramid.targets), 16), "left")] if several else []
        for aside, text, side in cells:
            axes.annotate(
                text, (1, row), xycoords=axes.get_yaxis_transform(), xytext=(aside, 0), textcoords="offset points",
                ha=side, va="center_baseline", fontsize=size, annotation_clip=False,
            )  # fmt: skip


def _head(
    axes: Axes, at: tuple[float, float], aside: tuple[float, float], text: str, side: str, size: float
) -> None:
    """The heading of a column, `aside` points of print from a place in the axes."""
    axes.annotate(
        text, at, xycoords="axes fraction", xytext=aside, textcoords="offset points", ha=side, va="bottom",
        fontsize=size, color="#555555", annotation_clip=False,
    )  # fmt: skip


def _bar(
    axes: Axes, across: tuple[float, float], down: tuple[float, float], rank: int, most: int, size: float
) -> tuple[Text, Rectangle] | None:
    """A rectangle in the shade of a rank, white for 0; with its number, unless `size` is 0."""
    axes.add_patch(Rectangle(
        (across[0], down[0]), across[1], down[1], facecolor=_shade(rank, most), edgecolor="white", linewidth=0.6
    ))  # fmt: skip
    if not rank:
        axes.add_patch(Rectangle(
            (across[0], down[0]), across[1], down[1], facecolor="none", edgecolor="#cccccc", linewidth=0.3
        ))  # fmt: skip
    return _number(axes, across, down, rank, most, size) if size else None


def _number(
    axes: Axes, across: tuple[float, float], down: tuple[float, float], rank: int, most: int, size: float
) -> tuple[Text, Rectangle]:
    text = axes.text(
        across[0] + across[1] / 2, down[0] + down[1] / 2, f"{rank}", ha="center", va="center_baseline",
        fontsize=size, color="white" if _strength(rank, most) > 0.5 else "#999999" if not rank else "black",
    )  # fmt: skip
    text.set_in_layout(False)  # it is hidden where it does not fit its bar, and takes no room beside it
    room = Rectangle((across[0], down[0]), across[1], down[1], transform=axes.transData)
    return text, room


def _strength(rank: int, most: int) -> float:
    """From 0 to 1, by the logarithm of a rank."""
    return math.log2(rank) / math.log2(most) if rank > 1 and most > 1 else 0.0


def _shade(rank: int, most: int) -> tuple[float, float, float, float] | str:
    return SHADES(_strength(rank, most)) if rank else "white"


def _largest(point: FrontPoint) -> int:
    return point.pyramid.largest_rank


def _fits(text: Text, room: Rectangle) -> bool:
    return Box(*text.get_window_extent().extents).within(_grown(Box(*room.get_window_extent().extents)))


def _grown(box: Box) -> Box:
    """With some height to spare: digits fill less of their box than letters do."""
    spare = 0.25 * (box.top - box.bottom)
    return Box(box.left, box.bottom - spare, box.right, box.top + spare)
