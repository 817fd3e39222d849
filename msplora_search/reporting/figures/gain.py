"""What a search had found after so many training steps: hypervolume, and the gain over plain LoRA."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msplora_search.reporting.course import course_of, gains_of, unit_of
from msplora_search.reporting.figures.axes import step_axis
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import FRONT, INK, QUIET, Look, Width
from msplora_search.search.summary import Summary
from msplora_search.text import brief


def gain_figure(shown: Shown, width: Width) -> Figure | None:
    """Hypervolume and, where there is plain LoRA, the gain over it; None of a front.json, which knows no steps."""
    if shown.summary is None:
        return None
    wide, both = width is Width.TWO_COLUMNS, gains_of(shown.summary) is not None
    across, down = (1 + both, 1) if wide else (1, 1 + both)
    figure = Figure(figsize=(width.inches, 2.8 if wide else 2.3 * down + 0.2), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    draw_hypervolume(panels[0], shown.summary)
    panels[0].set_title("hypervolume of what was found")
    if both:
        draw_gain(panels[1], shown, Look(FRONT, "", 0, "-"), "")
        panels[1].set_title("gain over plain LoRA, 95% interval")
    figure.suptitle(brief(shown.title, 80 if wide else 40), fontsize=8, x=0.01, ha="left")
    _legend_below(figure, panels[0])
    settle(figure)
    return figure


def hypervolume_figure(shown: Shown, width: Width) -> Figure | None:
    """Hypervolume alone."""
    if shown.summary is None:
        return None
    figure = Figure(figsize=(width.inches / (1.4 if width is Width.TWO_COLUMNS else 1), 2.7), layout="constrained")
    axes = figure.subplots()
    draw_hypervolume(axes, shown.summary)
    axes.set_title(shown.title)
    _legend_below(figure, axes)
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
    step_axis(axes)
    axes.set_ylabel("hypervolume")
    axes.set_ylim(bottom=0)


def draw_gain(axes: Axes, shown: Shown, look: Look, label: str, band: bool = True) -> None:
    """The gain of the front so far, with the band of its interval; in points where the metric has bounds."""
    found = gains_of(shown.summary) if shown.summary else None
    if found is None:
        return
    unit = unit_of(shown.bounds)
    middle, low, high = ([unit.scale * value for value in of] for of in (found.gain, found.low, found.high))
    if band:
        axes.fill_between(found.spent, low, high, step="post", color=look.colour, alpha=0.18, linewidth=0)
    axes.step(found.spent, middle, where="post", color=look.colour, linestyle=look.line, label=label)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.update_datalim([(0, -unit.least), (0, unit.least)], updatex=False)
    axes.autoscale_view(scalex=False)
    step_axis(axes)
    axes.set_ylabel(f"gain in {brief(shown.file.metric, 18)}{unit.name}")


def _legend_below(figure: Figure, axes: Axes) -> None:
    """Where no line can pass."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2)
