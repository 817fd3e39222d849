"""What `analyze` tells of the levels in training: whether they pulled a weight the same way."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from msplora_search.adapters.interference import Pair
from msplora_search.analysis.recorded import Interference
from msplora_search.analysis.updates import Floats
from msplora_search.reporting.analysis_plots import KINDS, STYLE, title
from msplora_search.reporting.analysis_words import HARDLY
from msplora_search.reporting.figures.saving import save
from msplora_search.reporting.wording import table
from msplora_search.text import several

OF_PAIRS = {
    ("global", "mid"): ("#0072b2", "o"),
    ("global", "layer"): ("#d55e00", "s"),
    ("mid", "layer"): ("#009e73", "^"),
}
"""Colours and marks."""


def interference_lines(found: Interference | None) -> list[str]:
    """For a terminal: a line, or none where nothing was recorded."""
    if found is None:
        return []
    return [f"Levels in training, at {several(len(found.steps), 'step')} of {found.planned:,}: "
            + "; ".join(_sentence(found, pair) for pair in found.cosines)]  # fmt: skip


def _sentence(found: Interference, pair: Pair) -> str:
    told = found.told(pair)
    return (
        f"{' and '.join(pair)} {_verdict(told['mean'])} (mean cosine {told['mean']:+.2f}, at first "
        f"{told['at_first']:+.2f}, at last {told['at_last']:+.2f}; against each other in {told['opposed']:.0%} of "
        "layers and steps)"
    )


def _verdict(mean: float) -> str:
    if abs(mean) < HARDLY:
        return "hardly touch"
    return "pull the same way" if mean > 0 else "pull against each other"


def interference_markdown(found: Interference, picture: str) -> list[str]:
    """Paragraphs of `analysis.md`."""
    rows = []
    for pair in found.cosines:
        told = found.told(pair)
        signed = [f"{told[name]:+.3f}" for name in ("mean", "at_first", "at_last")]
        rows.append([" and ".join(pair), *signed, f"{told['opposed']:.0%}"])
    return [
        "### How the levels went together in training",
        *interference_lines(found),
        table(["levels", "mean cosine", "first quarter", "last quarter", "against each other"], rows),
        "The cosine of what a step of gradient descent on one level, and on another, does to the same weight: 1 "
        "where both do the same, 0 where they do not touch, below 0 where one undoes what the other does. A "
        "shared level follows the sum of the gradients of its layers. Means over the targets of a layer. Adam "
        "scales each entry of a factor, so what it did is not quite this.",
        f"![interference]({picture})",
    ]


def draw_interference(found: Interference, name: str, path: Path) -> None:
    """`path`.png and .svg: mean cosines by step, and by layer and step."""
    with mpl.rc_context(STYLE):
        count = len(found.cosines)
        figure = Figure(figsize=(4.4 + 2.9 * count, 3.9), layout="constrained")
        means, *panels = figure.subplots(1, 1 + count, width_ratios=[1.5, *[1] * count])
        for pair, every in found.cosines.items():
            colour, mark = OF_PAIRS[pair]
            with np.errstate(invalid="ignore"):
                low, high = np.nanquantile(every, [0.1, 0.9], axis=1)
            means.fill_between(found.steps, low, high, color=colour, alpha=0.12, linewidth=0)
            means.plot(found.steps, found.mean_by_step(pair), color=colour, marker=mark, markersize=3,
                       label=" and ".join(pair))  # fmt: skip
        means.axhline(0, color="#444444", linewidth=0.8)
        means.set(xlabel="step", ylabel="cosine: mean, and 80% of the layers")
        means.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        most = max(0.02, *(float(np.nanmax(np.abs(every))) for every in found.cosines.values()))
        for axes, (pair, every) in zip(panels, found.cosines.items(), strict=True):
            image = _draw_layers(axes, every, found.steps, most)
            axes.set_title(" and ".join(pair), fontsize=10)
        panels[0].set_ylabel("layer")
        figure.colorbar(image, ax=panels, shrink=0.85, label="cosine")
        figure.suptitle(title(name, "do the levels pull the same way?"), fontsize=11)
        figure.legend(*means.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=3)
        save(figure, path, KINDS)


def _draw_layers(axes: Axes, cosines: Floats, steps: tuple[int, ...], most: float) -> AxesImage:
    """Cosines (steps, layers) as colours."""
    axes.set_facecolor("#999999")
    shown = np.ma.masked_invalid(cosines.T)
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    axes.grid(visible=False)
    places = sorted({0, len(steps) // 2, len(steps) - 1})
    axes.set_xticks(places, [str(steps[place]) for place in places])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    return image
