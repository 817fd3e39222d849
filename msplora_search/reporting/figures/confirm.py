"""What full training reached, beside what the proxy had said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msplora_search.reporting.figures.axes import parameter_axis
from msplora_search.reporting.figures.saving import drawing, save, settle
from msplora_search.reporting.figures.shown import titled
from msplora_search.reporting.figures.style import FRONT, LORA, PAPER, Width
from msplora_search.text import brief


def draw_confirmation(told: dict[str, Any], folder: Path) -> None:
    """`confirm.png`, `.svg` and `.pdf`: what full training reached, and what the proxy had said, of each point.

    `told` is what `Confirmation.to_json` gives.
    """
    with drawing():
        figure = Figure(figsize=(Width.TWO_COLUMNS.inches, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        for kind, (colour, marker, label) in CONFIRMED.items():
            points = [p for p in told["points"] if _kind(p["name"]) == kind]
            for axes, place in ((left, "adapter_params"), (right, "proxy_metric")):
                _draw_intervals(axes, points, place, colour, marker, label)
        front = [p for p in told["points"] if p["name"] in told["front"]]
        left.step([p["adapter_params"] for p in front], [p["mean"] for p in front], where="post", color=FRONT,
                  alpha=0.6, linewidth=1.2, label="confirmed front")  # fmt: skip
        parameter_axis(left)
        left.set_ylabel(f"{brief(told['metric'], 30)}, full training, test part")
        right.set(xlabel=f"{brief(told['metric'], 30)}, proxy", ylabel="full training")
        right.set_title(_tau(told))
        seeds = f"{told['seeds']} seeds" if told["seeds"] > 1 else "1 seed, without training noise"
        said = f"mean and 95% interval, {seeds}"
        left.set_title(titled(told["study"], said))
        figure.legend(*left.get_legend_handles_labels(), frameon=False, loc="outside lower center",
                      ncols=4)  # fmt: skip
        settle(figure)
        save(figure, folder / "confirm")


CONFIRMED = {
    "trial": (FRONT, "o", "point of the search"),
    "lora": (LORA, "s", "plain LoRA"),
    "paper": (PAPER, "*", "paper's pyramid"),
}


def _tau(told: dict[str, Any]) -> str:
    tau, perfect = told["kendall_tau"], told.get("kendall_tau_of_a_perfect_proxy")
    if tau is None:
        return ""
    return f"Kendall's tau {tau:.2f}" + ("" if perfect is None else f"; of a perfect proxy {perfect:.2f}")


def _kind(name: str) -> str:
    return next(kind for kind in CONFIRMED if name.startswith(kind))


def _draw_intervals(
    axes: Axes, points: list[dict[str, Any]], place: str, colour: str, marker: str, label: str
) -> None:
    if points:
        means = [p["mean"] for p in points]
        # a mean is rounded, the ends of its interval are not
        below = [max(0.0, p["mean"] - p["interval_95"][0]) for p in points]
        above = [max(0.0, p["interval_95"][1] - p["mean"]) for p in points]
        axes.errorbar(
            [p[place] for p in points], means, yerr=[below, above], fmt=marker, color=colour, label=label,
            markersize=9 if marker == "*" else 4.5, elinewidth=0.8, capsize=2,
        )  # fmt: skip
