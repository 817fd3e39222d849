"""What decides the metric: a bar a factor, with its interval."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from msplora_search.reporting.deciding import NAMES
from msplora_search.reporting.figures.axes import columns_of
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.shown import Shown, titled
from msplora_search.reporting.figures.style import FRONT, INK, QUIET, Width
from msplora_search.text import brief


def importance_figure(shown: Shown, width: Width) -> Figure | None:
    """None where nothing is said."""
    importance = shown.summary.importance if shown.summary else None
    if importance is None:
        return None
    shares, told = importance.shares, len(importance.told)
    rows, wide = range(len(shares)), width is Width.TWO_COLUMNS
    figure = Figure(figsize=(width.inches, (1.3 if wide else 1.7) + 0.26 * len(shares)), layout="constrained")
    axes = figure.subplots()
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
    metric = brief(shown.file.metric, 18)
    said = f"share of the differences in {metric} over the space" if wide else "share of the differences"
    axes.set(xlim=(0, 1), ylim=(len(shares) - 0.4, -0.6), xlabel=said)
    axes.set_title(titled(shown.file.study, f"what decides the {metric}", 40 if wide else 20))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, width))
    settle(figure)
    return figure
