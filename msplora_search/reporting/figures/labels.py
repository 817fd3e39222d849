"""Places for labels beside their points: none on another, few on what is drawn, and the same ones every time.

A greedy choice: each label, the most important first, takes the best of some places around its point (Christensen,
Marks and Shieber, An empirical study of algorithms for point-feature label placement, 1995, compare such rules).
A label that finds no free place is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from msplora_search.results.pareto import Floats

DIRECTIONS = ((0, 1), (1, 1), (-1, 1), (1, 0), (-1, 0), (0, -1), (1, -1), (-1, -1))
"""From a point to its label, the best first."""
DISTANCES = (3.5, 7.0, 12.0, 18.0, 26.0)
"""Points of print between them."""
STRANGER = 1.5
"""What it costs a label to stand nearer to another's point than to its own."""
LED = 12.0
"""From this distance on a line leads from the label to its point."""
HALO = [withStroke(linewidth=1.6, foreground="white")]
"""So that what a label covers does not cross its letters."""


class Box(NamedTuple):
    """A rectangle, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether they share more than an edge."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.top <= other.bottom or other.top <= self.bottom)

    def distance(self, point: tuple[float, float]) -> float:
        """To a point; 0 where that lies within."""
        aside = max(self.left - point[0], 0.0, point[0] - self.right)
        return math.hypot(aside, max(self.bottom - point[1], 0.0, point[1] - self.top))

    def within(self, other: Box) -> bool:
        """Whether nothing of it lies outside."""
        across = self.left >= other.left and self.right <= other.right
        return across and self.bottom >= other.bottom and self.top <= other.top


class Place(NamedTuple):
    """Of a label."""

    box: Box
    distance: float
    """Points of print from its point."""


@dataclass(frozen=True)
class Label:
    """What is to stand beside a point."""

    text: str
    at: tuple[float, float]
    """In the data of the axes."""
    colour: str


@dataclass(frozen=True)
class Obstacle:
    """What a label had better not cover, the less the more it weighs."""

    boxes: tuple[Box, ...]
    weight: float


class Cover(NamedTuple):
    """Many obstacles, and what it costs a label to cover them."""

    boxes: Floats
    """Of all of them, (4, boxes): left, bottom, right and top."""
    owners: NDArray[np.int64]
    """Of each box, (boxes,): the place of its obstacle."""
    weights: Floats
    """(obstacles,)"""

    @classmethod
    def of(cls, obstacles: Sequence[Obstacle]) -> Cover:
        """All of them."""
        return cls(
            boxes=np.array([box for obstacle in obstacles for box in obstacle.boxes]).reshape(-1, 4).T,
            owners=np.repeat(np.arange(len(obstacles)), [len(obstacle.boxes) for obstacle in obstacles]),
            weights=np.array([obstacle.weight for obstacle in obstacles]),
        )

    def within(self, box: Box) -> Cover:
        """What of it a label could meet there."""
        left, bottom, right, top = self.boxes
        met = (box.left < right) & (left < box.right) & (box.bottom < top) & (bottom < box.top)
        return Cover(self.boxes[:, met], self.owners[met], self.weights)

    def cost(self, box: Box) -> float:
        """Of a label there: the weights of all that it meets."""
        return math.fsum(self.weights[np.unique(self.within(box).owners)])


def place(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Obstacle],
    within: Box,
    pixels: float,
) -> list[Place | None]:
    """A place for each label, (width, height) beside its anchor, in pixels; None where it finds none.

    `pixels`: in a point of print.
    """
    found: list[Place | None] = []
    taken, cover = list[Box](), Cover.of(obstacles)
    for i, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        others = [*anchors[:i], *anchors[i + 1 :]]
        best = _best(anchor, others, size, cover, within, taken, pixels)
        found.append(best)
        if best is not None:
            taken.append(best.box)
    return found


def _best(
    anchor: tuple[float, float],
    others: Sequence[tuple[float, float]],
    size: tuple[float, float],
    cover: Cover,
    within: Box,
    taken: Sequence[Box],
    pixels: float,
) -> Place | None:
    best, least = None, float("inf")
    reach = DISTANCES[-1] * pixels
    cover = cover.within(_around(anchor, reach + size[0], reach + size[1]))
    for far, distance in enumerate(DISTANCES):
        for turn, direction in enumerate(DIRECTIONS):
            box = _beside(anchor, size, direction, distance * pixels)
            if not box.within(within) or any(box.meets(other) for other in taken):
                continue
            cost = far + 0.1 * turn + cover.cost(box)
            cost += STRANGER * any(box.distance(other) < box.distance(anchor) for other in others)
            if cost < least:
                best, least = Place(box, distance), cost
    return best


def _around(anchor: tuple[float, float], aside: float, above: float) -> Box:
    return Box(anchor[0] - aside, anchor[1] - above, anchor[0] + aside, anchor[1] + above)


def _beside(
    anchor: tuple[float, float], size: tuple[float, float], direction: tuple[int, int], distance: float
) -> Box:
    (x, y), (width, height), (right, up) = anchor, size, direction
    slant = distance * (0.9 if right and up else 1.0)
    left = x + right * slant - (width / 2 if not right else width if right < 0 else 0)
    bottom = y + up * slant - (height / 2 if not up else height if up < 0 else 0)
    return Box(left, bottom, left + width, bottom + height)


def write_labels(axes: Axes, labels: Sequence[Label], obstacles: Sequence[Obstacle], size: float) -> None:
    """Write labels, the most important first, into axes whose layout is final. `size`: of the type, in points."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    pixels = figure.dpi / 72
    anchors = [(float(x), float(y)) for x, y in (axes.transData.transform(label.at) for label in labels)]
    texts = [
        axes.annotate(label.text, label.at, xytext=(0, 0), textcoords="offset points", fontsize=size,
                      color=label.colour, ha="left", va="bottom", zorder=6, path_effects=HALO)
        for label in labels
    ]  # fmt: skip
    extents = [text.get_window_extent() for text in texts]
    sizes = [(extent.width + pixels, extent.height) for extent in extents]
    places = place(anchors, sizes, obstacles, Box(*axes.get_window_extent().extents), pixels)
    for label, text, anchor, found in zip(labels, texts, anchors, places, strict=True):
        if found is None:
            text.remove()
            continue
        text.set_position(((found.box.left - anchor[0]) / pixels, (found.box.bottom - anchor[1]) / pixels))
        if found.distance >= LED:
            _lead(axes, label, found.box, anchor, pixels)


def _lead(axes: Axes, label: Label, box: Box, anchor: tuple[float, float], pixels: float) -> None:
    """Draw a line from the edge of a label to its point."""
    x = min(max(anchor[0], box.left), box.right)
    y = min(max(anchor[1], box.bottom), box.top)
    axes.annotate(
        "", label.at, xytext=((x - anchor[0]) / pixels, (y - anchor[1]) / pixels), textcoords="offset points",
        zorder=1.9, arrowprops={"arrowstyle": "-", "color": label.colour, "linewidth": 0.4, "shrinkA": 0,
                                "shrinkB": 2},
    )  # fmt: skip
