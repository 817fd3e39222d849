"""The plots of `analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from msplora_search.analysis.redundancy import Redundancy
from msplora_search.analysis.report import Analysis
from msplora_search.analysis.transfer import Transfer
from msplora_search.analysis.updates import Floats
from msplora_search.reporting.figures.saving import save
from msplora_search.text import brief, printable

COLOURS = {"global": "#0072b2", "mid": "#e69f00", "layer": "#009e73"}
"""Of levels; told apart by those who see no red or green too."""
STYLE: Any = {
    "svg.hashsalt": "msplora-search",  # the same adapter gives the same file
    "figure.dpi": 130,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "text.usetex": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
}
KINDS = (".png", ".svg")
MARKS = {"global": "o", "mid": "s", "layer": "^"}


def title(name: str, what: str) -> str:
    """Of a plot; long names are cut, so that they stay on it."""
    return f"{brief(printable(name), 40)}: {brief(printable(what), 50)}"


def draw_spectra(analysis: Analysis, path: Path) -> None:
    """`path`.png and .svg: singular values by level, energy and effective rank by layer."""
    spectra, layers = analysis.spectra, np.arange(analysis.trained.layers)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.9), layout="constrained")
        values, energy, effective = figure.subplots(1, 3)
        below = np.zeros(len(layers))
        for level in spectra.levels:
            name, colour, mark = level.level, COLOURS[level.level], MARKS[level.level]
            at = np.arange(1, len(level.values) + 1)
            values.plot(at, level.values, color=colour, marker=mark, markersize=4, label=f"{name} level")
            alone = len(spectra.levels) == 1  # all of each layer's energy is of it, which says nothing
            share = np.array(spectra.size_by_layer if alone else spectra.energy_by_layer[name])
            energy.bar(layers, share, bottom=below, color=colour, width=0.85)
            below += share
            effective.plot(layers, spectra.effective_by_layer[name], color=colour, marker=mark, markersize=4)
        values.set(xlabel="direction", ylabel="singular value / largest", ylim=(0, 1.05))
        values.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(spectra.levels) > 1:
            energy.set(xlabel="layer", ylabel="share of the layer's energy", ylim=(0, 1))
        else:
            energy.set(xlabel="layer", ylabel="share of all energy")
        energy.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        energy.grid(visible=False, axis="x")
        top = max(level.rank for level in spectra.levels)
        effective.set(xlabel="layer", ylabel="effective rank", ylim=(0, top * 1.08))
        for axes in (energy, effective):
            axes.set_xlim(-0.6, len(layers) - 0.4)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            _mark_groups(axes, analysis.trained.groups)
        figure.suptitle(title(analysis.trained.name, "spectra of the updates"), fontsize=11)
        figure.legend(*values.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
        save(figure, path, KINDS)


def draw_similarity(analysis: Analysis, path: Path) -> None:
    """`path`.png and .svg: cosines of layers, with suggested boundaries, beside what chance gives."""
    found = [(analysis.whole, "whole updates")]
    if analysis.own is not None:
        found.append((analysis.own, "layer level alone"))
    most = max(0.02, *(float(np.abs(of.off_diagonal).max(initial=0.0)) for of, _ in found))
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(4.1 * (len(found) + 1) + 0.9, 5.0), layout="constrained")
        panels = figure.subplots(1, len(found) + 1, squeeze=False)[0]
        for axes, (of, name) in zip(panels, found, strict=False):
            _draw_matrix(axes, of.similarity, of.layers, most)
            axes.set_title(name, fontsize=10)
        image = _draw_matrix(panels[-1], _by_chance(analysis.whole), analysis.whole.layers, most)
        panels[-1].set_title("by chance (random updates)", fontsize=10)
        _draw_boundaries(panels[0], analysis)
        panels[0].set_ylabel("layer")
        figure.colorbar(image, ax=panels, shrink=0.75, label="cosine of the updates of two layers")
        figure.suptitle(title(analysis.trained.name, "what layers repeat"), fontsize=11)
        handles, labels = panels[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3)
        save(figure, path, KINDS)


def draw_transfer(found: Transfer, path: Path) -> None:
    """`path`.png and .svg: what is in common, by its metric in both studies."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.6), layout="constrained")
        axes = figure.subplots()
        for on_front, colour, label in (
            (False, "#888888", "in common or near, ± one error"),
            (True, COLOURS["mid"], "on the front of the first"),
        ):
            those = np.array([numbers for *numbers, front in found.pairs if front == on_front]).reshape(-1, 4).T
            axes.errorbar(those[0], those[1], xerr=those[2], yerr=those[3], fmt="o", color=colour, label=label,
                          elinewidth=0.7, alpha=0.9)  # fmt: skip
        x, y = (f"{brief(printable(m), 20)} in {brief(printable(n), 40)}"
                for m, n in zip(found.metrics, found.names, strict=True))  # fmt: skip
        axes.set(xlabel=x, ylabel=y)
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
        if found.correlation is not None:
            said = f"rank correlation {found.correlation.mean:.2f}"
            said += f" (95%: {found.correlation.low:.2f} to {found.correlation.high:.2f})"
            axes.set_title(said, fontsize=10, loc="left")
        save(figure, path, KINDS)


def _draw_matrix(axes: Axes, matrix: Floats, layers: tuple[int, ...], most: float) -> AxesImage:
    shown = np.array(matrix, dtype=np.float64)
    np.fill_diagonal(shown, np.nan)  # 1 of itself, which says nothing
    axes.set_facecolor("#999999")
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    step = max(1, -(-len(layers) // 12))
    places = list(range(0, len(layers), step))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(places))
    axes.set_xticklabels([str(layers[place]) for place in places])
    axes.set_yticklabels([str(layers[place]) for place in places])
    axes.set_xlabel("layer")
    return image


def _by_chance(found: Redundancy) -> Floats:
    """One draw of what random updates give."""
    layers = len(found.layers)
    upper = np.triu(np.random.default_rng(0).normal(size=(layers, layers)) * found.chance_sd, 1)
    return np.asarray(upper + upper.T)


def _draw_boundaries(axes: Axes, analysis: Analysis) -> None:
    """Suggested ones as full lines, those that the pyramid has as dashed ones."""
    layers = analysis.whole.layers
    own = [layers.index(cut) for cut in analysis.trained.groups[1:-1] if cut in layers]
    for places, style, name in (
        (list(analysis.split.boundaries[1:-1]), {"color": "black", "linewidth": 2.6}, "suggested by cosines"),
        (
            list(analysis.by_directions.boundaries[1:-1]),
            {"color": COLOURS["global"], "linewidth": 2.0, "linestyle": ":"},
            "suggested by directions in use",
        ),
        (own, {"color": COLOURS["layer"], "linewidth": 1.4, "linestyle": "--"}, "boundary of the pyramid"),
    ):
        for i, place in enumerate(places):
            axes.axhline(place - 0.5, **style, label=name if not i else None)  # type: ignore[arg-type]
            axes.axvline(place - 0.5, **style)  # type: ignore[arg-type]


def _mark_groups(axes: Axes, boundaries: tuple[int, ...]) -> None:
    for cut in boundaries[1:-1]:
        axes.axvline(cut - 0.5, color="#666666", linewidth=0.9, linestyle="--")
