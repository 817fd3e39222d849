"""The plots of a report: figures and their files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from msplora_search.reporting.course import course_of
from msplora_search.reporting.deciding import NAMES
from msplora_search.reporting.front_panels import FRONT, LORA, PAPER, QUIET, draw_groups, draw_points
from msplora_search.search.summary import Summary
from msplora_search.text import brief, printable

STYLE: Any = {
    "svg.hashsalt": "msplora-search",  # the same study gives the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "text.usetex": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
}


def draw_front(summary: Summary, folder: Path) -> None:
    """`front.png` and `front.svg`: metric against parameters, and the depth groups of the front."""
    with mpl.rc_context(STYLE):
        rows = max(1, len(summary.front))
        figure = Figure(figsize=(9, 5.2 + 0.42 * rows), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[5, 0.5 + 0.42 * rows])
        rows_of_legend = draw_points(above, summary)
        _parameter_axis(above)
        above.set(ylabel=summary.results.settings.task.metric_label)
        above.set_title(
            title(summary.results.settings.name, summary.results.settings.model), pad=8 + 16 * rows_of_legend
        )
        draw_groups(below, summary)
        save(figure, folder / "front")


def draw_hypervolume(summary: Summary, folder: Path) -> None:
    """`hypervolume.png`: how it grew with the steps spent, beside the steps without pruning."""
    course = course_of(summary)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.step(course.spent, course.hypervolume, where="post", color=FRONT, label="steps spent")
        axes.step(course.unpruned, course.hypervolume, where="post", color=QUIET, linestyle="--",
                  label="the same trials unpruned")  # fmt: skip
        axes.set(xlabel="training steps", ylabel="hypervolume", ylim=(0, None), xlim=(0, None))
        axes.set_title(title(summary.results.settings.name, "hypervolume against cost"))
        axes.legend(frameon=False, loc="lower right")
        save(figure, folder / "hypervolume", suffixes=(".png",))


def draw_importance(summary: Summary, folder: Path) -> None:
    """`importance.png` and `importance.svg`: a bar a factor with its interval; none where nothing is said."""
    importance = summary.importance
    if importance is None:
        return
    shares, told = importance.shares, len(importance.told)
    rows = range(len(shares))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 1.7 + 0.36 * len(shares)), layout="constrained")
        axes = figure.subplots()
        axes.barh(rows, [s.total for s in shares], height=0.6, color=QUIET, alpha=0.3, label="with interactions")
        axes.barh(rows[:told], [s.share for s in shares[:told]], height=0.6, color=FRONT, alpha=0.75,
                  label="alone, told apart" if told else None)  # fmt: skip
        axes.barh(rows[told:], [s.share for s in shares[told:]], height=0.6, color=QUIET, alpha=0.9,
                  label="alone" if told < len(shares) else None)  # fmt: skip
        ends = [[s.share - s.interval[0] for s in shares], [s.interval[1] - s.share for s in shares]]
        axes.errorbar([s.share for s in shares], rows, xerr=ends, fmt="none", ecolor="#333333", elinewidth=0.9,
                      capsize=3, label="95% interval")  # fmt: skip
        axes.set_yticks(rows, [NAMES[s.factor].removeprefix("the ") for s in shares])
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        metric = summary.results.settings.task.metric_label
        axes.set(
            xlim=(0, 1),
            ylim=(len(shares) - 0.4, -0.6),
            xlabel=f"share of the differences in {metric} over the space",
        )
        axes.set_title(title(summary.results.settings.name, f"what decides the {metric}"), fontsize=10, loc="left")
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center",
                      ncols=4)  # fmt: skip
        save(figure, folder / "importance")


def draw_confirmation(told: dict[str, Any], folder: Path) -> None:
    """`confirm.png` and `confirm.svg`: what full training reached, and what the proxy had said, of each point.

    `told` is what `Confirmation.to_json` gives.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        for kind, (colour, marker, label) in CONFIRMED.items():
            points = [p for p in told["points"] if _kind(p["name"]) == kind]
            for axes, place in ((left, "adapter_params"), (right, "proxy_metric")):
                _draw_intervals(axes, points, place, colour, marker, label)
        front = [p for p in told["points"] if p["name"] in told["front"]]
        left.step([p["adapter_params"] for p in front], [p["mean"] for p in front], where="post", color=FRONT,
                  alpha=0.6, linewidth=1.2, label="confirmed front")  # fmt: skip
        _parameter_axis(left)
        left.set_ylabel(f"{told['metric']}, full training, test part")
        right.set(xlabel=f"{told['metric']}, proxy", ylabel="full training")
        right.set_title(_tau(told), fontsize=10, loc="left")
        seeds = f"{told['seeds']} seeds" if told["seeds"] > 1 else "1 seed, without training noise"
        said = f"mean and 95% interval, {seeds}"
        left.set_title(title(told["study"], said), fontsize=10, loc="left")
        figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center",
                      ncols=4)  # fmt: skip
        save(figure, folder / "confirm")


def title(study: str, what: str) -> str:
    """Of a plot; long names are cut, so that they stay on it."""
    return f"{brief(printable(study), 40)}: {brief(printable(what), 50)}"


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
            markersize=11 if marker == "*" else 6, elinewidth=0.8, capsize=2,
        )  # fmt: skip


def _parameter_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("adapter parameters (log scale)")


def save(figure: Figure, path: Path, suffixes: tuple[str, ...] = (".png", ".svg")) -> None:
    """A figure under `path` with each suffix; the same figure gives the same file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a study may be named in any script
        for suffix in suffixes:
            dated = {"Date": None} if suffix == ".svg" else {}
            figure.savefig(path.with_suffix(suffix), dpi=130, metadata=dated)
