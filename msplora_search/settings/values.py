"""The kinds of numbers that settings are made of, each with its bounds.

Nothing is coerced: true is no number, text is none, infinity is none. Only a whole number may be written with
an exponent or a zero behind the point, such as 1e4.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from msplora_search.design.depth import MOST_LAYERS, MOST_RANK
from msplora_search.design.pyramid import MOST_TARGETS
from msplora_search.design.scaling import MOST_ALPHA

MOST_CHOICES = 64
"""Of one list of choices, such as the ranks of a level."""
MOST_LISTED = 1_024
"""Combinations of ranks, or splits, that are written out one by one."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Take 1e4, which YAML calls a fraction, for the whole number that it is."""

Switch = Annotated[bool, Field(strict=True)]
Rank = Annotated[int, Field(strict=True, ge=0, le=MOST_RANK), WHOLE]
PresentRank = Annotated[int, Field(strict=True, ge=1, le=MOST_RANK), WHOLE]
Layers = Annotated[int, Field(strict=True, ge=1, le=MOST_LAYERS), WHOLE]
"""A number of layers, or of depth groups."""
Part = Annotated[float, Field(strict=True, ge=1e-3, le=1e6)]
"""Of the depth, relative to the other parts."""
ScalingNumerator = Annotated[float, Field(strict=True, gt=0, le=MOST_ALPHA)]
Rate = Annotated[float, Field(strict=True, gt=0, lt=1)]
Fraction = Annotated[float, Field(strict=True, gt=0, le=1)]
WarmUp = Annotated[float, Field(strict=True, ge=0, lt=1)]
LoraDropout = Annotated[float, Field(strict=True, ge=0, lt=1)]
Decay = Annotated[float, Field(strict=True, ge=0, le=100)]
Epochs = Annotated[float, Field(strict=True, gt=0, le=10_000)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31), WHOLE]
Trials = Annotated[int, Field(strict=True, ge=0, le=1_000_000), WHOLE]
Repeats = Annotated[int, Field(strict=True, ge=0, le=10_000), WHOLE]
"""A number of further trainings with other seeds."""
Few = Annotated[int, Field(strict=True, ge=1, le=1_000_000), WHOLE]
"""A number of examples in a batch, of peers, or of evaluations."""
Many = Annotated[int, Field(strict=True, ge=1, le=10**15), WHOLE]
"""A number of examples of a data set, or of parameters."""
Count = Annotated[int, Field(strict=True, ge=0, le=10**15), WHOLE]
"""The same, where there may be none."""
Moments = Annotated[int, Field(strict=True, ge=0, le=10_000), WHOLE]
"""A number of steps at which something is looked at."""
Optimization = Literal["joint", "staged", "alternating"]
"""Which levels of a pyramid a step trains; see `training.optimization`."""
Ranks = Annotated[tuple[Rank, ...], Field(min_length=1, max_length=MOST_CHOICES)]
Targets = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=MOST_TARGETS)]


def _usable_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name.endswith("."):
        raise PydanticCustomError(
            "name",
            "it should have up to 100 letters, digits, '.', '_' and '-', begin with a letter or digit, "
            "and not end with '.'",
        )
    if re.fullmatch(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", name):
        raise PydanticCustomError("name", "it should be another word: Windows keeps this one for a device")
    return name


Name = Annotated[str, AfterValidator(_usable_name)]
"""Of a study; its output folder is called so."""


UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)min)?(?:(\d+)s)?")


def seconds_of(duration: str) -> int:
    """Of a duration such as 30min; 0 of what is none."""
    found = DURATION.fullmatch(duration.replace(" ", ""))
    if found is None:
        return 0
    return sum(int(count or 0) * unit for count, unit in zip(found.groups(), UNITS.values(), strict=True))


def _usable_duration(duration: str) -> str:
    if len(duration) > 40 or not 0 < seconds_of(duration) <= 1_000 * UNITS["d"]:
        raise PydanticCustomError("duration", "it should be a time with its unit, such as 30min, 90s or 1h30min")
    return duration


Duration = Annotated[
    str, AfterValidator(_usable_duration), Field(json_schema_extra={"takes": "a time such as 30min or 1h30min"})
]
"""Whole days, hours, minutes and seconds, up to 1,000 days."""
