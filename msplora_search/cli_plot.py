"""The commands that show several studies beside each other: plot, table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from msplora_search.cli_parts import Storage
from msplora_search.files import short

Outputs = Annotated[
    list[Path], typer.Argument(help="Output folders of runs, or their front.json.", metavar="OUTPUT...")
]
Labels = Annotated[
    str | None, typer.Option(help="What the studies are called, separated by commas.", metavar="A,B")
]


def plot(
    outputs: Outputs,
    to: Annotated[Path, typer.Option(help="The picture: FILE.png, FILE.svg or FILE.pdf.", metavar="FILE")],
    kind: Annotated[
        Literal["front", "gain", "curves", "groups", "ranks", "importance"],
        typer.Option(
            help="The fronts; what was gained over training steps; the metric at each rung; the depth groups; the "
            "best metric of each pair of ranks; what decides the metric. A front.json alone has front and groups."
        ),
    ] = "front",
    overlay: Annotated[
        bool | None,
        typer.Option(
            "--overlay/--panels",
            help="All studies in the same axes, or a panel each; by default the same axes where the metric is "
            "the same.",
        ),
    ] = None,
    relative: Annotated[
        bool,
        typer.Option(
            "--relative-to-lora",
            help="Fronts as their gain over plain LoRA of equal size.",
        ),
    ] = False,
    width: Annotated[
        Literal["one-column", "two-column"], typer.Option(help="3.4 or 7 inches, as journals have them.")
    ] = "two-column",
    labels: Labels = None,
    storage: Storage = None,
) -> None:
    """Draw several studies in one figure for print.

    Example: `msplora-search plot runs/small runs/large --to fronts.pdf --width one-column`
    """
    from msplora_search.reporting.figures.files import picture_suffix, write_picture

    suffix = picture_suffix(to)
    from msplora_search.reporting.figures.saving import content, drawing
    from msplora_search.reporting.figures.several import Kind, several_figure
    from msplora_search.reporting.figures.sources import load_shown
    from msplora_search.reporting.figures.style import Width

    studies = load_shown(outputs, storage, labels)
    with drawing():
        figure = several_figure(Kind(kind), studies, Width(width), overlay, relative)
        write_picture(to, lambda: content(figure, suffix))
    _wrote(to)


def table(
    outputs: Outputs,
    to: Annotated[Path, typer.Option(help="The table: FILE.csv, FILE.md or FILE.tex.", metavar="FILE")],
    labels: Labels = None,
    storage: Storage = None,
) -> None:
    """Write the fronts of studies as one table: CSV, Markdown, or LaTeX with booktabs.

    Example: `msplora-search table runs/small runs/large --to fronts.tex`
    """
    from msplora_search.reporting.figures.files import table_form, write_table

    form = table_form(to)
    from msplora_search.reporting.figures.sources import load_shown
    from msplora_search.reporting.tables import front_table

    studies = load_shown(outputs, storage, labels)
    write_table(to, lambda: front_table(studies, form).encode("utf-8"))
    _wrote(to)


def _wrote(path: Path) -> None:
    from msplora_search.reporting.console import open_console, print_line

    print_line(open_console(), f"wrote {short(path)}")
