"""Options and printing that the commands share."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msplora_search.files import short
from msplora_search.text import UNWRITABLE, printable

if TYPE_CHECKING:
    from rich.console import Console

Output = Annotated[Path, typer.Argument(help="Output folder of a run.", metavar="OUTPUT")]
STORAGE_VARIABLE = "MSPLORA_SEARCH_STORAGE"
Storage = Annotated[
    str | None,
    typer.Option(
        help="Optuna storage URL; SQLite in the output folder by default. A password is safer in the environment: "
        "in the variable below, or where the database's own programs look for it (PGPASSWORD, ~/.pgpass).",
        envvar=STORAGE_VARIABLE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Trainings at a time, each in a process of its own; scale.workers of the study, or 1, by default."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Serve = Annotated[
    bool,
    typer.Option("--serve", help="Show report.html as it is at the time to this machine, until the search ends."),
]
ServeAlone = Annotated[
    bool,
    typer.Option(
        "--serve", help="Write nothing; show report.html as it is at the time to this machine, until Ctrl-C."
    ),
]
Port = Annotated[
    int | None, typer.Option(help="Where --serve shows it; a free port by default.", min=1, max=65_535)
]


def speak_plainly() -> None:
    """Let no output fail for a character that it cannot take, and no library talk beside this program.

    What the user asked of Python or of a library by its own variable stays.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=UNWRITABLE)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for name, value in QUIET.items():  # workers inherit it
        os.environ.setdefault(name, value)


QUIET = {"PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error", "DATASETS_VERBOSITY": "error"}
"""What libraries would print is for those who write programs with them."""


def wait_briefly() -> None:
    """Let threads that wait for each other soon give the processor to who can use it; the user's own word stays.

    By default they spin some tenths of a second, and beside one busy process a training took 3.2 times as long,
    beside four 6.8 to 8.4 times; so it is 2.1 and 4.2 times, and 4% longer on a quiet machine (two processors,
    `scripts/bench_busy.py`). Read by GNU's OpenMP when torch is loaded; workers inherit it.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "5000"


def print_error(message: object) -> None:
    """The one line that tells what was wrong."""
    sys.stderr.write(f"error: {printable(str(message))}\n")


def loading(console: Console, what: str) -> AbstractContextManager[object]:
    """Show on a terminal that something takes a while."""
    if not console.is_terminal:
        return nullcontext()
    return console.status(what, spinner="dots" if console.encoding.startswith("utf") else "line")


def port_of(serve: bool, port: int | None) -> int | None:
    """Where a page is to be served, 0 for a free port; None for nowhere. Raises InputError."""
    from msplora_search.errors import InputError

    if port is not None and not serve:
        raise InputError(f"--port {port}: is for --serve")
    return (port or 0) if serve else None


def page_beside(
    console: Console, port: int | None, output: Path, storage: str | None, given: str
) -> AbstractContextManager[Callable[[], None]]:
    """Serve the page of a search while it goes on; gives what is to be called at its end."""
    if port is None:
        return nullcontext(lambda: None)
    from msplora_search.reporting.console import print_line
    from msplora_search.reporting.live.beside import served_beside

    return served_beside(output, storage, given, port, lambda line: print_line(console, line, whole=True))


def print_json(data: dict[str, Any]) -> None:
    """For programs."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def typed(path: Path) -> str:
    """A path as it stands in a command that the user may type."""
    return shlex.quote(short(path))


def as_given(storage: str | None, context: typer.Context) -> str:
    """` --storage URL` for the next command: without its password, and not where the environment has it."""
    from msplora_search.search.store.address import hide_password

    source = context.get_parameter_source("storage")
    if storage is None or source is None or source.name != "COMMANDLINE":
        return ""
    return f" --storage {shlex.quote(hide_password(storage))}"
