"""Depth groups, and how boundaries given as fractions become layer indices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from msplora_search.text import shown

MOST_LAYERS = 1_024
"""Of a stack; the deepest transformers trained so far have about 1,000."""
MOST_RANK = 65_536
"""Of one adapter; no rank above the sides of its matrix adds anything, and few matrices are wider."""


@dataclass(frozen=True, order=True)
class DepthGroup:
    """Layers `start` to `stop` (half-open) that share one mid-level adapter per target.

    `layer_rank` is the rank that each of these layers has to itself.

    Raises ValueError for an empty range, for a rank that is negative or above `MOST_RANK`, and for layers
    above `MOST_LAYERS`.
    """

    start: int
    stop: int
    mid_rank: int
    layer_rank: int

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            require_count(f"depth group {name}", getattr(self, name), MOST_LAYERS)
        for name in ("mid_rank", "layer_rank"):
            require_count(f"depth group {name}", getattr(self, name), MOST_RANK)
        if self.stop <= self.start:
            raise ValueError(f"depth group {self.start}:{self.stop} holds no layer; stop must exceed start")

    @property
    def layers(self) -> int:
        """How many layers the group holds."""
        return self.stop - self.start


def spans(boundaries: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Consecutive pairs: (0, 4, 12) gives (0, 4), (4, 12)."""
    return pairwise(boundaries)


def split_evenly(layers: int, groups: int) -> tuple[int, ...]:
    """Boundaries 0, ..., layers of `groups` groups of equal depth, rounded to layers."""
    if groups < 1:
        raise ValueError(f"{groups} depth groups; there must be at least 1")
    return rescale_boundaries(range(groups + 1), layers)


def split_by_fractions(parts: Sequence[float], layers: int) -> tuple[int, ...]:
    """Boundaries for groups that take `parts` (such as 33, 33, 34) of the depth.

    Parts are relative to their sum, so 33/33/33 are thirds.
    Raises ValueError for a part that is not positive or when there are more groups than layers.
    """
    if not parts or any(not 0 < part < float("inf") for part in parts):
        raise ValueError(
            f"split {shown(list(parts))} has a part that is not positive; every group needs some depth"
        )
    return rescale_boundaries((0, *accumulate(parts)), layers)


def rescale_boundaries(boundaries: Sequence[float], layers: int) -> tuple[int, ...]:
    """Carry boundaries 0, ..., depth to `layers` layers: nearest layer, at least one layer a group.

    Raises ValueError when there are more groups than layers.
    """
    groups = len(boundaries) - 1
    require_count("the number of layers", layers, MOST_LAYERS)
    if groups > layers:
        raise ValueError(f"{groups} depth groups do not fit {layers} layers; use 1 to {layers} groups")
    cuts = [0]
    for i, boundary in enumerate(boundaries[1:], start=1):
        nearest = int(boundary * layers / boundaries[-1] + 0.5)
        cuts.append(min(max(nearest, cuts[-1] + 1), layers - (groups - i)))
    return tuple(cuts)


def require_partition(groups: Sequence[DepthGroup]) -> None:
    """Raise ValueError unless `groups` cover layers 0, 1, ... in order, without gap or overlap."""
    if not groups:
        raise ValueError("a pyramid needs at least one depth group")
    expected = 0
    for group in groups:
        if group.start != expected:
            problem = "overlaps" if group.start < expected else "leaves a gap after"
            raise ValueError(
                f"depth group {group.start}:{group.stop} {problem} the layers before it; "
                f"it must start at {expected}"
            )
        expected = group.stop


def require_count(name: str, value: object, most: int) -> None:
    """Raise TypeError or ValueError unless `value` is a whole number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {shown(value)}; it must be a whole number")
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {_digits(value)}; it must be 0 or more, and at most {most:,}")


def _digits(value: int) -> str:
    """A number, unless it has more digits than a message, or Python's own conversion, can take."""
    return str(value) if abs(value) < 10**40 else "a number of more than 40 digits"
