"""Metric against cost: the front, what it is compared with, and every other trial."""

from __future__ import annotations

import math
from typing import Any

from msplora_search.reporting.html.labels import headline, lines, measured, number, plain

Json = dict[str, Any]
LADDERS = (("lora1", "square"), ("lora2", "triangle-up"), ("lora3", "triangle-down"), ("lora4", "pentagon"))
"""Role and marker of each ladder of plain LoRA; where there are more, those from the last on look alike."""
SIZE, SIZES = 8, {"paper": 14}
"""Of markers. Of several at one place Plotly hovers the smallest, of equals the last: so that of the front."""
FAR = 0.25
"""Of the range of the complete trials: what was stopped further below them would flatten the figure."""


def front_figure(data: Json) -> Json:
    """A figure of Plotly of `page_data`; colours are left to the page, which knows dark from light.

    `meta` of a trace: its role, and what the legend calls it; `customdata`: the trial of each of its points.
    """
    points, trials = data["points"], {trial["trial"]: trial for trial in data["trials"]}
    front = [points[str(number)] for number in data["front"]]
    paper = [] if data["paper"] is None else [points[str(data["paper"])]]
    ladders = [[points[str(n)] for n in ladder["points"]] for ladder in data["ladders"]]
    shown = {p["trial"] for group in (front, paper, *ladders) for p in group}
    others = [p for p in points.values() if p["trial"] not in shown]
    near, far = _stopped(data)
    compared = [p for group in (front, paper, *ladders) for p in group if p["metric_judged"] is not None]
    traces = [
        _stops(near, data, "stopped early, at its last rung", visible=True),
        _stops(far, data, "stopped far below", visible=False),
        _measured(others, data, trials, "other", "circle", "other complete trial"),
        _judged({p["trial"]: p for p in compared}, data, trials),
        *_confirmed(data, trials),
        *(
            _measured(
                group, data, trials, *LADDERS[min(i, len(LADDERS) - 1)], _ladder_name(data, i), line="linear"
            )
            for i, group in enumerate(ladders)
        ),
        _measured(front, data, trials, "front", "circle", "front ± standard error", line="hv"),
        _measured(paper, data, trials, "paper", "star", "paper's pyramid"),
    ]
    return {"data": [trace for trace in traces if trace["x"]], "layout": _layout(data)}


def _measured(
    points: list[Json], data: Json, trials: dict[int, Json], role: str, symbol: str, legend: str, line: str = ""
) -> Json:
    told = [lines(*headline(trials[p["trial"]]), *measured(data["metric"], p), _seeds(p)) for p in points]
    trace = _trace(points, "metric", told, role, symbol, legend)
    if line:
        trace |= {"mode": "lines+markers", "line": {"shape": line, "width": 1.5}}
    if role != "other":
        trace["error_y"] = {"array": [p["metric_se"] for p in points], "thickness": 1, "width": 3}
    return trace


def _judged(points: dict[int, Json], data: Json, trials: dict[int, Json]) -> Json:
    """The same configurations on the judging part, a little to the right, as error bars would hide them."""
    told = [
        lines("on the judging part", *headline(trials[n]), *measured(data["metric"], p)) for n, p in points.items()
    ]
    legend = "the same on the judging part"
    trace = _trace(list(points.values()), "metric_judged", told, "judged", "circle-open", legend)
    trace["marker"] |= {"standoff": 9, "angle": -90}
    return trace


def _confirmed(data: Json, trials: dict[int, Json]) -> list[Json]:
    """The front of full training, and the other points that were trained in full."""
    found = data["confirmed"] or {"points": []}
    traces = []
    for on_front, legend in ((False, "confirmed in full, 95%"), (True, "confirmed front, 95%")):
        points = [p for p in found["points"] if p["on_front"] == on_front]
        told = [
            lines(f"{p['name']}, trained in full: {number(p['mean'])}", _ends(p), *_of_search(trials, p["trial"]))
            for p in points
        ]
        trace = _trace(points, "mean", told, "confirmed", "diamond" if on_front else "diamond-open", legend)
        above = [max(0.0, p["interval_95"][1] - p["mean"]) for p in points]  # a mean is rounded
        below = [max(0.0, p["mean"] - p["interval_95"][0]) for p in points]
        trace["error_y"] = {"array": above, "arrayminus": below, "symmetric": False, "thickness": 1, "width": 3}
        if on_front:
            trace |= {"mode": "lines+markers", "line": {"shape": "hv", "width": 1.5, "dash": "dot"}}
        traces.append(trace)
    return traces


def _stops(stopped: list[Json], data: Json, legend: str, visible: bool) -> Json:
    last = [trial["curve"][-1] for trial in stopped]
    points = [{**trial, "metric": at["metric"]} for trial, at in zip(stopped, last, strict=True)]
    told = [
        lines(*headline(trial), f"stopped at {at['rung']:.0%}: {number(at['metric'])}", trial["reason"])
        for trial, at in zip(stopped, last, strict=True)
    ]
    trace = _trace(points, "metric", told, "stopped", "x-thin" if visible else "triangle-down-open", legend)
    return {**trace, "visible": True if visible else "legendonly"}


def _trace(points: list[Json], value: str, told: list[str], role: str, symbol: str, legend: str) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [p["cost"] for p in points],
        "y": [p[value] for p in points],
        "customdata": [p["trial"] for p in points],
        "text": told,
        "hovertemplate": "%{text}<extra></extra>",
        "name": plain(legend),
        "meta": {"role": role, "legend": legend},
        "marker": {"symbol": symbol, "size": SIZES.get(role, SIZE)},
    }


def _stopped(data: Json) -> tuple[list[Json], list[Json]]:
    """Those near the complete trials, and those far below them."""
    stopped = [t for t in data["trials"] if t["state"] == "pruned" and t["curve"]]
    found = [t for t in stopped if t["curve"][-1]["metric"] is not None]
    lowest = [p["metric"] - 2 * p["metric_se"] for p in data["points"].values()]
    floor = -math.inf
    if lowest:
        floor = min(lowest) - FAR * (max(p["metric"] for p in data["points"].values()) - min(lowest))
    near = [t for t in found if t["curve"][-1]["metric"] >= floor]
    return near, [t for t in found if t["curve"][-1]["metric"] < floor]


def _layout(data: Json) -> Json:
    sizes = [t["cost"] for t in data["trials"] if t["cost"] > 0]
    axis: Json = {"type": "log", "title": {"text": f"{data['cost']['axis']} (log scale)"}, "tickformat": "~s"}
    return {
        "xaxis": axis | ({"tickvals": ticks(min(sizes), max(sizes))} if sizes else {}),
        "yaxis": {"title": {"text": plain(data["metric"])}},
    }


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """At most so many values of a log axis that people like: 1, 2 and 5, or 1 and 3, or 1 of each decade."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps]
        found = [value for value in found if low / 1.6 <= value <= high * 1.6]
        if len(found) <= most:
            break
    return found


def _ladder_name(data: Json, place: int) -> str:
    several = len(data["ladders"]) > 1
    return f"plain LoRA on {data['ladders'][place]['targets']}" if several else "plain LoRA"


def _seeds(point: Json) -> str:
    return f"mean of {point['seeds']} seeds" if point["seeds"] > 1 else ""


def _ends(point: Json) -> str:
    low, high = point["interval_95"]
    return f"95%: {low:.3f} to {high:.3f}, proxy {number(point['proxy_metric'])}"


def _of_search(trials: dict[int, Json], number: int) -> list[str]:
    """What the search knows of a confirmed point: nothing where the file is of another search."""
    return headline(trials[number]) if number in trials else []
