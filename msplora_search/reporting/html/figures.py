"""The figures of the page by name; here curves over rungs, cost, and what decides the metric."""

from __future__ import annotations

from collections.abc import Iterable

from msplora_search.reporting.html.front_figure import Json, front_figure
from msplora_search.reporting.html.gain_figure import gain_figure
from msplora_search.reporting.html.labels import headline, lines, number, plain

LEAST_CURVE = 2
"""Rungs that a curve must have somewhere to be worth a figure."""


def figures(data: Json) -> dict[str, Json]:
    """All figures of `page_data` that have anything to show, by name, for `Plotly.newPlot`."""
    made = {
        "front": front_figure(data),
        "curves": curves_figure(data),
        "gain": gain_figure(data),
        "cost": cost_figure(data),
        "importance": importance_figure(data),
    }
    return {name: figure for name, figure in made.items() if figure["data"]}


def curves_figure(data: Json) -> Json:
    """Metric against the share of the proxy, a line a trial; many lines of one kind are one trace with gaps."""
    kinds = dict.fromkeys(data["front"], "front")
    kinds |= {n: "lora1" for ladder in data["ladders"] for n in ladder["points"]}
    kinds |= {} if data["paper"] is None else {data["paper"]: "paper"}
    legends = {
        "stopped": ("stopped early", "x-thin", 7),
        "other": ("other complete trial", "circle", 4),
        "lora1": ("plain LoRA", "square", 7),
        "front": ("front", "circle", 7),
        "paper": ("paper's pyramid", "star", 11),
    }
    kept: dict[str, list[Json]] = {role: [] for role in legends}
    for trial in data["trials"]:
        if trial["curve"] and trial["state"] in ("complete", "pruned"):
            role = "stopped" if trial["state"] == "pruned" else kinds.get(trial["trial"], "other")
            kept[role].append(trial)
    long = any(len(trial["curve"]) >= LEAST_CURVE for found in kept.values() for trial in found)
    traces = [
        _curves(kept[role], data["metric"], role, legend, symbol, size)
        for role, (legend, symbol, size) in legends.items()
        if kept[role] and long
    ]
    axes = {"xaxis": {"title": {"text": "share of the proxy's steps"}, "tickformat": ".0%"},
            "yaxis": {"title": {"text": plain(data["metric"])}}}  # fmt: skip
    return {"data": traces, "layout": axes}


def _curves(trials: list[Json], metric: str, role: str, legend: str, symbol: str, size: int) -> Json:
    x: list[float | None] = []
    y: list[float | None] = []
    told: list[str] = []
    numbers: list[int | None] = []
    for trial in trials:
        head = lines(*headline(trial))
        for at in trial["curve"]:
            x.append(at["rung"])
            y.append(at["metric"])
            measured = lines(f"{metric} {number(at['metric'])} at step {at['step']:,}")
            told.append(f"{head}<br>{measured}")
            numbers.append(trial["trial"])
        x.append(None)
        y.append(None)
        told.append("")
        numbers.append(None)
    return {
        "type": "scatter", "mode": "lines+markers", "x": x, "y": y, "customdata": numbers, "text": told,
        "hovertemplate": "%{text}<extra></extra>", "connectgaps": False, "name": plain(legend),
        "meta": {"role": role, "legend": legend}, "marker": {"symbol": symbol, "size": size},
        "line": {"width": 1 if role in ("other", "stopped") else 1.8},
    }  # fmt: skip


def cost_figure(data: Json) -> Json:
    """Hypervolume against the training steps spent, and against those that the same trials cost unpruned."""
    course = data["course"]
    if len(course["spent"]) == 1:
        return {"data": [], "layout": {}}
    told = [
        lines("before the first trial" if number is None else f"trial {number}", f"hypervolume {volume:.4f}")
        for number, volume in zip(course["trials"], course["hypervolume"], strict=True)
    ]
    traces = [
        {
            "type": "scatter", "mode": "lines", "x": course[steps], "y": course["hypervolume"],
            "customdata": course["trials"], "text": told, "name": plain(legend),
            "hovertemplate": "%{text}<br>%{x:,} steps<extra></extra>",
            "line": {"shape": "hv", "dash": dash, "width": 2}, "meta": {"role": role, "legend": legend},
        }
        for steps, role, legend, dash in (
            ("unpruned", "stopped", "the same trials unpruned", "dash"),
            ("spent", "front", "steps spent", "solid"),
        )
    ]  # fmt: skip
    axes = {"xaxis": {"title": {"text": "training steps"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "hypervolume"}, "rangemode": "tozero"}}  # fmt: skip
    return {"data": traces, "layout": axes}


def importance_figure(data: Json) -> Json:
    """A bar a factor with its interval, the largest above."""
    shares = data["importance"]
    told, untold = shares[: data["told_apart"]], shares[data["told_apart"] :]
    traces = [
        _bars(shares, "total", "total", "with interactions"),
        _bars(told, "share", "front", "alone, told apart, 95%"),
        _bars(untold, "share", "stopped", "alone, 95%"),
    ]
    axes: Json = {
        "barmode": "overlay",
        "xaxis": {"title": {"text": "share of the differences"}, "tickformat": ".0%",
                  "range": [0, 1]},
        "yaxis": {"autorange": "reversed", "categoryorder": "array", "categoryarray": _names(shares)},
    }  # fmt: skip
    return {"data": [trace for trace in traces if trace["x"]], "layout": axes}


def _bars(shares: list[Json], value: str, role: str, legend: str) -> Json:
    told = [
        lines(s["name"], f"alone {s['share']:.0%} ({_ends(s)})", f"with interactions {s['total']:.0%}")
        for s in shares
    ]
    trace: Json = {
        "type": "bar", "orientation": "h", "x": [s[value] for s in shares], "y": _names(shares), "text": told,
        "textposition": "none", "hovertemplate": "%{text}<extra></extra>", "name": plain(legend),
        "meta": {"role": role, "legend": legend}, "width": 0.6,
    }  # fmt: skip
    if value == "share":
        trace["error_x"] = {
            "array": [s["interval_95"][1] - s["share"] for s in shares],
            "arrayminus": [s["share"] - s["interval_95"][0] for s in shares],
            "symmetric": False, "thickness": 1, "width": 3,
        }  # fmt: skip
    return trace


def _names(shares: Iterable[Json]) -> list[str]:
    return [plain(s["name"]) for s in shares]


def _ends(share: Json) -> str:
    low, high = share["interval_95"]
    return f"95%: {low:.0%} to {high:.0%}"
