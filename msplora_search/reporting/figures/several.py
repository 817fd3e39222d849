"""Several studies in one figure: in the same axes, or a panel each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msplora_search.errors import InputError
from msplora_search.reporting.course import gains_of, unit_of
from msplora_search.reporting.figures.axes import columns_of, cost_axis, cost_label, in_legend
from msplora_search.reporting.figures.curves import draw_curves, front_records, has_curves, label_ends
from msplora_search.reporting.figures.front import View, draw_front, label_front, legend_of, view_of
from msplora_search.reporting.figures.gain import draw_gain, draw_hypervolume
from msplora_search.reporting.figures.groups import atlas
from msplora_search.reporting.figures.importance import importance_of, importances
from msplora_search.reporting.figures.ranks import rank_maps
from msplora_search.reporting.figures.relative import draw_relative, relative_ends
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.series import bars_of, draw_series, stairs
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import QUIET, STUDIES, Look, Width
from msplora_search.text import brief, shown


class Kind(StrEnum):
    """What of the studies is drawn."""

    FRONT = "front"
    GAIN = "gain"
    CURVES = "curves"
    GROUPS = "groups"
    RANKS = "ranks"
    IMPORTANCE = "importance"


OF_EACH: dict[Kind, Callable[[Sequence[Shown], Width], Figure | None]] = {
    Kind.GROUPS: atlas,
    Kind.RANKS: rank_maps,
    Kind.IMPORTANCE: importances,
}
"""What cannot share axes."""


def several_figure(
    kind: Kind, studies: Sequence[Shown], width: Width, overlay: bool | None, relative: bool
) -> Figure:
    """One figure of all; `overlay` None: in the same axes where their metrics are the same.

    Raises InputError for what cannot be drawn together, or of a front.json alone.
    """
    _require(kind, studies, relative)
    if kind in OF_EACH:
        if overlay:
            raise InputError(
                f"--overlay: {kind} {'has' if kind is Kind.IMPORTANCE else 'have'} panels of each study"
            )
        found = OF_EACH[kind](studies, width)
        assert found is not None
        return found
    if overlay is None:
        overlay = 1 < len(studies) <= len(STUDIES) and (relative or _one_metric(studies))
    if overlay:
        _require_overlay(studies, relative)
        return _overlaid(kind, studies, width, relative)
    return _panels(kind, studies, width, relative)


def _overlaid(kind: Kind, studies: Sequence[Shown], width: Width, relative: bool) -> Figure:
    wide = width is Width.TWO_COLUMNS
    figure = Figure(figsize=(width.inches, 3.6 if wide else 2.9), layout="constrained")
    axes = figure.subplots()
    ladders = kind is Kind.GAIN and all(s.summary and gains_of(s.summary) for s in studies)
    for study, look in zip(studies, STUDIES, strict=False):
        label = in_legend(study.label)
        match kind:
            case Kind.FRONT if relative:
                draw_relative(axes, study, look, label)
            case Kind.FRONT:
                _front(axes, study, look, label)
            case Kind.GAIN if ladders:
                draw_gain(axes, study, look, label, band=len(studies) <= 3)
            case Kind.GAIN:
                assert study.summary is not None
                draw_hypervolume(axes, study.summary, look, label)
            case _:
                _curves(axes, study, look, label)
    if kind is Kind.FRONT:
        _front_axes(axes, studies, relative)
    if kind is Kind.CURVES:
        axes.set(xlabel="training steps of a trial", ylabel=brief(studies[0].file.metric, 18))
    handles, labels = legend_of([axes], [])
    if kind is Kind.FRONT and not relative and any(study.file.lora for study in studies):
        (hollow,) = axes.plot([], [], ":o", color=QUIET, markerfacecolor="white", markersize=3.5, linewidth=0.7)
        handles, labels = [*handles, hollow], [*labels, "plain LoRA, in the colour of its study"]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, width))
    settle(figure)
    return figure


def _panels(kind: Kind, studies: Sequence[Shown], width: Width, relative: bool) -> Figure:
    across = 1 if width is Width.ONE_COLUMN else min(len(studies), 2 if len(studies) in (2, 4) else 3)
    down = math.ceil(len(studies) / across)
    figure = Figure(figsize=(width.inches, 2.6 * down + 0.4), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).ravel())
    for spare in panels[len(studies) :]:
        spare.remove()
    panels = panels[: len(studies)]
    for axes, study in zip(panels, studies, strict=True):
        match kind:
            case Kind.FRONT if relative:
                draw_relative(axes, study, STUDIES[0], "front ± standard error")
                _front_axes(axes, [study], relative)
            case Kind.FRONT:
                draw_front(axes, study, view_of(study)[0])
            case Kind.GAIN if study.summary and gains_of(study.summary):
                draw_gain(axes, study, STUDIES[0], "gain over plain LoRA, 95% interval")
            case Kind.GAIN:
                assert study.summary is not None
                draw_hypervolume(axes, study.summary)
            case _:
                draw_curves(axes, study)
        axes.set_title(brief(study.label, 60))
    handles, labels = legend_of(panels, studies if kind is Kind.FRONT and not relative else [])
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, width))
    settle(figure)
    for axes, study in zip(panels, studies, strict=True):
        if kind is Kind.FRONT and not relative:
            label_front(axes, study)
        if kind is Kind.CURVES:
            label_ends(axes, study)
    return figure


def _front(axes: Axes, study: Shown, look: Look, label: str) -> None:
    """Front with error bars and steps, and plain LoRA in the same colour, thin and hollow."""
    front = [(float(p.cost), p.metric) for p in study.file.front]
    if front:
        corners = np.array(stairs(front))
        axes.plot(corners[:, 0], corners[:, 1], color=look.colour, linestyle=look.line, linewidth=1.0)
        own = look._replace(line="none")
        draw_series(axes, study.file.front, study.bounds, own, label, judged=False)
    for points in study.ladders.values():
        axes.plot([p.cost for p in points], [p.metric for p in points], look.marker, color=look.colour,
                  markerfacecolor="white", markersize=0.8 * look.size, linestyle=":", linewidth=0.7)  # fmt: skip


def _front_axes(axes: Axes, studies: Sequence[Shown], relative: bool) -> None:
    pairs = []
    for study in studies:
        if relative:
            pairs += [*relative_ends(study), (float(study.file.front[0].cost), 0.0)]
            continue
        told = [*study.file.front, *study.file.lora]
        for point, ends in zip(told, bars_of(told, study.bounds), strict=True):
            pairs += [(float(point.cost), end) for end in ends]
    View.around(pairs).padded(0.06).apply(axes)
    cost_axis(axes, cost_label(studies[0].file.cost_is))
    if relative:
        axes.set_ylabel(f"gain over plain LoRA{unit_of(studies[0].bounds).name}")
    else:
        axes.set_ylabel(brief(studies[0].file.metric, 18))


def _curves(axes: Axes, study: Shown, look: Look, label: str) -> None:
    for place, record in enumerate(front_records(study)):
        axes.plot([e.step for e in record.curve], [e.metric for e in record.curve], color=look.colour,
                  marker=look.marker, markersize=0.7 * look.size, linestyle=look.line, linewidth=0.9,
                  label=label if not place else None)  # fmt: skip


def _require(kind: Kind, studies: Sequence[Shown], relative: bool) -> None:
    for study in studies:
        if not study.file.front:
            raise InputError(f"{shown(study.label)}: its front is empty; there is nothing to draw")
        if kind not in (Kind.FRONT, Kind.GROUPS) and study.summary is None:
            raise InputError(
                f"--kind {kind}: {shown(study.label)} is a front.json, which has none; give the output folder"
            )
        if kind is Kind.CURVES and not has_curves(study):
            raise InputError(f"--kind curves: {shown(study.label)} was measured at one rung alone")
        if kind is Kind.IMPORTANCE and importance_of(study) is None:
            raise InputError(f"--kind importance: {shown(study.label)} is too small a study to tell what decides")
        if relative and not study.file.lora:
            raise InputError(f"--relative-to-lora: {shown(study.label)} has no plain LoRA to compare with")
    _require_one_cost(kind, studies)
    if relative and kind is not Kind.FRONT:
        raise InputError(f"--relative-to-lora: goes with --kind front, not with {kind}")


def _require_one_cost(kind: Kind, studies: Sequence[Shown]) -> None:
    """Sizes of different kinds share no axis, and a gain over LoRA of equal size is another for each."""
    costs = list(dict.fromkeys(study.file.cost_is for study in studies))
    if len(costs) > 1 and kind in (Kind.FRONT, Kind.GAIN, Kind.GROUPS):
        raise InputError(
            f"--kind {kind}: the studies make different costs small ({', '.join(costs)}); draw those of one "
            "search.cost together"
        )


def _require_overlay(studies: Sequence[Shown], relative: bool) -> None:
    if len(studies) > len(STUDIES):
        raise InputError(
            f"--overlay: {len(studies)} studies; at most {len(STUDIES)} can be told apart; use --panels"
        )
    alike = len({unit_of(study.bounds).name for study in studies}) == 1 if relative else _one_metric(studies)
    if not alike:
        named = ", ".join(dict.fromkeys(brief(study.file.metric, 18) for study in studies))
        raise InputError(
            f"--overlay: the metrics differ ({named}); use --panels, or --relative-to-lora for points"
        )


def _one_metric(studies: Sequence[Shown]) -> bool:
    return len({study.file.metric for study in studies}) == 1
