"""From a figure to its files: laid out once, and the same bytes for the same study."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from msplora_search.reporting.figures.style import PRINT
from msplora_search.text import brief

SUFFIXES = (".png", ".svg", ".pdf")
FOR_SCREENS = (".png", ".svg")
"""Of the figures of a report; `plot` makes a PDF of those that are wanted in print."""
SHORTEST = 8
"""Letters of a title that was cut."""
UNDATED: dict[str, Any] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


@contextmanager
def drawing() -> Iterator[None]:
    """How every figure is made: in the style of print, silent where a font lacks the script of a name."""
    with mpl.rc_context(PRINT), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def settle(figure: Figure) -> None:
    """Lay out a figure for good: what is placed by pixels from now on stays where it is.

    Titles are cut so that they are no wider than the axes, and the title above all no wider than the figure.
    """
    FigureCanvasAgg(figure)  # which keeps what measures texts; without it that is made for each of them
    if figure.get_suptitle():
        _cut(figure.texts[0], 0.97 * figure.bbox.width)
    engine = figure.get_layout_engine()
    assert engine is not None
    for _ in range(2):  # by about the room that axes will have, for a long title leaves them none; then by theirs
        for axes in figure.axes:
            for title in _titles(axes):
                _cut(title, axes.get_window_extent().width)
        engine.execute(figure)
    figure.set_layout_engine(None)  # "none" leaves a placeholder, for which `savefig` draws everything twice


def _titles(axes: Axes) -> list[Text]:
    said = axes.get_title(loc="left")
    texts = [text for text in axes.get_children() if isinstance(text, Text)]
    return [text for text in texts if said and text.get_text() == said]


def _cut(text: Text, room: float) -> None:
    """Shorten a text until it is no wider than so many pixels."""
    while len(text.get_text()) > SHORTEST and text.get_window_extent().width > room:
        text.set_text(brief(text.get_text(), max(SHORTEST, round(0.93 * len(text.get_text())) - 1)))


def save(figure: Figure, path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """Write the files of a figure, `path` with each suffix."""
    for suffix in suffixes:
        path.with_suffix(suffix).write_bytes(content(figure, suffix))


def content(figure: Figure, suffix: str) -> bytes:
    """A file's bytes."""
    file = io.BytesIO()
    figure.savefig(file, format=suffix.removeprefix("."), dpi="figure", metadata=UNDATED[suffix])
    return file.getvalue()
