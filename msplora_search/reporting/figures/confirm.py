"""What full training reached, beside what the proxy had said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from msplora_search.design.costs import Cost
from msplora_search.reporting.figures.axes import cost_axis, cost_label
from msplora_search.reporting.figures.labels import Label, write_labels
from msplora_search.reporting.figures.saving import drawing, save, settle
from msplora_search.reporting.figures.series import around_line, around_points, stairs
from msplora_search.reporting.figures.shown import titled
from msplora_search.reporting.figures.style import FRONT, LORA, PAPER, Width
from msplora_search.text import brief

FEWEST_RANKED = 3
"""Points whose order is spoken of; that of two has a tau of 1 or -1, whatever they are."""


def draw_confirmation(told: dict[str, Any], folder: Path) -> None:
    """`confirm.png`, `.svg` and `.pdf` of what `Confirmation.to_json` gave."""
    with drawing():
        save(confirmation_figure(told), folder / "confirm")


def confirmation_figure(told: dict[str, Any]) -> Figure:
    """What full training reached and what the proxy had said of each point, by `Confirmation.to_json`."""
    figure = Figure(figsize=(Width.TWO_COLUMNS.inches, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    for kind, (colour, marker, label) in CONFIRMED.items():
        points = [p for p in told["points"] if _kind(p["name"]) == kind]
        for axes, places in ((left, [cost_of(p) for p in points]), (right, [p["proxy_metric"] for p in points])):
            _draw_intervals(axes, points, places, colour, marker, label)
    front = [p for p in told["points"] if p["name"] in told["front"]]
    left.step([cost_of(p) for p in front], [p["mean"] for p in front], where="post", color=FRONT,
              alpha=0.6, linewidth=1.2, label="confirmed front")  # fmt: skip
    cost_axis(left, cost_label(cost_in(told)))
    left.set_ylabel(f"{brief(told['metric'], 30)}, full training, test part")
    right.set(xlabel=f"{brief(told['metric'], 30)}, proxy", ylabel="full training")
    right.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    right.set_title(_tau(told))
    seeds = f"{told['seeds']} seeds" if told["seeds"] > 1 else "1 seed, without training noise"
    left.set_title(titled(told["study"], f"mean and 95% interval, {seeds}"))
    figure.legend(*left.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=4)
    settle(figure)
    _name(left, told["points"], front)
    return figure


CONFIRMED = {
    "trial": (FRONT, "o", "point of the search (trial)"),
    "lora": (LORA, "s", "plain LoRA (r: rank)"),
    "paper": (PAPER, "*", "paper's pyramid"),
}


def _tau(told: dict[str, Any]) -> str:
    tau, perfect = told["kendall_tau"], told.get("kendall_tau_of_a_perfect_proxy")
    if tau is None or len(told["points"]) < FEWEST_RANKED:
        return ""
    return f"Kendall's tau {tau:.2f}" + ("" if perfect is None else f",\nof a perfect proxy {perfect:.2f}")


def _name(axes: Axes, points: Sequence[dict[str, Any]], front: Sequence[dict[str, Any]]) -> None:
    """The trial of each point of the search and the rank of each plain LoRA; the layout must be final."""
    labels = [
        Label(called, _place(p), CONFIRMED[_kind(p["name"])][0])
        for p in sorted(points, key=lambda p: p not in front)
        if (called := _called(p["name"]))
    ]
    obstacles = around_points(axes, [_place(p) for p in points], 6, 10)
    obstacles += around_line(axes, stairs([_place(p) for p in front]), 1)
    for point in points:
        obstacles += around_line(axes, [(cost_of(point), end) for end in point["interval_95"]], 3)
    write_labels(axes, labels, obstacles, 6.5)


def cost_in(told: dict[str, Any]) -> Cost:
    """What a confirmed search made small; older versions made parameters small, and did not say so."""
    return Cost(told.get("cost_is", Cost.PARAMS))


def cost_of(point: dict[str, Any]) -> float:
    """What a confirmed point costs; older versions told of parameters alone."""
    return float(point.get("cost", point["adapter_params"]))


def _called(name: str) -> str:
    """What a label says of a point: `3` of trial 3, `r=4` of lora-4; nothing of the paper's, which is one."""
    kind, _, number = name.replace("-", " ", 1).partition(" ")
    return {"trial": brief(number, 20), "lora": f"r={brief(number, 20)}"}.get(kind, "")


def _place(point: dict[str, Any]) -> tuple[float, float]:
    return cost_of(point), point["mean"]


def _kind(name: str) -> str:
    return next(kind for kind in CONFIRMED if name.startswith(kind))


def _draw_intervals(
    axes: Axes, points: list[dict[str, Any]], places: list[float], colour: str, marker: str, label: str
) -> None:
    if points:
        means = [p["mean"] for p in points]
        # a mean is rounded, the ends of its interval are not
        below = [max(0.0, p["mean"] - p["interval_95"][0]) for p in points]
        above = [max(0.0, p["interval_95"][1] - p["mean"]) for p in points]
        axes.errorbar(
            places, means, yerr=[below, above], fmt=marker, color=colour, label=label,
            markersize=9 if marker == "*" else 4.5, elinewidth=0.8, capsize=2,
        )  # fmt: skip
