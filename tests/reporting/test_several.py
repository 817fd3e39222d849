"""Several studies in one figure: as tidy as one, under their labels, and refused where that cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from msplora_search.errors import InputError
from msplora_search.reporting.figures.saving import drawing
from msplora_search.reporting.figures.several import OF_EACH, Kind, several_figure
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import Width
from msplora_search.search.summary import summarise
from tests.example import measured_by, results
from tests.reporting.test_figures import LONG, crowded, deciding, require_tidy


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("width", list(Width))
def test_several_studies_share_a_figure(kind: Kind, width: Width) -> None:
    one, other = Shown.of(crowded()), replace(Shown.of(summarise(results())), label=LONG)
    if kind is Kind.IMPORTANCE:
        one, other = deciding(), replace(deciding(), label=LONG)
    with drawing():
        for overlay in (False,) if kind in OF_EACH else (True, False):
            figure = several_figure(kind, [one, other], width, overlay, relative=False)
            figure.draw_without_rendering()
            require_tidy(figure)


@pytest.mark.parametrize("kind", [Kind.FRONT, Kind.GAIN, Kind.CURVES])
def test_three_panels_beside_each_other_are_tidy(kind: Kind) -> None:
    """Of long searches, whose numbers of trials and steps are long too."""
    trials = [
        replace(r, number=r.number + 4_000, steps=500 * r.steps, planned_steps=500 * r.planned_steps)
        for r in crowded().results.records
    ]
    made = [results(tuple(trials)), *(measured_by(name, tuple(trials)) for name in ("loss", "pearson"))]
    with drawing():
        figure = several_figure(kind, [Shown.of(summarise(of)) for of in made], Width.TWO_COLUMNS, False, False)
        figure.draw_without_rendering()
        require_tidy(figure)
    assert len(figure.axes) == 3
    assert all(sum(low <= x <= high for x in axes.get_xticks()) >= 2
               for axes in figure.axes for low, high in [axes.get_xlim()])  # fmt: skip


def test_an_atlas_of_several_has_their_labels() -> None:
    one = Shown.of(summarise(results()))
    named = [replace(one, label=name) for name in ("small", "large")]
    with drawing():
        figure = several_figure(Kind.GROUPS, named, Width.TWO_COLUMNS, None, False)
    assert [text for axes in figure.axes if (text := axes.get_title(loc="left"))] == ["small", "large"]


def test_an_overlay_needs_one_metric_or_gains() -> None:
    one = Shown.of(summarise(results()))
    other = replace(one, file=replace(one.file, metric="f1"), summary=None, label="other")
    with pytest.raises(InputError, match=r"--overlay: the metrics differ \(accuracy, f1\); use --panels"):
        several_figure(Kind.FRONT, [one, other], Width.TWO_COLUMNS, True, False)
    assert len(several_figure(Kind.FRONT, [one, other], Width.TWO_COLUMNS, None, False).axes) == 2
    assert len(several_figure(Kind.FRONT, [one, other], Width.TWO_COLUMNS, None, True).axes) == 1
    for kind in (Kind.GAIN, Kind.CURVES, Kind.RANKS, Kind.IMPORTANCE):
        with pytest.raises(InputError, match=f"--kind {kind}: 'other' is a front.json, which has none"):
            several_figure(kind, [other], Width.TWO_COLUMNS, None, False)
    with pytest.raises(InputError, match="'quickstart' is too small a study to tell what decides"):
        several_figure(Kind.IMPORTANCE, [one], Width.TWO_COLUMNS, None, False)
    with pytest.raises(InputError, match="--overlay: ranks have panels of each study"):
        several_figure(Kind.RANKS, [one, one], Width.TWO_COLUMNS, True, False)
    with pytest.raises(InputError, match="at most 7 can be told apart"):
        several_figure(Kind.FRONT, [one] * 8, Width.TWO_COLUMNS, True, False)
