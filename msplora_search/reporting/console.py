"""Prints lines and tables on whatever the program's output is: foreign text in them is shown, never acted on."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from msplora_search.text import fitting, printable

PIPE_WIDTH = 100_000
"""A pipe has no width: there a row is one line, however long."""
GAP = 2
"""Columns between two columns of a table."""
LEAST_WIDE = 10
"""Narrowest that the column of text may be; on a screen without room for it a table is a list."""


def open_console() -> Console:
    """Where the commands print."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, markup=False, emoji=False, highlight=False)


def print_line(console: Console, line: str, whole: bool = False) -> None:
    """One line as it stands; wrapped at words on a terminal only, and not there either where it stays `whole`."""
    console.print(plain(line, console.encoding), soft_wrap=whole or not console.is_terminal)


def plain(line: str, encoding: str, style: str = "") -> Text:
    """One line without markup, of characters that the output can take."""
    return Text(fitting(printable(line), encoding), style=style)


@dataclass(frozen=True)
class PlainTable:
    """A table of short columns beside one of text, the second; it fits any width, and no number is ever cut.

    With too little room the headings are split at words, the text is folded, and at last each row becomes
    a list of its cells.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        """What rich prints in the width that there is."""
        columns, *rows = [
            [fitting(printable(cell), options.encoding) for cell in row] for row in (self.columns, *self.rows)
        ]
        yield plain(self.title, options.encoding, style="bold italic")
        if _width([columns, *rows]) <= options.max_width:
            yield _table(columns, rows)
            return
        heads = [_split(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
        heads[1] = columns[1]
        left = options.max_width - _width([[row[0], "", *row[2:]] for row in (heads, *rows)])
        if left >= LEAST_WIDE:
            folded = [[row[0], fold(row[1], left), *row[2:]] for row in (heads, *rows)]
            yield _table(folded[0], folded[1:])
            return
        for row in rows:
            yield Text(f"{columns[0]} {row[0]}", style="bold")
            for column, cell in zip(columns[1:], row[1:], strict=True):
                yield Text(fold(f"  {column}: {cell}", options.max_width))


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Of a table whose cells are not folded."""
    widest = [
        max(cell_len(line) for cell in column for line in cell.split("\n")) for column in zip(*rows, strict=True)
    ]
    return sum(widest) + GAP * (len(widest) - 1)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Text to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP // 2), header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if i < 2 else "right", no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _split(heading: str, cells: Sequence[str]) -> str:
    """A heading that is wider than what stands below it, in several lines."""
    widest = max((cell_len(cell) for cell in cells), default=0)
    return heading if cell_len(heading) <= widest else re.sub(r"(?<=-)(?=\w)| ", "\n", heading)


def fold(text: str, width: int) -> str:
    """Lines of at most `width`, broken after spaces, commas and slashes, so that no number is torn apart."""
    lines = [""]
    for piece in re.findall(r"[^ ,/]*[ ,/]?", text):
        if lines[-1] and cell_len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
