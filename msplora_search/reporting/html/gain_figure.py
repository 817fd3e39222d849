"""How much better the front found so far is than plain LoRA of equal size, against the training steps spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from msplora_search.reporting.course import unit_of
from msplora_search.reporting.html.front_figure import Json
from msplora_search.reporting.html.labels import lines, plain
from msplora_search.text import signed

NAMES = ("trials", "spent", "gain", "low", "high")


def gain_figure(data: Json) -> Json:
    """A figure of Plotly of `page_data`: the estimate, in the band of its 95% interval."""
    gains = data["gains"]
    if gains is None:
        return {"data": [], "layout": {}}
    bounds = _bounds(data)
    unit = unit_of(bounds)
    told = [
        lines(
            f"trial {trial}, after {spent:,} steps",
            f"gain {signed(gain, bounds)}{unit.name} (95%: {signed(low, bounds)} to {signed(high, bounds)})",
        )
        for trial, spent, gain, low, high in zip(*(gains[name] for name in NAMES), strict=True)
    ]
    legend, band = "gain over plain LoRA of equal size", "95% interval"
    middle, low, high = ([unit.scale * value for value in gains[name]] for name in NAMES[2:])
    trace: Json = {
        "type": "scatter", "mode": "lines", "x": gains["spent"], "y": middle, "customdata": gains["trials"],
        "text": told, "hovertemplate": "%{text}<extra></extra>", "name": plain(legend),
        "line": {"shape": "hv", "width": 2}, "meta": {"role": "front", "legend": legend},
    }  # fmt: skip
    lowest, highest = min(*low, -unit.least), max(*high, unit.least)
    spare = 0.06 * (highest - lowest)
    axes = {
        "xaxis": {"title": {"text": "training steps"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": f"gain in {plain(data['metric'])}{unit.name}"}, "zeroline": True,
                  "range": [lowest - spare, highest + spare]},
    }  # fmt: skip
    return {"data": [_band(gains["spent"], low, high, band), trace], "layout": axes}


def _band(spent: Sequence[int], low: Sequence[float], high: Sequence[float], legend: str) -> Json:
    """An area between two step functions: along one, and back along the other."""
    there, back = _corners(spent, high), _corners(spent, low)[::-1]
    return {
        "type": "scatter", "mode": "lines", "x": [x for x, _ in there + back], "y": [y for _, y in there + back],
        "fill": "toself", "line": {"width": 0}, "hoverinfo": "skip", "customdata": [None] * (2 * len(there)),
        "name": plain(legend), "meta": {"role": "band", "legend": legend},
    }  # fmt: skip


def _corners(x: Sequence[int], y: Sequence[float]) -> list[tuple[int, float]]:
    found = [(x[0], y[0])]
    for (at, value), (before, _) in zip(list(zip(x, y, strict=True))[1:], pairwise(y), strict=True):
        found += [(at, before), (at, value)]
    return found


def _bounds(data: Json) -> tuple[float, float]:
    """Of the metric; infinite ones are null in JSON."""
    low, high = data["bounds"]
    return -math.inf if low is None else low, math.inf if high is None else high
