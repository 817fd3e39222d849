"""What the axes of several figures have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from msplora_search.design.costs import Cost
from msplora_search.reporting.figures.style import Width
from msplora_search.text import brief

APART = 28
"""Points of print from one label of a tick to the next."""
HANDLE, LETTER = 0.42, 0.06
"""Inches of what stands before a label of a legend, and of one of its letters."""


def cost_axis(axes: Axes, label: str, most: int = 6) -> None:
    """Make x the logarithm of cost, with at most so many ticks, at round numbers within its limits."""
    most = min(most, ticks_across(axes))
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(round_numbers(low, high, most)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)


def cost_label(cost: Cost) -> str:
    """Of such an axis."""
    return f"{cost.axis} (log scale)"


def step_axis(axes: Axes) -> None:
    """Make x training steps, from 0 on."""
    axes.set_xlabel("training steps")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=min(6, ticks_across(axes)), integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


def ticks_across(axes: Axes) -> int:
    """As many labels of ticks as have room beside each other."""
    return max(2, round(points_across(axes) / APART))


def points_across(axes: Axes) -> float:
    """How wide axes are, in points of print; about, before they are laid out."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(72 * figure.get_figwidth() * axes.get_position().width)


def in_legend(name: str) -> str:
    """A name as an entry of a legend; matplotlib would leave out what begins with an underscore."""
    said = brief(name, 38)
    return f" {said}" if said.startswith("_") else said


def columns_of(labels: Sequence[str], width: Width) -> int:
    """Of a legend below a figure: as many as are no wider than the figure."""
    for columns in range(min(len(labels), 5), 1, -1):
        whole, more = divmod(len(labels), columns)  # by column, the first ones with one more
        ends = [whole * i + min(i, more) for i in range(columns + 1)]
        parts = [labels[low:high] for low, high in pairwise(ends)]
        if sum(HANDLE + LETTER * max(map(len, part)) for part in parts) <= width.inches:
            return columns
    return 1


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """At most `most` numbers between 0 < low <= high: of 1, 2, 5 times powers of ten, or of fewer of these."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**decade for decade in decades for digit in digits]
        found = [number for number in found if low <= number <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def short_number(value: float) -> str:
    """A number as a tick says it: `800`, `1,500`, `20k`, `1.5M`."""
    for least, unit, size in ((1e12, "T", 1e12), (1e9, "G", 1e9), (1e6, "M", 1e6), (1e4, "k", 1e3)):
        if value >= least:
            return f"{value / size:,.3g}{unit}"
    return f"{value:,.0f}"
