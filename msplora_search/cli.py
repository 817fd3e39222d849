"""The commands. They parse and print, and leave every decision to the modules that they import late."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from msplora_search import cli_analyze, cli_check, cli_compress, cli_full, cli_plot
from msplora_search.cli_parts import (
    STORAGE_VARIABLE,
    AsJson,
    Output,
    Port,
    Serve,
    ServeAlone,
    Storage,
    Workers,
    as_given,
    loading,
    page_beside,
    port_of,
    print_error,
    print_json,
    speak_plainly,
    typed,
    wait_briefly,
)
from msplora_search.files import short
from msplora_search.stopping import GOES_ON, last_signal, listen_for_signals, said_when_stopped, say_when_stopped

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


def main() -> None:
    """Run the program: bad input is one line and exit code 2; a stop is 130 by the user, 143 by the system.

    A search that ends for its trials fail is 1.
    """
    from msplora_search.errors import InputError, WorkerStoppedError

    listen_for_signals()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    wait_briefly()
    speak_plainly()
    code = 0
    try:
        code = app(standalone_mode=False) or 0
    except InputError as error:
        print_error(error)
        code = 2
    except WorkerStoppedError as error:
        print_error(error)
        code = 1
    except Usage as error:
        _explain(error)
        code = 2
    except typer.Abort:
        print_error("stopped: the input ended")
        code = 1
    if code == 130:  # what typer makes of KeyboardInterrupt
        sys.stderr.write(f"stopped; {said_when_stopped()}\n")
        code = 128 + (last_signal() or signal.SIGINT)
    gc.freeze()  # what is left goes with the process; to look through it takes half a second
    sys.exit(code)


Usage = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
"""What typer raises for a command line that it cannot read; it does not export the name."""


def _explain(error: typer.BadParameter) -> None:
    """A wrong command line in one line; where there were no words at all, typer has printed the help."""
    if message := error.format_message():
        command = error.ctx.command_path if error.ctx else "msplora-search"
        print_error(f"{message.rstrip('.')}; {command} --help tells what it takes")


@app.command()
def run(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the study, such as search.trials=4.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Output folder; runs/NAME by default.")] = None,
    storage: Storage = None,
    workers: Workers = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Who starts the workers: this machine, or a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(help="Of the Ray cluster; by default that of RAY_ADDRESS, else one is started here."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Train again what failed, divergence and scale.trial_time included. What failed for want of "
            "memory or disk, and baselines, are tried again in any case.",
        ),
    ] = False,
    serve: Serve = False,
    port: Port = None,
) -> None:
    """Search a study; the same command again goes on where it was.

    Example: `msplora-search run quickstart --set search.trials=40`
    """
    from msplora_search.reporting.console import open_console
    from msplora_search.reporting.terminal import search_display
    from msplora_search.settings import load_study

    say_when_stopped(GOES_ON)
    place = port_of(serve, port)
    settings = load_study(study, assignments or [])
    console = open_console()
    with loading(console, "loading model and data ..."):
        from msplora_search.full.checks import require_training
        from msplora_search.scale.engines import run_on
        from msplora_search.search.study import output_of
    gc.freeze()  # what was imported stays: to look through it again and again is a fifth of a proposal
    require_training(settings)
    folder, given = output_of(settings, output), as_given(storage, context)
    with page_beside(console, place, folder, storage, given) as ended:
        with search_display(console) as listen:
            run_on(engine, settings, output, storage, workers, ray_address, listen, retry_failed)
        ended()
        _conclude(console, folder, storage, given)


def _conclude(console: Console, folder: Path, storage: str | None, given: str) -> None:
    """Write and print what a search found, and what to type next."""
    from msplora_search.reporting.console import print_line
    from msplora_search.reporting.terminal import print_front
    from msplora_search.reporting.wording import nothing_completed

    summary = _write_report(folder, storage, given)
    print_front(console, summary)
    print_line(console, "")
    print_line(
        console,
        f"Report: {short(folder / 'report' / 'report.md')} (also report.html, front.png, front.json)",
    )
    if not summary.points:
        print_error(nothing_completed(summary))
        raise typer.Exit(1)
    if not summary.front:  # what was measured has more than search.max_params
        return
    print_line(
        console,
        f"Next:   msplora-search export {typed(folder)} --pick one-se --to {typed(folder / 'recipe')}{given}",
        whole=True,
    )


@app.command()
def worker(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")],
    storage: Storage = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the study, as `run` was told.")
    ] = None,
    workers: Workers = None,
) -> None:
    """Help a search on a database that other machines reach, until nothing is left to begin.

    Example: `msplora-search worker study.yaml --storage postgresql+psycopg://user@host/name`
    """
    from msplora_search.errors import InputError
    from msplora_search.reporting.console import open_console
    from msplora_search.reporting.terminal import search_display
    from msplora_search.settings import load_study

    if storage is None:
        raise InputError(
            "--storage: is missing; give the database that the search has, such as "
            f"postgresql+psycopg://user@host/name, or set {STORAGE_VARIABLE}"
        )
    say_when_stopped(GOES_ON)
    settings = load_study(study, assignments or [])
    console = open_console()
    with loading(console, "loading model and data ..."):
        from msplora_search.scale.search import join_search
    gc.freeze()
    with search_display(console) as listen:
        join_search(settings, storage, workers, listen)


@app.command()
def status(
    output: Output,
    storage: Storage = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again whenever it changed, until nobody is at work.")
    ] = False,
) -> None:
    """Show what ran, what runs, and the front so far.

    Example: `msplora-search status runs/quickstart --watch`
    """
    from msplora_search.errors import InputError
    from msplora_search.reporting.console import open_console
    from msplora_search.reporting.status import print_status, running_in, seconds_left_of, watch_status
    from msplora_search.search.results import load_results
    from msplora_search.search.store.folder import is_running
    from msplora_search.search.store.stored import much_made
    from msplora_search.search.summary import summarise

    def look() -> tuple[Summary, bool]:
        with much_made():
            results = load_results(output, storage)
            return summarise(results), bool(running_in(results)) or (storage is None and is_running(output))

    if as_json and watch:
        raise InputError("--watch: is for people; leave it out, or --json")
    if watch:
        watch_status(open_console(), look)
        return
    summary, _ = look()
    if as_json:
        results = summary.results
        now = {
            "running": [record.number for record in running_in(results)],
            "interrupted": list(results.interrupted),
        }
        print_json({**summary.to_json(), **now, "seconds_left": seconds_left_of(results)})
        return
    print_status(open_console(), summary)


@app.command()
def report(
    context: typer.Context,
    output: Output,
    storage: Storage = None,
    serve: ServeAlone = False,
    port: Port = None,
) -> None:
    """Rebuild report, plots and tables from the storage alone.

    Example: `msplora-search report runs/quickstart`
    """
    from msplora_search.reporting.console import open_console, print_line
    from msplora_search.reporting.terminal import print_front

    console, given, place = open_console(), as_given(storage, context), port_of(serve, port)
    if place is not None:
        from msplora_search.reporting.live.serving import serve_study

        serve_study(output, storage, given, place, lambda line: print_line(console, line, whole=True))
        return
    summary = _write_report(output, storage, given)
    print_front(console, summary)
    print_line(console, "")
    print_line(console, f"Report: {short(output / 'report' / 'report.md')}")


for command in (
    cli_full.export, cli_full.train, cli_full.confirm, cli_compress.compress, cli_plot.plot, cli_plot.table,
    cli_check.params, cli_check.validate, cli_check.explain, cli_analyze.analyze,
):  # fmt: skip
    app.command()(command)


def _write_report(output: Path, storage: str | None, given: str) -> Summary:
    from msplora_search.reporting.report import write_report
    from msplora_search.search.results import load_results
    from msplora_search.search.store.stored import much_made
    from msplora_search.search.summary import summarise

    with much_made():  # nothing of a study is garbage before its report is there
        summary = summarise(load_results(output, storage))
        write_report(summary, output, given)
    return summary
