"""From a figure to its files: laid out once, and the same bytes for the same study."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from msplora_search.reporting.figures.style import PRINT

SUFFIXES = (".png", ".svg", ".pdf")
UNDATED: dict[str, Any] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


@contextmanager
def drawing() -> Iterator[None]:
    """How every figure is made: in the style of print, silent where a font lacks the script of a name."""
    with mpl.rc_context(PRINT), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def settle(figure: Figure) -> None:
    """Lay out a figure for good: what is placed by pixels from now on stays where it is."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save(figure: Figure, path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """Write the files of a figure, `path` with each suffix."""
    for suffix in suffixes:
        path.with_suffix(suffix).write_bytes(content(figure, suffix))


def content(figure: Figure, suffix: str) -> bytes:
    """A file's bytes."""
    file = io.BytesIO()
    figure.savefig(file, format=suffix.removeprefix("."), dpi="figure", metadata=UNDATED[suffix])
    return file.getvalue()
