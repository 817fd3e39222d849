"""Options and printing that the commands share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Output = Annotated[Path, typer.Argument(help="Output folder of a run.", metavar="OUTPUT")]
Storage = Annotated[str | None, typer.Option(help="Optuna storage URL; SQLite in the output folder by default.")]
Workers = Annotated[int, typer.Option(help="Trainings at a time, each in a process of its own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_console() -> Console:
    """Where the commands print."""
    from rich.console import Console

    # A pipe has no width: tables must not be cut there.
    return Console(width=None if sys.stdout.isatty() else 160)


def print_line(console: Console, line: str) -> None:
    """One line as it stands; wrapped on a terminal only."""
    console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def print_json(data: dict[str, Any]) -> None:
    """For programs."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def short(path: Path) -> str:
    """A path as the user would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def nothing() -> Any:
    """A context that does nothing."""
    from contextlib import nullcontext

    return nullcontext()
