"""The commands that look at files and models, and search nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from msplora_search.cli_parts import AsJson, print_error, print_json

if TYPE_CHECKING:
    from msplora_search.settings import StudySettings


def params(
    model: Annotated[
        str, typer.Argument(help="config.json, model folder, id, demo:NAME, or a bare architecture.")
    ],
    ranks: Annotated[str, typer.Option(help="Ranks global/mid/layer.")] = "8/4/2",
    groups: Annotated[str, typer.Option(help="Parts of the depth, such as 40/40/20.")] = "33/33/33",
    targets: Annotated[
        str, typer.Option(help="Roles or module name suffixes, separated by commas.")
    ] = "query,value",
    as_json: AsJson = False,
) -> None:
    """Count adapter parameters in closed form, beside LoRA's; no weights are loaded.

    Example: `msplora-search params roberta --ranks 8/4/2 --groups 33/33/33`
    """
    from msplora_search.adapters.census import count_beside_lora
    from msplora_search.reporting.console import open_console, print_line
    from msplora_search.tasks.demo import without_demo_names

    found = count_beside_lora(without_demo_names(model), ranks, groups, targets.split(","))
    if as_json:
        print_json(found.to_json())
        return
    console = open_console()
    print_line(
        console,
        f"{model}: {found.layers} layers in {found.stack}, targets {', '.join(found.pyramid.targets)}",
    )
    print_line(console, f"pyramid {found.pyramid}: {found.adapter_params:,} adapter parameters")
    for rank, count in found.lora.items():
        print_line(console, f"LoRA r={rank}: {count:,} ({count / found.adapter_params:.2f} times the pyramid)")


def validate(
    files: Annotated[list[str], typer.Argument(help="Study and space files.")],
    no_files: Annotated[
        bool, typer.Option("--no-files", help="Check the text alone: no data, no model, no connection.")
    ] = False,
) -> None:
    """Check study and space files, and that a study's data, columns, test part and model are there and fit.

    Example: `msplora-search validate studies/*.yaml spaces/*.yaml`
    """
    from msplora_search.errors import InputError
    from msplora_search.reporting.console import open_console, print_line
    from msplora_search.settings import StudySettings, check_file

    console, failed = open_console(), False
    for file in files:
        facts: list[str] = []
        problems: list[str] = []
        try:
            found = check_file(file)
            if isinstance(found, StudySettings) and not no_files:
                facts, problems = _looked_at(found)
        except InputError as error:
            problems = [str(error)]
        for problem in problems:
            print_error(problem)
        if problems:
            failed = True
            continue
        print_line(console, f"{file}: a valid {'study' if isinstance(found, StudySettings) else 'space'}")
        for fact in facts:
            print_line(console, f"  {fact}")
    if failed:
        raise typer.Exit(2)


def explain(
    field: Annotated[str, typer.Argument(help="A field or section of a study, such as search.trials.")] = "",
) -> None:
    """Tell what a field of a study is, what may be written, and what it is by default.

    Example: `msplora-search explain search.sampler`
    """
    from msplora_search.reporting.console import open_console, print_line
    from msplora_search.settings.explaining import explained

    console, found = open_console(), explained(field)
    if found.fields:
        print_line(console, f"{found.name}: {found.text}" if found.name else found.text)
    for told in map(explained, found.fields or (field,)):
        print_line(console, told.name)
        if not told.fields:
            print_line(console, f"  {told.takes}; {told.unless}")
        print_line(console, f"  {told.text}")
        if told.background and told.name != found.name:
            print_line(console, f"  More: msplora-search explain {told.name}")
    for paragraph in found.background:
        print_line(console, "")
        print_line(console, paragraph)


def _looked_at(study: StudySettings) -> tuple[list[str], list[str]]:
    """Facts and problems of what a study names."""
    from msplora_search.full.checks import check_study

    found = check_study(study)
    return found.facts, found.problems
