"""A compressed LoRA in words and as a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from msplora_search.compression.alone import Alone
from msplora_search.compression.compressing import Compression, Point
from msplora_search.compression.delivering import Outcome
from msplora_search.design.costs import Cost
from msplora_search.reporting.figures.axes import cost_axis, cost_label
from msplora_search.reporting.figures.saving import drawing, save, settle
from msplora_search.reporting.figures.style import FRONT, INK, LORA, Look, Width
from msplora_search.results.noise import difference_se
from msplora_search.text import brief

PYRAMIDS, TRUNCATED = Look(FRONT, "o", 3.5, "-"), Look(LORA, "s", 6.5, "--")
RESISTS = 0.05
"""Sharing that saves less than this is not worth a form of its own."""


def columns(outcome: Outcome | Alone) -> tuple[str, ...]:
    """Headings of the front as a table."""
    plain = ("params", "pyramid", "of the LoRA", "rel. error")
    return (*plain, outcome.judged.metric, "loss") if isinstance(outcome, Outcome) else plain


def point_rows(compression: Compression, outcome: Outcome | Alone) -> list[tuple[str, ...]]:
    """The front as table rows."""
    return [_row(point, compression.lora.params, outcome) for point in compression.front]


def _row(point: Point, whole: int, outcome: Outcome | Alone) -> tuple[str, ...]:
    starts = ", ".join(str(a) for a, _ in point.groups)
    pyramid = f"{point.ranks}, groups from layers {starts}" if point.ranks.mid else str(point.ranks)
    told = f"{point.params:,}", pyramid, f"{point.params / whole:.1%}", f"{point.error:.2%}"
    if isinstance(outcome, Alone):
        return told
    loss, se = outcome.judged.loss(point)
    return (*told, f"{outcome.judged.points[point].metric:.4f}", f"{loss:+.4f} ± {se:.4f}")


def outcome_lines(compression: Compression, outcome: Outcome | Alone, folder: str) -> list[str]:
    """What was found and written, for a terminal."""
    chosen, said = outcome.chosen, verdict(compression)
    lines = [f"{said[0].upper()}{said[1:]}.", _weights(compression)]
    lines += _of_task(outcome) if isinstance(outcome, Outcome) else _of_updates(outcome)
    size = f"{chosen.ranks}, {chosen.params:,} parameters, relative error {chosen.error:.2%}"
    return [*lines, f"Written: {size}, in {folder} (pyramid/ shared, peft/ for stock PEFT, README.md)"]


def _weights(compression: Compression) -> str:
    if compression.examples:
        what = f"the sites' outputs over {compression.examples:,} training examples"
        return f"Error is that of {what}, in proportion to what the LoRA adds to them."
    return "Error of the updates alone: every input direction counts alike."


def _of_updates(outcome: Alone) -> list[str]:
    if outcome.logits_error is None:
        return [f"No model was loaded: the updates of both forms are {outcome.updates_apart:.0e} apart."]
    return [
        f"On made-up inputs the logits are {outcome.logits_error:.2%} off the LoRA's; tied, PEFT and merged model "
        f"agree within {outcome.logits_apart:.1e}. No data of the task were looked at."
    ]


def _of_task(outcome: Outcome) -> list[str]:
    judged, metric = outcome.judged, outcome.judged.metric
    lines = [f"As LoRA: {metric} {judged.lora.metric:.4f} on {judged.rows:,} validation rows, as the front."]
    if outcome.epochs is not None:
        before, after = judged.points[outcome.chosen].metric, outcome.trained_to
        lines.append(f"After {outcome.epochs:g} epochs of training: {after:.4f} there, from {before:.4f}.")
    difference = outcome.pyramid.metric - outcome.lora.metric
    se, rows = difference_se(outcome.lora, outcome.pyramid), len(outcome.lora.predictions)
    same = "" if outcome.agreement is None else f"; both say the same of {outcome.agreement:.1%} of them"
    return [
        *lines,
        f"On {rows:,} test rows: {metric} {outcome.pyramid.metric:.4f}, the LoRA {outcome.lora.metric:.4f} "
        f"({difference:+.4f} ± {se:.4f}){same}.",
        f"The logits are {outcome.logits_error:.2%} off the LoRA's; tied, PEFT and merged model agree within "
        f"{outcome.done.apart:.1e}.",
    ]


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
        cost_axis(axes, cost_label(Cost.PARAMS))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        of = "sites' outputs" if compression.examples else "updates"
        axes.set(ylabel=f"relative error of the {of}", ylim=(0, None))
        axes.set_title(f"{brief(compression.lora.name, 60)}: compressed")
        axes.legend()
        settle(figure)
        save(figure, folder / "compress", (".png", ".svg"))


def write_compression(compression: Compression, outcome: Outcome | Alone, folder: Path) -> dict[str, Any]:
    """Write `compress.json` and the plot into a folder that is ours; returns the content of the former."""
    chosen = outcome.chosen
    told = {**compression.to_json(), "written": chosen.to_json(), **outcome.to_json()}
    told["verdict"] = verdict(compression)
    draw_compression(compression, chosen, folder)
    (folder / "compress.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return told
