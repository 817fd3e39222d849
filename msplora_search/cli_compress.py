"""The command that makes a trained LoRA smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msplora_search.cli_parts import AsJson, loading, print_json
from msplora_search.files import short


def compress(
    adapter: Annotated[Path, typer.Argument(help="Folder of a trained PEFT LoRA.", metavar="ADAPTER")],
    to: Annotated[Path, typer.Option(help="Folder for pyramid/, peft/, compress.json and the plot.")],
    max_error: Annotated[
        float, typer.Option(help="Relative error of the updates that the smallest pyramid may have.")
    ] = 0.1,
    max_params: Annotated[
        int | None, typer.Option(help="Take the most exact pyramid of so many parameters instead.")
    ] = None,
    ranks: Annotated[
        str | None,
        typer.Option(
            help="Ranks to try at every level, such as 0,2,8; by default 0 and its own, halved up to 3 times."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a trained PEFT LoRA into the smallest pyramid that computes nearly the same; no base model is loaded.

    Example: `msplora-search compress my-lora --to small-lora --max-error 0.1`
    """
    from msplora_search.reporting.console import PlainTable, open_console, print_line

    console = open_console()
    with loading(console, "fitting pyramids ..."):
        from msplora_search.compression.compressing import compress as compress_lora
        from msplora_search.compression.compressing import read_ranks, require_bounds
        from msplora_search.compression.lora import read_lora
        from msplora_search.compression.writing import write_point
        from msplora_search.reporting.compressed import COLUMNS, point_rows, verdict, write_compression

        require_bounds(max_error, max_params, to)
        lora = read_lora(adapter)
        found = compress_lora(lora, read_ranks(ranks, lora.rank))
        chosen = found.picked(max_error, max_params)
        apart = write_point(found, chosen, to)
        told = write_compression(found, chosen, apart, to)
    if as_json:
        print_json(told)
        return
    console.print(PlainTable(COLUMNS, point_rows(found), title=f"{lora.params:,} parameters as LoRA"))
    print_line(console, f"{verdict(found)[0].upper()}{verdict(found)[1:]}.")
    print_line(console, "Error of the updates alone: every input direction counts alike, no data were looked at.")
    print_line(
        console,
        f"Written: {chosen.ranks}, {chosen.params:,} parameters, relative error {chosen.error:.2%}, in "
        f"{short(to / 'pyramid')} (shared) and {short(to / 'peft')} (stock PEFT; updates apart by {apart:.0e})",
    )
