"""A compressed LoRA in words and as a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from msplora_search.compression.compressing import Compression, Point
from msplora_search.reporting.folder import write_folder
from msplora_search.reporting.front_panels import FRONT, LORA
from msplora_search.reporting.plots import STYLE, parameter_axis, save_figure, title

COLUMNS = ("params", "pyramid", "of the LoRA", "rel. error")
RESISTS = 0.05
"""Sharing that saves less than this is not worth a form of its own."""


def point_rows(compression: Compression) -> list[tuple[str, ...]]:
    """The front as table rows."""
    return [_row(point, compression.lora.params) for point in compression.front]


def _row(point: Point, whole: int) -> tuple[str, ...]:
    starts = ", ".join(str(a) for a, _ in point.groups)
    pyramid = f"{point.ranks}, groups from layers {starts}" if point.ranks.mid else str(point.ranks)
    return f"{point.params:,}", pyramid, f"{point.params / whole:.1%}", f"{point.error:.2%}"


def verdict(compression: Compression) -> str:
    """Whether sharing beats truncating each layer."""
    most = compression.most_saved
    if most < RESISTS:
        return (
            f"the layers resist sharing: at equal error it never saves more than {most:.1%} of the parameters of "
            "LoRA truncated to a lower rank"
        )
    return f"sharing saves up to {most:.1%} of the parameters of LoRA truncated to a lower rank, at equal error"


def draw_compression(compression: Compression, chosen: Point, folder: Path) -> None:
    """`compress.png` and `compress.svg`: relative error against parameters, truncated LoRA beside the front."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        axes = figure.subplots()
        for points, color, marker, label in (
            (compression.truncated, LORA, "s", "LoRA truncated to a lower rank"),
            (compression.front, FRONT, "o", "pyramids"),
        ):
            axes.plot([p.params for p in points], [p.error for p in points], marker, ls="-", ms=5, color=color,
                      label=label)  # fmt: skip
        axes.plot(
            chosen.params, chosen.error, "o", ms=12, mfc="none", mec="black", label=f"written: {chosen.ranks}"
        )
        parameter_axis(axes)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set(ylabel="relative error of the updates", ylim=(0, None))
        axes.set_title(title(compression.lora.folder.resolve().name, "compressed"))
        axes.legend(frameon=False)
        save_figure(figure, folder / "compress")


def write_compression(compression: Compression, chosen: Point, apart: float, folder: Path) -> dict[str, Any]:
    """Write `compress.json` and the plot; returns the content of the former."""
    told = {**compression.to_json(), "written": chosen.to_json(), "updates_apart": apart}
    told["verdict"] = verdict(compression)

    def fill(part: Path) -> None:
        draw_compression(compression, chosen, part)
        (part / "compress.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    write_folder(folder, fill, last="compress.json")
    return told
