"""How figures look in print: sizes, type, and colours that differ in hue, in lightness and in their markers.

Colours are those of Okabe and Ito (Color universal design, 2008), which people with any colour vision tell apart;
what is drawn in one always has a marker or a line of its own too, so that a grey print keeps it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
FRONT, PAPER, LORA, QUIET, INK = BLUE, VERMILLION, GREEN, "#8a8a8a", "#333333"


class Width(StrEnum):
    """Of a figure in a printed page."""

    ONE_COLUMN = "one-column"
    TWO_COLUMNS = "two-column"

    @property
    def inches(self) -> float:
        """As journals of two columns have it."""
        return 3.4 if self is Width.ONE_COLUMN else 7.0


class Look(NamedTuple):
    """How the points of one kind are drawn."""

    colour: str
    marker: str
    size: float = 4.5
    line: str | tuple[int, tuple[int, ...]] = "none"


LADDERS = (
    Look(LORA, "s", 4.0, "--"),
    Look(ORANGE, "D", 3.8, "-."),
    Look(PURPLE, "^", 4.5, ":"),
    Look(BLACK, "v", 4.5, (0, (5, 1, 1, 1, 1, 1))),
    Look(SKY, "P", 4.8, (0, (1, 2))),
)
"""One a ladder of plain LoRA; where there are more, those from the last on look alike."""
STUDIES = (
    Look(BLUE, "o", 4.5, "-"),
    Look(VERMILLION, "s", 4.0, "--"),
    Look(GREEN, "^", 4.8, "-."),
    Look(ORANGE, "D", 3.8, ":"),
    Look(PURPLE, "v", 4.8, (0, (5, 1, 1, 1, 1, 1))),
    Look(BLACK, "P", 4.8, (0, (1, 2))),
    Look(SKY, "X", 4.8, (0, (6, 2))),
)
"""One a study that shares its axes with others."""

PRINT: Any = {
    "svg.hashsalt": "msplora-search",  # the same study gives the same file
    "figure.dpi": 300,
    "figure.autolayout": False,  # what is laid out stays, whatever a user's own settings are
    "figure.constrained_layout.use": False,
    "pdf.fonttype": 42,  # letters stay letters, as publishers ask
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure is the same everywhere
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.3,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "hatch.linewidth": 0.4,
    "hatch.color": "#bbbbbb",
    "text.usetex": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
}
"""Settings of matplotlib under which every figure is made."""
