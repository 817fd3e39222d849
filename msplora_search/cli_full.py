"""The commands that lead from a front to a model in service: export, train, confirm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msplora_search.cli_parts import AsJson, Output, Storage, as_given, print_json
from msplora_search.files import short
from msplora_search.stopping import GOES_ON, say_when_stopped


def export(
    output: Output,
    to: Annotated[Path, typer.Option(help="Folder for recipe.yaml.")],
    pick: Annotated[
        str,
        typer.Option(
            help="best, knee, one-se, non-inferior=D (or D%), max-params=N, max-cost=N, min-metric=X, fastest, "
            "smallest-export or trial=N.",
            metavar="RULE",
        ),
    ] = "one-se",
    for_model: Annotated[
        str | None, typer.Option(help="Carry the pyramid to another model by its depth fractions.", metavar="ID")
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write the recipe of one front point for full training.

    Example: `msplora-search export runs/quickstart --pick max-params=20000 --to recipes/small`
    """
    from msplora_search.full.recipe import carry_over, recipe_of, write_recipe
    from msplora_search.full.selection import pick as pick_point
    from msplora_search.search.results import load_results
    from msplora_search.search.summary import summarise

    results = load_results(output, storage)
    chosen = pick_point(summarise(results), pick)
    recipe = recipe_of(results, chosen)
    if for_model:
        recipe = carry_over(recipe, for_model)
    path = write_recipe(recipe, to)
    if as_json:
        told = {"recipe": str(path), **recipe["chosen"], "neighbours": list(chosen.neighbours)}
        print_json({**told, "pyramid": recipe["pyramid"]})
        return
    from msplora_search.reporting.console import open_console, print_line

    point, console = chosen.point, open_console()
    print_line(
        console,
        f"trial {point.record.number}: {point.record.pyramid}, {point.record.size}, "
        f"{point.metric:.4f} ± {point.measure.metric_se:.4f}",
    )
    if costs := point.record.costs:
        print_line(console, f"served unmerged: {costs.served}")
    print_line(console, f"why: {chosen.reason}")
    for line in chosen.neighbours:
        print_line(console, line)
    if for_model:
        from msplora_search.design.pyramid import Pyramid

        carried, count = Pyramid.from_json(recipe["pyramid"]), recipe["chosen"]["adapter_params"]
        print_line(console, f"carried to {for_model}: {carried}, {count:,} parameters")
    print_line(console, f"wrote {short(path)}")


def train(
    recipe: Annotated[str, typer.Argument(help="recipe.yaml, or the folder that export wrote.")],
    output: Annotated[Path | None, typer.Option(help="Output folder; trained/NAME by default.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe, such as training.epochs=3.")
    ] = None,
    merged: Annotated[bool, typer.Option("--merge", help="Write the merged model too.")] = False,
    gguf: Annotated[
        bool, typer.Option("--gguf", help="Write the adapter of a language model for llama.cpp too.")
    ] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write the merged model for onnxruntime too, checked by it.")
    ] = False,
    measured: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure latency and memory of what is delivered.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Train a recipe in full; the same command again goes on from the last checkpoint.

    Runs under `torchrun` and `accelerate launch` unchanged.

    Example: `msplora-search train recipes/small --output trained/small --merge`
    """
    from msplora_search.settings.recipe import load_recipe

    say_when_stopped(GOES_ON)
    read = load_recipe(recipe, assignments or [])
    folder = output or Path("trained") / read.name
    from msplora_search.full.delivery import train_and_deliver
    from msplora_search.full.forms.all import wanted

    further = wanted(gguf, onnx)
    done = train_and_deliver(read, folder, merged, further, measured)
    if done is None:  # another process of the same training writes
        return
    if as_json:
        print_json({**done.to_json(), "folder": str(done.folder)})
        return
    from msplora_search.reporting.console import open_console, print_line

    console, (low, high) = open_console(), done.interval
    metric = f"{read.task.metric_label} {done.metric:.4f} on the test part, 95% interval {low:.4f} to {high:.4f}"
    print_line(console, f"{read.name}: {metric}")
    print_line(
        console, f"{done.trained_params:,} trained adapter parameters; {done.unrolled_params:,} as stock LoRA"
    )
    if done.costs is not None:
        print_line(console, f"served unmerged: {done.costs.served}")
    if done.serving is not None:
        print_line(console, done.serving.told)
    print_line(console, f"tied, PEFT and merged model agree within {done.apart:.1e}")
    folders = ["pyramid", "peft", *(["merged"] if merged else []), *(form.name for form in further)]
    print_line(console, f"wrote {short(done.folder)} ({', '.join(f'{name}/' for name in folders)}, README.md)")


def confirm(
    context: typer.Context,
    output: Output,
    seeds: Annotated[
        int, typer.Option(help="Full trainings of each point, with seeds that the search had not.")
    ] = 3,
    rates: Annotated[
        str | None,
        typer.Option(
            help="Train each point at each of these learning rates, such as 5e-4,1e-3, and keep the better, by "
            "validation rows of its own. Default: training.learning_rate alone.",
            metavar="R1,R2",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change how all are trained, such as training.epochs=3.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Trainings at a time, each in a process of its own.")] = 1,
    measured: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure latency and memory of each point once.")
    ] = True,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Retrain the front, its contenders and the baselines in full on the untouched test part.

    The same command goes on where it was stopped.

    Example: `msplora-search confirm runs/quickstart --seeds 3 --rates 5e-4,1e-3 --set training.epochs=5`
    """
    from msplora_search.full.confirm import confirm as confirm_front
    from msplora_search.full.confirm import read_rates
    from msplora_search.full.jobs import OneTraining, Planned
    from msplora_search.reporting.confirmation import (
        confirmation_lines,
        plan_line,
        told_of,
        training_line,
        write_confirmation,
    )
    from msplora_search.reporting.console import open_console, print_line
    from msplora_search.reporting.report import write_report
    from msplora_search.search.results import load_results
    from msplora_search.search.summary import summarise

    say_when_stopped(GOES_ON)
    console, tried = open_console(), read_rates(rates) if rates is not None else []

    def tell(event: Planned | OneTraining) -> None:
        if not as_json:
            print_line(console, plan_line(event) if isinstance(event, Planned) else training_line(event))

    found = confirm_front(
        load_results(output, storage), output, seeds, tell, workers, assignments or [], tried, measured
    )
    told = told_of(found)
    path = write_confirmation(told, output)
    write_report(summarise(found.results), output, as_given(storage, context))
    if as_json:
        print_json(told)
        return
    for line in ("", *confirmation_lines(told)):
        print_line(console, line)
    print_line(console, f"wrote {short(path)} (also confirm.png, confirm.json; the report shows them too)")
