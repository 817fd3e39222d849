"""The metric of each trial at its rungs: those of the front stand out, those that were stopped end in a cross."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from msplora_search.reporting.figures.axes import columns_of, points_across
from msplora_search.reporting.figures.saving import settle
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import FRONT, LORA, PAPER, QUIET, Look, Width
from msplora_search.results.records import TrialRecord
from msplora_search.text import brief

TYPE = 6.5
"""Points of the labels at the ends."""
AWAY, LETTER = 13.0, 0.7 * TYPE
"""Points of print from an end to its label, and of one of its letters."""
FRONT_LOOK = Look(FRONT, "o", 2.6, "-")
PAPER_LOOK = Look(PAPER, "*", 6, "--")
LORA_LOOK = Look(LORA, "s", 2.6, "-.")


def curves_figure(shown: Shown, width: Width) -> Figure | None:
    """None where no trial was measured at two rungs."""
    if not has_curves(shown):
        return None
    wide = width is Width.TWO_COLUMNS
    figure = Figure(figsize=(width.inches, 3.4 if wide else 3.2), layout="constrained")
    axes = figure.subplots()
    draw_curves(axes, shown)
    axes.set_title(shown.title)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, width))
    settle(figure)
    label_ends(axes, shown)
    return figure


def has_curves(shown: Shown) -> bool:
    """Whether there is a line to draw."""
    return any(len(record.curve) > 1 for record in [*shown.complete, *shown.pruned])


def draw_curves(axes: Axes, shown: Shown) -> None:
    """Every trial of a study; room to the right for the labels of the front."""
    front, others = front_records(shown), list[TrialRecord]()
    named: dict[str, list[TrialRecord]] = {"paper": [], "lora": []}
    best = {p.trial for p in (*shown.file.lora, *([shown.file.paper] if shown.file.paper else []))}
    for record in shown.complete:
        if record.number in {r.number for r in front}:
            continue
        kind = "" if record.baseline is None or record.number not in best else record.baseline.partition("-")[0]
        named.get(kind, others).append(record)
    _quiet(axes, others, "-", "other trials", 0.45)
    _quiet(axes, shown.pruned, ":", "", 0.9)
    if shown.pruned:
        axes.plot([r.curve[-1].step for r in shown.pruned], [r.curve[-1].metric for r in shown.pruned], "x",
                  color=QUIET, markersize=3.5, markeredgewidth=0.8, label="stopped early")  # fmt: skip
    _lines(axes, named["lora"], LORA_LOOK, "plain LoRA", 1)
    _lines(axes, named["paper"], PAPER_LOOK, "paper's pyramid", 1)
    _lines(axes, front, FRONT_LOOK, "front (trial)", 1)
    steps = sorted({e.step for record in [*shown.complete, *shown.pruned] for e in record.curve})
    reach = max(steps) - min(0, *steps) or 1
    letters = max((len(f"{record.number}") for record in front), default=0)
    aside = (AWAY + LETTER * letters) / points_across(axes)
    axes.set_xlim(min(steps) - 0.04 * reach, max(steps) + reach * aside / max(0.5, 1 - aside))
    if len(steps) <= 6:
        axes.set_xticks(steps)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set(xlabel="training steps of a trial", ylabel=brief(shown.file.metric, 18))


def front_records(shown: Shown) -> list[TrialRecord]:
    """Of the points of the front, by rising parameters."""
    known = {record.number: record for record in shown.complete}
    return [known[point.trial] for point in shown.file.front if point.trial in known]


def label_ends(axes: Axes, shown: Shown) -> None:
    """Trial numbers right of the ends of the front's curves, apart from each other; the layout must be final."""
    records = front_records(shown)
    figure = axes.get_figure(root=True)
    assert figure is not None
    if not records:
        return
    pixels = figure.dpi / 72
    ends = [axes.transData.transform((r.final.step, r.final.metric)) for r in records]
    inner = axes.get_window_extent()
    order = sorted(range(len(records)), key=lambda i: (ends[i][1], i))
    places = spread([float(ends[i][1]) for i in order], (TYPE + 0.8) * pixels, inner.y0 + 4 * pixels, inner.y1)
    for place, i in zip(places, order, strict=True):
        if place is None:
            continue
        axes.annotate(
            f"{records[i].number}", (records[i].final.step, records[i].final.metric),
            xytext=(AWAY, (place - ends[i][1]) / pixels), textcoords="offset points", fontsize=TYPE, color=FRONT,
            ha="left", va="center_baseline", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FRONT, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 1.5,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float | None]:
    """Heights at least `apart`, in order, within `low` to `high`, near the wanted ones, which rise.

    Where there is no room for all, evenly picked ones have a place.
    """
    room = int((high - low) // apart) + 1
    if len(wanted) > room:
        kept = sorted({round(i * (len(wanted) - 1) / max(1, room - 1)) for i in range(room)})
        places = iter(spread([wanted[i] for i in kept], apart, low, high))
        return [next(places) if i in kept else None for i in range(len(wanted))]
    merged: list[tuple[list[float], float]] = []
    for height in wanted:  # blocks of touching labels move to the mean of what they want
        merged.append(([height], height))
        while len(merged) > 1 and merged[-1][1] - merged[-2][1] < apart * len(merged[-2][0]):
            own, _ = merged.pop()
            before, _ = merged.pop()
            members = before + own
            bottom = sum(height - apart * k for k, height in enumerate(members)) / len(members)
            merged.append((members, bottom))
    return _bounded(
        [bottom + apart * k for members, bottom in merged for k in range(len(members))], apart, low, high
    )


def _bounded(places: list[float], apart: float, low: float, high: float) -> list[float | None]:
    for k in range(len(places)):
        places[k] = max(places[k], low + apart * k)
    for k in range(len(places)):
        places[-1 - k] = min(places[-1 - k], high - apart * k)
    return list(places)


def _quiet(axes: Axes, records: Sequence[TrialRecord], line: str, label: str, alpha: float) -> None:
    """Lines without markers, of which there may be thousands."""
    if records:
        axes.add_collection(
            LineCollection(
                [[(e.step, e.metric) for e in record.curve] for record in records], colors=QUIET, linestyles=line,
                linewidths=0.6, alpha=alpha, label=label or None, zorder=2,
                capstyle="projecting" if line == "-" else "butt", joinstyle="round",
            )
        )  # fmt: skip
        axes.autoscale_view()


def _lines(axes: Axes, records: Sequence[TrialRecord], look: Look, label: str, alpha: float) -> None:
    for place, record in enumerate(records):
        axes.plot(
            [e.step for e in record.curve], [e.metric for e in record.curve], color=look.colour,
            linestyle=look.line, marker=look.marker, markersize=look.size, alpha=alpha,
            linewidth=1.0 if look.size else 0.6, label=label if label and not place else None,
        )  # fmt: skip
