"""The command that asks trained adapters, and pairs of studies, what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msplora_search.cli_parts import AsJson, print_json
from msplora_search.files import short


def analyze(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of trained adapters (trained/NAME, pyramid/, or any of PEFT's LoRA as safetensors); or "
            "two output folders of run.",
            metavar="PATH...",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for analysis.md, analysis.json and plots; PATH/analysis by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a trained adapter learned: spectra, what layers repeat, boundaries, signs of a wrong shape.

    Of two studies: how well the front of the first holds in the second. No base model is loaded.

    Example: `msplora-search analyze trained/small`
    """
    from msplora_search.analysis.asked import answer
    from msplora_search.reporting.analysis_files import FOLDER, lines_of, require_own, told, write_analysis
    from msplora_search.reporting.console import open_console, print_line

    folder = to or paths[0] / FOLDER
    require_own(folder)
    analyses, found = answer(paths)
    if as_json:
        write_analysis(analyses, found, folder)
        print_json(told(analyses, found))
        return
    console = open_console()
    for line in lines_of(analyses, found):
        print_line(console, line)
    path = write_analysis(analyses, found, folder)
    print_line(console, f"wrote {short(path)} (also analysis.json, plots as PNG and SVG)")
