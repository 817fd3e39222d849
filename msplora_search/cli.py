"""The commands. They parse and print, and leave every decision to the modules that they import late."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from msplora_search.search.summary import Summary

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Find the smallest MSPLoRA adapter that does the job: Pareto fronts of accuracy against parameters.",
)

Output = Annotated[Path, typer.Argument(help="Output folder of a run.", metavar="OUTPUT")]
Storage = Annotated[str | None, typer.Option(help="Optuna storage URL; SQLite in the output folder by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the program: bad input is one line and exit code 2, a stop by the user is 130."""
    from msplora_search.errors import InputError

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        app()
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == 130:  # what typer makes of Ctrl-C
            sys.stderr.write("stopped; the same command goes on from here\n")
        raise


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the study, such as search.trials=4.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Output folder; runs/NAME by default.")] = None,
    storage: Storage = None,
) -> None:
    """Search a study; the same command again goes on where it was.

    Example: `msplora-search run quickstart --set search.trials=40`
    """
    from msplora_search.reporting.terminal import search_display
    from msplora_search.settings import load_study

    settings = load_study(study, assignments or [])
    console = _console()
    with console.status("loading model and data ...") if console.is_terminal else _nothing():
        from msplora_search.search.study import run_study
    with search_display(console) as listen:
        folder = run_study(settings, output, storage, listen)
    summary = _write_report(folder, storage)
    _print_front(console, summary)
    _print(
        console,
        f"\nReport: {_short(folder / 'report' / 'report.md')} (also report.html, front.png, front.json)",
    )
    _print(
        console,
        f"Next:   msplora-search export {_short(folder)} --pick one-se --to {_short(folder / 'recipe')}",
    )


@app.command()
def status(output: Output, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show what ran, what runs, and the front so far.

    Example: `msplora-search status runs/quickstart`
    """
    from msplora_search.reporting.terminal import running_line, seconds_left
    from msplora_search.reporting.wording import duration
    from msplora_search.results.records import State
    from msplora_search.search.results import load_results
    from msplora_search.search.summary import summarise

    results = load_results(output, storage)
    summary = summarise(results)
    running = results.in_state(State.RUNNING)
    ended = [record for record in results.records if record.state != State.RUNNING]
    baselines, trials = results.facts["baselines"], results.settings.search.trials
    left = seconds_left(ended, baselines, trials)
    if as_json:
        _print_json({**summary.to_json(), "running": [r.number for r in running], "seconds_left": left})
        return
    console = _console()
    rest = f", about {duration(left)} left" if left else ""
    _print(console, f"{results.settings.name}: {len(ended)} of {baselines + trials} trials ended{rest}")
    for record in running:
        _print(console, f"running: {running_line(record)}")
    _print_front(console, summary)


@app.command()
def report(output: Output, storage: Storage = None) -> None:
    """Rebuild report, plots and tables from the storage alone.

    Example: `msplora-search report runs/quickstart`
    """
    summary = _write_report(output, storage)
    console = _console()
    _print_front(console, summary)
    _print(console, f"\nReport: {_short(output / 'report' / 'report.md')}")


@app.command()
def export(
    output: Output,
    to: Annotated[Path, typer.Option(help="Folder for recipe.yaml.")],
    pick: Annotated[
        str, typer.Option(help="best, knee, one-se, max-params=N, min-metric=X or trial=N.", metavar="RULE")
    ] = "one-se",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write the recipe of one front point for full training.

    Example: `msplora-search export runs/quickstart --pick max-params=20000 --to recipes/small`
    """
    from msplora_search.full.recipe import recipe_of, write_recipe
    from msplora_search.full.selection import pick as pick_point
    from msplora_search.search.results import load_results
    from msplora_search.search.summary import summarise

    results = load_results(output, storage)
    chosen = pick_point(summarise(results), pick)
    recipe = recipe_of(results, chosen)
    path = write_recipe(recipe, to)
    if as_json:
        _print_json({"recipe": str(path), **recipe["chosen"], "pyramid": recipe["pyramid"]})
        return
    point, console = chosen.point, _console()
    _print(
        console,
        f"trial {point.record.number}: {point.record.pyramid}, {point.params:,} parameters, "
        f"{point.metric:.4f} ± {point.record.final.metric_se:.4f}",
    )
    _print(console, f"why: {chosen.reason}")
    _print(console, f"wrote {_short(path)}")


@app.command()
def params(
    model: Annotated[
        str, typer.Argument(help="config.json, model folder, id, demo:NAME, or a bare architecture.")
    ],
    ranks: Annotated[str, typer.Option(help="Ranks global/mid/layer.")] = "8/4/2",
    groups: Annotated[str, typer.Option(help="Parts of the depth, such as 40/40/20.")] = "33/33/33",
    targets: Annotated[str, typer.Option(help="Module name suffixes, separated by commas.")] = "query,value",
    as_json: AsJson = False,
) -> None:
    """Count adapter parameters in closed form, beside LoRA's; no weights are loaded.

    Example: `msplora-search params roberta --ranks 8/4/2 --groups 33/33/33`
    """
    from msplora_search.adapters.census import count_beside_lora

    found = count_beside_lora(model, ranks, groups, targets.split(","))
    if as_json:
        _print_json(found.to_json())
        return
    console = _console()
    _print(
        console,
        f"{model}: {found.layers} layers in {found.stack}, targets {', '.join(found.pyramid.targets)}",
    )
    _print(console, f"pyramid {found.pyramid}: {found.adapter_params:,} adapter parameters")
    for rank, count in found.lora.items():
        _print(console, f"LoRA r={rank}: {count:,} ({count / found.adapter_params:.2f} times the pyramid)")


@app.command()
def validate(
    files: Annotated[list[str], typer.Argument(help="Study and space files.")],
) -> None:
    """Check study and space files.

    Example: `msplora-search validate studies/*.yaml spaces/*.yaml`
    """
    from msplora_search.errors import InputError
    from msplora_search.settings import StudySettings, check_file

    console, failed = _console(), False
    for file in files:
        try:
            found = check_file(file)
        except InputError as error:
            sys.stderr.write(f"error: {error}\n")
            failed = True
        else:
            _print(console, f"{file}: a valid {'study' if isinstance(found, StudySettings) else 'space'}")
    if failed:
        raise typer.Exit(2)


def _write_report(output: Path, storage: str | None) -> Summary:
    from msplora_search.reporting.report import write_report
    from msplora_search.search.results import load_results
    from msplora_search.search.summary import summarise

    summary = summarise(load_results(output, storage))
    write_report(summary, output)
    return summary


def _print_front(console: Console, summary: Summary) -> None:
    from msplora_search.reporting.terminal import table_of
    from msplora_search.reporting.wording import (
        FRONT_COLUMNS,
        comparisons,
        cost_sentence,
        front_rows,
        verdict,
    )

    metric = summary.results.settings.task.metric
    columns = [metric if column == "metric" else column for column in FRONT_COLUMNS]
    console.print()
    console.print(table_of(columns, front_rows(summary), title=f"Front of {summary.results.settings.name}"))
    for sentence in ("", verdict(summary), *comparisons(summary), cost_sentence(summary)):
        _print(console, sentence)


def _console() -> Console:
    from rich.console import Console

    # A pipe has no width: tables must not be cut there.
    return Console(width=None if sys.stdout.isatty() else 160)


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def _print_json(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def _short(path: Path) -> str:
    """A path as the user would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
