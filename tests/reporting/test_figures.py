"""What stands on figures: all of it within them, no text on another, and what they promise to show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Literal
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from msplora_search.reporting.course import gains_of
from msplora_search.reporting.figures import front
from msplora_search.reporting.figures.all import FIGURES
from msplora_search.reporting.figures.front import view_of
from msplora_search.reporting.figures.labels import Box
from msplora_search.reporting.figures.ranks import cells_of
from msplora_search.reporting.figures.relative import draw_relative, gains_of_points
from msplora_search.reporting.figures.saving import content, drawing
from msplora_search.reporting.figures.several import Kind, several_figure
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import STUDIES, Width
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.summary import Summary, summarise
from msplora_search.text import brief
from tests.example import decided, evaluation, measured_by, record, records, results, split

HOSTILE_NAMES = (
    "--> <script>alert(1)</script> <img src=x onerror=alert(1)>", "_$\\frac{ a\nb",
    "\u202eab \u05d0\u05d1 \U0001f642", "\uffff\ud800" + "W" * 300,
)  # fmt: skip
LONG = "WWWW a $very$ long_name% with \\commands{} & more " * 4


@cache
def crowded() -> Summary:
    """48 trials, of which 14 are on the front, a ladder beside it, and some stopped far below."""
    front = [record(20 + i, split(i, 0, 0), 90 - 2 * i) for i in range(1, 15)]
    rest = [record(40 + i, split(1 + i % 14, 1, 1), 100 + i % 7) for i in range(24)]
    stopped = [
        record(70 + i, split(3, i, 0), 0, state=State.PRUNED, curve=(evaluation(0.5, 190 + i),), steps=60)
        for i in range(2, 8)
    ]
    return summarise(results((*records()[:3], *front, *rest, *stopped)))


def texts_of(figure: Figure) -> Iterator[tuple[Text, Box]]:
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        extent = Text.get_window_extent(text)
        if text.get_text().strip() and text.get_visible() and extent.width > 0:
            yield text, Box(*extent.extents)


def shrunk(box: Box, by: float) -> Box:
    return Box(box.left + by, box.bottom + by, box.right - by, box.top - by)


@pytest.mark.parametrize("width", list(Width))
@pytest.mark.parametrize("name", [name for name in FIGURES if name != "importance"])
@pytest.mark.parametrize("long", [False, True])
def test_texts_lie_within_the_figure_and_on_no_other(name: str, width: Width, long: bool) -> None:
    shown = Shown.of(crowded())
    if long:
        shown = replace(shown, file=replace(shown.file, study=LONG, model=LONG, metric=LONG))
    with drawing():
        figure = FIGURES[name](shown, width)
        assert figure is not None
        figure.draw_without_rendering()
        require_tidy(figure)


def require_tidy(figure: Figure) -> None:
    canvas = Box(-2, -2, figure.bbox.width + 2, figure.bbox.height + 2)
    beyond = not_drawn(figure)
    found = [(text.get_text(), box) for text, box in texts_of(figure) if id(text) not in beyond]
    assert not [text for text, box in found if not box.within(canvas)]
    pairs = combinations([(text, shrunk(box, 0.15 * (box.top - box.bottom))) for text, box in found], 2)
    meeting = [(one, other) for (one, box), (other, second) in pairs if box.meets(second)]
    assert not meeting


def not_drawn(figure: Figure) -> set[int]:
    """Labels of ticks beyond the limits of their axes, which exist all the same."""
    found = set[int]()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low <= tick.get_loc() <= high:
                found |= {id(tick.label1), id(tick.label2)}
    return found


@pytest.mark.parametrize("width", list(Width))
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("metric", ["loss", "pearson"])
def test_figures_of_other_metrics_are_as_tidy(name: str, width: Width, metric: Literal["loss", "pearson"]) -> None:
    shown = Shown.of(summarise(measured_by(metric, crowded().results.records)))
    with drawing():
        figure = FIGURES[name](shown, width)
        if figure is not None:
            figure.draw_without_rendering()
            require_tidy(figure)
            if name == "front":
                assert figure.axes[0].get_ylabel() == ("negative loss" if metric == "loss" else "pearson")
                low, high = figure.axes[0].get_ylim()
                assert (
                    low < min(p.metric for p in shown.file.front) < max(p.metric for p in shown.file.front) < high
                )


@pytest.mark.parametrize("width", list(Width))
def test_what_decides_is_as_tidy_and_several_stand_below_each_other(width: Width) -> None:
    shown = deciding()
    with drawing():
        for figure in (FIGURES["importance"](shown, width), several_figure(
            Kind.IMPORTANCE, [shown, replace(shown, label="other")], width, None, relative=False
        )):  # fmt: skip
            assert figure is not None
            figure.draw_without_rendering()
            require_tidy(figure)
    assert figure is not None
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == ["quickstart", "other"]


def deciding() -> Shown:
    return Shown.of(summarise(decided(lambda pyramid: 100 - 10 * pyramid.groups[0].layer_rank)))


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_foreign_names_are_text_in_every_figure(name: str) -> None:
    """No mathematics, no elements of SVG, no entry of a legend that is missing."""
    one = Shown.of(crowded())
    own = replace(one, label=name, file=replace(one.file, study=name, model=name, metric=name))
    with drawing():
        made = [FIGURES[kind](own, Width.ONE_COLUMN) for kind in FIGURES]
        made.append(several_figure(Kind.FRONT, [own, replace(own, label="other")], Width.TWO_COLUMNS, True, False))
        for figure in made:
            if figure is None:
                continue
            tags = {
                element.tag.rpartition("}")[2]
                for element in ElementTree.fromstring(content(figure, ".svg")).iter()
            }
            assert not tags & {"script", "a", "foreignObject", "text"}
        assert made[-1] is not None
        assert content(made[-1], ".pdf").startswith(b"%PDF-")
        legend = [text.get_text().strip() for text in made[-1].legends[0].get_texts()]
        assert legend[:2] == [brief(name, 38).strip(), "other"]


def test_trials_far_off_are_shown_apart_and_only_then() -> None:
    assert view_of(Shown.of(crowded()))[1]
    near = [r for r in crowded().results.records if r.state == State.COMPLETE]
    view, apart = view_of(Shown.of(summarise(results(tuple(near)))))
    assert not apart
    assert all(view.holds((r.adapter_params, r.final.metric)) for r in near)


def test_a_front_names_its_trials() -> None:
    figure = FIGURES["front"](Shown.of(crowded()), Width.TWO_COLUMNS)
    assert figure is not None
    texts = {text.get_text() for text, _ in texts_of(figure)}
    assert {str(p.record.number) for p in crowded().front} <= texts
    assert {"r=1", "r=2", "all trials"} <= texts


@pytest.mark.parametrize("most", [5, 1_000])
def test_many_points_are_one_picture_in_an_svg(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "MOST_POINTS", most)
    with drawing():
        figure = FIGURES["front"](Shown.of(crowded()), Width.TWO_COLUMNS)
        assert figure is not None
        drawn = content(figure, ".svg").decode()
    assert ("<image" in drawn) == (most < 14)  # so many trials are neither stopped nor on the front
    assert "<!-- other trials -->" in drawn


def test_a_map_of_ranks_tells_never_tried_from_stopped() -> None:
    cells = cells_of(Shown.of(summarise(results())), 0, 2)
    assert cells[1, 0].best == pytest.approx(1 - 76 / 400)
    assert (cells[4, 2].best, cells[4, 2].count) == (None, 1)
    assert (16, 0) not in cells


def test_the_gain_over_steps_ends_with_the_gain_of_the_study() -> None:
    summary = crowded()
    found, told = gains_of(summary), summary.gain_over_lora
    assert found is not None
    assert told is not None
    assert found.spent[-1] == summary.cost.steps
    assert (found.gain[-1], found.low[-1], found.high[-1]) == pytest.approx((told.metric, *told.interval))
    assert np.all(np.diff(found.spent) >= 0)
    assert len({len(of) for of in (found.trials, found.spent, found.gain, found.low, found.high)}) == 1


def test_no_gain_is_drawn_as_none() -> None:
    """Rounding errors of 1e-14 points would fill the axes of their own."""
    alone = tuple(r for r in records() if r.state == State.COMPLETE and r.baseline)
    for found, reach in ((results(alone), 0.1), (measured_by("loss", alone), 0.01)):
        figure = FIGURES["gain"](Shown.of(summarise(found)), Width.TWO_COLUMNS)
        assert figure is not None
        low, high = figure.axes[1].get_ylim()
        assert low < -reach / 2
        assert high > reach / 2


def test_a_gain_is_over_the_best_plain_lora_that_is_no_larger() -> None:
    found = {p.trial: gain for p, gain, _ in gains_of_points(Shown.of(summarise(results())))}
    assert found[4] == pytest.approx(100 * (0.85 - 0.80))
    assert found[3] == pytest.approx(100 * (0.81 - 0.80))


def test_a_point_below_all_plain_lora_is_hollow_and_seen_so() -> None:
    """The line of error bars stands above what is drawn after it, unless that says otherwise."""
    axes = Figure().subplots()
    draw_relative(axes, Shown.of(summarise(results())), STUDIES[0], "x")
    (hollow,) = [of for of in axes.lines if of.get_markerfacecolor() == "white" and np.size(of.get_xdata())]
    assert np.array_equal(hollow.get_xdata(), [1_536])
    assert all(line.get_zorder() < hollow.get_zorder() for line in axes.lines if line is not hollow)


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_written_stands_where_it_was_laid_out(name: str) -> None:
    """Labels are placed by pixels of the layout, so that writing must not lay out anew."""
    with mpl.rc_context({"figure.autolayout": True}), drawing():
        figure = FIGURES[name](Shown.of(crowded()), Width.ONE_COLUMN)
        if figure is not None:
            panels = [axes for axes in figure.axes if axes.get_box_aspect() is None]  # no bars of colours
            before = [axes.get_position().bounds for axes in panels]
            content(figure, ".png")
            assert [axes.get_position().bounds for axes in panels] == before


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_study_gives_the_same_bytes(suffix: str) -> None:
    def once() -> bytes:
        with drawing():
            figure = FIGURES["front"](Shown.of(summarise(results())), Width.ONE_COLUMN)
            assert figure is not None
            return content(figure, suffix)

    first = once()
    assert first == once()
    assert b"20" + b"26-" not in first


def test_every_trial_has_its_curve() -> None:
    figure = FIGURES["curves"](Shown.of(crowded()), Width.TWO_COLUMNS)
    assert figure is not None
    others, stopped = (of for of in figure.axes[0].collections if isinstance(of, LineCollection))
    assert len(others.get_segments()) == 14  # configurations; the rest are trainings of these
    known = {r.number: r for r in crowded().results.records}
    assert [list(map(tuple, line)) for line in stopped.get_segments()] == [
        [(e.step, e.metric) for e in known[70 + i].curve] for i in range(2, 8)
    ]
    low, high = figure.axes[0].get_ylim()
    assert all(low < e.metric < high for r in known.values() for e in r.curve)


def test_a_study_with_one_rung_has_no_curves() -> None:
    trials: tuple[TrialRecord, ...] = (record(0, split(1, 0, 0), 60, curve=(evaluation(1.0, 60),)),)
    assert FIGURES["curves"](Shown.of(summarise(results(trials))), Width.TWO_COLUMNS) is None
