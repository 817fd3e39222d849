"""How loud each level is: its scaling numerator alpha, and the rule that makes a factor of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from msplora_search.text import shown

LEVELS = ("global", "mid", "layer")
MOST_ALPHA = 1e6
"""Of a scaling numerator; common ones lie between 1 and 1,000."""


class Scaling(StrEnum):
    """What the update of a level of rank r is multiplied by.

    `standard` is alpha / r (LoRA, arXiv 2106.09685); `rank-stabilised` is alpha / sqrt(r) (rsLoRA, arXiv
    2312.03732), so that ranks far apart are not as far apart in size.
    """

    STANDARD = "standard"
    RANK_STABILISED = "rank-stabilised"

    @classmethod
    def of(cls, value: str) -> Scaling:
        """The scaling of that name. Raises ValueError for any other value."""
        try:
            return cls(value)
        except ValueError:
            names = " or ".join(scaling.value for scaling in cls)
            raise ValueError(f"scaling is {shown(value)}; it must be {names}") from None

    def factor(self, alpha: float, rank: int) -> float:
        """The factor s of `s B A x` for an adapter of this rank, 1 or more."""
        match self:
            case Scaling.STANDARD:
                return alpha / rank
            case Scaling.RANK_STABILISED:
                return alpha / math.sqrt(rank)


@dataclass(frozen=True)
class Alpha:
    """The scaling numerator of each level (see `Scaling`); None where the level is absent."""

    global_level: float | None
    mid_level: float | None
    layer_level: float | None

    def __post_init__(self) -> None:
        for level, value in zip(LEVELS, self.levels, strict=True):
            if value is not None and not 0 < value <= MOST_ALPHA:
                raise ValueError(
                    f"alpha of the {level} level is {value}; it must be a positive number up to {MOST_ALPHA:,.0f}"
                )

    @property
    def levels(self) -> tuple[float | None, float | None, float | None]:
        """The three values in the order of `LEVELS`."""
        return (self.global_level, self.mid_level, self.layer_level)

    @classmethod
    def of(cls, value: float | Mapping[str, float] | Alpha | None) -> Alpha:
        """One number for every level, or a mapping with the keys global, mid and layer."""
        match value:
            case Alpha():
                return value
            case Mapping():
                if unknown := sorted(str(key) for key in value if key not in LEVELS):
                    raise ValueError(f"alpha has unknown levels {shown(unknown)}; there are {list(LEVELS)}")
                return cls(*(_alpha_of(level, value[level]) if level in value else None for level in LEVELS))
            case _:
                number = _alpha_of("every", value)
                return cls(number, number, number)

    def to_json(self) -> float | dict[str, float]:
        """A number where all present levels agree, else a mapping of the present levels."""
        present = {level: a for level, a in zip(LEVELS, self.levels, strict=True) if a is not None}
        values = set(present.values())
        return values.pop() if len(values) == 1 else present


def _alpha_of(level: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"alpha of {level} level is {shown(value)}; it must be a positive number")
    if value > MOST_ALPHA:
        raise ValueError(
            f"alpha of {level} level is too large; it must be a positive number up to {MOST_ALPHA:,.0f}"
        )
    return float(value)
