"""What decides the metric: a bar a factor, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from msplora_search.reporting.deciding import NAMES
from msplora_search.reporting.figures.axes import columns_of
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.shown import Shown, titled
from msplora_search.reporting.figures.style import FRONT, INK, QUIET, Width
from msplora_search.text import brief

if TYPE_CHECKING:
    from msplora_search.search.importance import Importance


def importance_figure(shown: Shown, width: Width) -> Figure | None:
    """None where nothing is said."""
    return importances([shown], width)


def importances(studies: Sequence[Shown], width: Width) -> Figure | None:
    """Those of several studies, one below the other; None where nothing is said of any."""
    found = [(shown, importance) for shown in studies if (importance := importance_of(shown))]
    if not found:
        return None
    wide = width is Width.TWO_COLUMNS
    counts = [len(importance.shares) for _, importance in found]
    rows = 0.26 * sum(counts) + 0.6 * (len(found) - 1)
    figure = Figure(figsize=(width.inches, (1.3 if wide else 1.7) + rows), layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False, height_ratios=counts).ravel()
    for axes, (shown, importance) in zip(panels, found, strict=True):
        _draw(axes, importance)
        metric = brief(shown.file.metric, 18)
        name = shown.file.study if len(studies) == 1 else shown.label
        axes.set_title(titled(name, f"what decides the {metric}" if wide else ""))
    said = f"share of the differences in {metric} over the space" if wide else "share of the differences"
    panels[-1].set_xlabel(said if len(found) == 1 else "share of the differences")
    labelled = {label: handle for axes in panels
                for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}  # fmt: skip
    figure.legend(list(labelled.values()), list(labelled), loc="outside lower center",
                  ncols=columns_of(list(labelled), width))  # fmt: skip
    settle(figure)
    return figure


def importance_of(shown: Shown) -> Importance | None:
    """None where nothing is said."""
    return shown.summary.importance if shown.summary else None


def _draw(axes: Axes, importance: Importance) -> None:
    shares, told = importance.shares, len(importance.told)
    rows = range(len(shares))
    axes.barh(rows, [s.total for s in shares], height=0.6, color=QUIET, alpha=0.3, label="with interactions")
    axes.barh(rows[:told], [s.share for s in shares[:told]], height=0.6, color=FRONT, alpha=0.75,
              label="alone, told apart" if told else None)  # fmt: skip
    axes.barh(rows[told:], [s.share for s in shares[told:]], height=0.6, color=QUIET, alpha=0.9,
              label="alone" if told < len(shares) else None)  # fmt: skip
    ends = [[s.share - s.interval[0] for s in shares], [s.interval[1] - s.share for s in shares]]
    axes.errorbar([s.share for s in shares], rows, xerr=ends, fmt="none", ecolor=INK, elinewidth=0.8,
                  capsize=2, label="95% interval")  # fmt: skip
    axes.set_yticks(rows, [NAMES[s.factor].removeprefix("the ") for s in shares])
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlim=(0, 1), ylim=(len(shares) - 0.4, -0.6))
