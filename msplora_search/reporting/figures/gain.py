"""What a search had found after so many training steps: hypervolume, and the gain over plain LoRA."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from msplora_search.reporting.course import course_of
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import FRONT, INK, QUIET, Look, Width
from msplora_search.results.pareto import Floats
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.against_lora import gains_over
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary
from msplora_search.text import brief


def gain_figure(shown: Shown, width: Width) -> Figure | None:
    """Hypervolume and, where there is plain LoRA, the gain over it; None of a front.json, which knows no steps."""
    if shown.summary is None:
        return None
    wide, both = width is Width.TWO_COLUMNS, gains_of(shown.summary) is not None
    across, down = (1 + both, 1) if wide else (1, 1 + both)
    figure = Figure(figsize=(width.inches, 2.6 if wide else 2.3 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    draw_hypervolume(panels[0], shown.summary)
    panels[0].legend(loc="lower right")
    if both:
        draw_gain(panels[1], shown, Look(FRONT, "", 0, "-"), "estimate and 95% interval")
        panels[1].legend(loc="best")
        panels[1].set_title("gain over plain LoRA of equal size")
    figure.suptitle(brief(shown.title, 80 if wide else 40), fontsize=8, x=0.01, ha="left")
    settle(figure)
    return figure


def hypervolume_figure(shown: Shown, width: Width) -> Figure | None:
    """Hypervolume alone."""
    if shown.summary is None:
        return None
    figure = Figure(figsize=(width.inches / (1.4 if width is Width.TWO_COLUMNS else 1), 2.7), layout="constrained")
    axes = figure.subplots()
    draw_hypervolume(axes, shown.summary)
    axes.set_title(f"{shown.title}")
    axes.legend(loc="lower right")
    settle(figure)
    return figure


def draw_hypervolume(axes: Axes, summary: Summary, look: Look | None = None, label: str = "") -> None:
    """How it grew with the steps spent, beside the steps of the same trials without pruning.

    With a look and a label, those of one study of several, the steps spent alone.
    """
    course = course_of(summary)
    if look is None:
        axes.step(course.unpruned, course.hypervolume, where="post", color=QUIET, linestyle="--",
                  label="the same trials unpruned")  # fmt: skip
    own = look or Look(FRONT, "", 0, "-")
    axes.step(course.spent, course.hypervolume, where="post", color=own.colour, linestyle=own.line,
              label=label or "steps spent")  # fmt: skip
    _step_axis(axes)
    axes.set_ylabel("hypervolume")
    axes.set_ylim(bottom=0)


def draw_gain(axes: Axes, shown: Shown, look: Look, label: str, band: bool = True) -> None:
    """The gain of the front so far, with the band of its interval; in points where the metric has bounds."""
    found = gains_of(shown.summary) if shown.summary else None
    if found is None:
        return
    scale, unit = unit_of(shown)
    steps, middle, low, high = found[0], *(scale * of for of in found[1:])
    if band:
        axes.fill_between(steps, low, high, step="post", color=look.colour, alpha=0.18, linewidth=0)
    axes.step(steps, middle, where="post", color=look.colour, linestyle=look.line, label=label)
    axes.axhline(0, color=INK, linewidth=0.6)
    _step_axis(axes)
    axes.set_ylabel(f"gain in {brief(shown.file.metric, 18)}{unit}")


def unit_of(shown: Shown) -> tuple[float, str]:
    """What a difference of metrics is multiplied by for people, and how that is called."""
    return (100.0, " (points)") if np.isfinite(shown.bounds).all() else (1.0, "")


def gains_of(summary: Summary) -> tuple[Floats, Floats, Floats, Floats] | None:
    """Steps spent, and the gain then with its interval; None where it can never be told."""
    if summary.gain_over_lora is None:
        return None
    by_number = {point.record.number: point for point in summary.candidates if len(point.told)}
    steps, at, points = 0, list[float](), list[Point]()
    for record in _trained(summary):
        steps += record.steps
        if record.number in by_number:
            at.append(float(steps))
            points.append(by_number[record.number])
    ladder = [p for p in summary.lora if p.record.number in by_number]
    found = [(s, g) for s, g in zip(at, gains_over(ladder, points), strict=True) if g is not None]
    if not found:
        return None
    rows = np.array([[s, g.metric, *g.interval] for s, g in [*found, (float(steps), found[-1][1])]])
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]


def _trained(summary: Summary) -> list[TrialRecord]:
    return [r for r in summary.results.records if r.state in (State.COMPLETE, State.PRUNED, State.FAILED)]


def _step_axis(axes: Axes) -> None:
    axes.set_xlabel("training steps")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
