"""The command that makes a trained LoRA smaller."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from msplora_search.cli_parts import AsJson, loading, print_json
from msplora_search.files import short
from msplora_search.stopping import ANEW, say_when_stopped
from msplora_search.text import brief


def compress(
    adapter: Annotated[Path, typer.Argument(help="Folder of a trained PEFT LoRA.", metavar="ADAPTER")],
    to: Annotated[Path, typer.Option(help="Folder for model/, compress.json and the plot.")],
    study: Annotated[
        str | None,
        typer.Option(
            help="Study file or name, with the LoRA's base model and task: its activations weigh the fit, its "
            "metric is told of the front, and logits are compared before anything is written.",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the study, such as model=my-folder.")
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Training examples whose activations weigh the fit; 0: all inputs count alike.")
    ] = 256,
    model: Annotated[
        str | None,
        typer.Option(help="Without a study: the base model, to compare logits on made-up inputs.", metavar="ID"),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(help="Relative error that the smallest pyramid may have; 0.1 by default."),
    ] = None,
    max_params: Annotated[
        int | None, typer.Option(help="Take the most exact pyramid of so many parameters instead.")
    ] = None,
    non_inferior: Annotated[
        str | None,
        typer.Option(
            help="Take the smallest that is at most D, or D%, worse than the LoRA by the study's metric, with a "
            "confidence of 95%.",
            metavar="D",
        ),
    ] = None,
    train: Annotated[
        float | None,
        typer.Option(help="Then train it so many epochs, such as 0.1, as the study says.", metavar="EPOCHS"),
    ] = None,
    merged: Annotated[bool, typer.Option("--merge", help="Write the merged model too.")] = False,
    ranks: Annotated[
        str | None,
        typer.Option(
            help="Ranks to try at every level, such as 0,2,8; by default 0 and its own, halved up to 3 times."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a trained PEFT LoRA into a small pyramid that computes nearly the same.

    Where it is stopped, nothing is written.

    Example: `msplora-search compress my-lora --study quickstart --non-inferior 0.01 --to small-lora`
    """
    from msplora_search.reporting.console import PlainTable, open_console, print_line

    def say(line: str) -> None:
        if not as_json:
            print_line(console, line)

    say_when_stopped(f"nothing was written, and {ANEW}")
    console = open_console()
    with nullcontext() if as_json else loading(console, "compressing ..."):
        from msplora_search.compression.choosing import Choice
        from msplora_search.compression.compressing import read_ranks
        from msplora_search.compression.delivering import Wish
        from msplora_search.compression.lora import read_lora
        from msplora_search.compression.placing import all_or_nothing
        from msplora_search.compression.sources import Sources
        from msplora_search.reporting.compressed import columns, outcome_lines, point_rows, write_compression

        choice, sources = Choice(max_error, max_params, non_inferior), Sources(study, assignments or [], model)
        choice.require(has_task=study is not None)
        sources.require(train is not None, merged)
        say("reading the adapter ...")
        lora = read_lora(adapter)
        wish = Wish(examples, read_ranks(ranks, lora.rank), train, merged)
        wish.require()
        with all_or_nothing(to) as part:
            found, outcome = sources.compressed(lora, choice, wish, part, say)
            told = write_compression(found, outcome, part)
    if as_json:
        print_json(told)
        return
    title = f"{brief(lora.name)}: {lora.params:,} parameters as LoRA"
    console.print()
    console.print(PlainTable(columns(outcome), point_rows(found, outcome), title))
    for line in outcome_lines(found, outcome, short(to / "model")):
        print_line(console, line)
