"""A compressed LoRA in words and as a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from msplora_search.compression.compressing import Compression, Point
from msplora_search.reporting.figures.axes import parameter_axis
from msplora_search.reporting.figures.saving import drawing, save, settle
from msplora_search.reporting.figures.style import FRONT, INK, LORA, Look, Width
from msplora_search.reporting.folder import write_folder
from msplora_search.text import brief, printable

COLUMNS = ("params", "pyramid", "of the LoRA", "rel. error")
PYRAMIDS, TRUNCATED = Look(FRONT, "o", 3.5, "-"), Look(LORA, "s", 6.5, "--")
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
        saved = f"at most {most:.1%} of the" if most >= 5e-4 else "no"
        return f"the layers resist sharing: at equal error it saves {saved} parameters of truncated LoRA"
    return f"sharing saves up to {most:.1%} of the parameters of LoRA truncated to a lower rank, at equal error"


def draw_compression(compression: Compression, chosen: Point, folder: Path) -> None:
    """`compress.png` and `compress.svg`: relative error against parameters, truncated LoRA beside the front."""
    with drawing():
        figure = Figure(figsize=(Width.TWO_COLUMNS.inches, 3.4), layout="constrained")
        axes = figure.subplots()
        for points, look, label in (
            (compression.truncated, TRUNCATED, "LoRA truncated to a lower rank"),
            (compression.front, PYRAMIDS, "pyramids, truncated LoRA among them"),
        ):
            axes.plot([p.params for p in points], [p.error for p in points], color=look.colour, label=label,
                      marker=look.marker, markersize=look.size, linestyle=look.line, drawstyle="steps-post",
                      markerfacecolor="none", clip_on=False)  # fmt: skip
        axes.plot(chosen.params, chosen.error, "o", color="none", markeredgecolor=INK, markersize=12,
                  clip_on=False, linestyle="none", label=f"written: {chosen.ranks}")  # fmt: skip
        parameter_axis(axes)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set(ylabel="relative error of the updates", ylim=(0, None))
        axes.set_title(printable(brief(f"{compression.lora.folder.resolve().name}: compressed", 60)))
        axes.legend()
        settle(figure)
        save(figure, folder / "compress", (".png", ".svg"))


def write_compression(compression: Compression, chosen: Point, apart: float, folder: Path) -> dict[str, Any]:
    """Write `compress.json` and the plot; returns the content of the former."""
    told = {**compression.to_json(), "written": chosen.to_json(), "updates_apart": apart}
    told["verdict"] = verdict(compression)

    def fill(part: Path) -> None:
        draw_compression(compression, chosen, part)
        (part / "compress.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    write_folder(folder, fill, last="compress.json")
    return told
