"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from msplora_search.reporting.figures.curves import curves_figure
from msplora_search.reporting.figures.front import front_figure
from msplora_search.reporting.figures.gain import gain_figure, hypervolume_figure
from msplora_search.reporting.figures.groups import groups_figure
from msplora_search.reporting.figures.importance import importance_figure
from msplora_search.reporting.figures.ranks import ranks_figure
from msplora_search.reporting.figures.saving import FOR_SCREENS, SUFFIXES, drawing, save
from msplora_search.reporting.figures.shown import Shown
from msplora_search.reporting.figures.style import Width

FIGURES: dict[str, Callable[[Shown, Width], Figure | None]] = {
    "front": front_figure,
    "groups": groups_figure,
    "ranks": ranks_figure,
    "curves": curves_figure,
    "gain": gain_figure,
    "hypervolume": hypervolume_figure,
    "importance": importance_figure,
}
"""By the names of their files."""


def write_figures(shown: Shown, folder: Path, suffixes: tuple[str, ...] = FOR_SCREENS) -> None:
    """Each as PNG and SVG, hypervolume as PNG alone; a figure without anything to show is left out."""
    for name, make in FIGURES.items():
        wanted = tuple(suffix for suffix in suffixes if name != "hypervolume" or suffix == ".png")
        if wanted:
            draw(make, shown, folder / name, wanted)


def draw(
    make: Callable[[Shown, Width], Figure | None], shown: Shown, path: Path, suffixes: tuple[str, ...] = SUFFIXES
) -> None:
    """Write the files of one figure, if it has anything to show."""
    with drawing():
        figure = make(shown, Width.TWO_COLUMNS)
        if figure is not None:
            save(figure, path, suffixes)
