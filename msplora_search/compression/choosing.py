"""Which point of a front is written: by the error of its updates, its size, or the task's metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from msplora_search.compression.compressing import Compression, Point
from msplora_search.errors import InputError
from msplora_search.results.noise import difference_se
from msplora_search.results.records import Measure
from msplora_search.text import brief

MAX_ERROR = 0.1
"""What is asked for where nothing is."""
Z = 1.6448536269514722
"""Of a one-sided level of 95%."""


@dataclass(frozen=True)
class Judged:
    """The task's metric of the LoRA and of the points of its front, on validation rows."""

    metric: str
    rows: int
    lora: Measure
    points: Mapping[Point, Measure]

    def loss(self, point: Point) -> tuple[float, float]:
        """How much worse than the LoRA a point is, and the standard error of that over the choice of rows."""
        own = self.points[point]
        return self.lora.metric - own.metric, difference_se(self.lora, own)


@dataclass(frozen=True)
class Choice:
    """What was asked for; at most one of the three."""

    max_error: float | None = None
    max_params: int | None = None
    non_inferior: str | None = None
    """How much worse than the LoRA is allowed: `0.01`, or `1%` of its metric."""

    def require(self, has_task: bool) -> None:
        """Before anything is fitted. Raises InputError naming the option."""
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) > 1:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(f"{options}: one of them is right")
        if self.max_error is not None and not 0 <= self.max_error < 1:
            raise InputError(f"--max-error {self.max_error:g}: from 0 to below 1 is right, such as 0.1")
        if self.max_params is not None and self.max_params < 1:
            raise InputError(f"--max-params {self.max_params}: 1 or more is right")
        if self.non_inferior is not None:
            self._margin(1.0)
            if not has_task:
                raise InputError("--non-inferior: needs the task; give --study")

    def picked(self, found: Compression, judged: Judged | None = None) -> Point:
        """The most exact of `max_params`, the smallest that is not inferior, or the smallest of `max_error`.

        Raises InputError where there is none.
        """
        if self.max_params is not None:
            small = [p for p in found.front if p.params <= self.max_params]
            if not small:
                least = found.front[0].params
                raise InputError(f"--max-params {self.max_params}: the smallest point has {least:,}")
            return small[-1]
        if self.non_inferior is not None and judged is not None:
            return self._not_inferior(found, judged)
        most = MAX_ERROR if self.max_error is None else self.max_error
        fit = [p for p in found.front if p.error <= most]
        if not fit:
            least_error = found.front[-1].error
            raise InputError(f"--max-error {most:g}: the nearest point has {least_error:.3g}; give higher --ranks")
        return fit[0]

    def _not_inferior(self, found: Compression, judged: Judged) -> Point:
        """Asked from the largest down to the first that may be inferior.

        So a lucky small point is not taken, and the level is that of a single question (Maurer, Hothorn and
        Lehmacher, Multiple comparisons in drug clinical trials and preclinical assays, 1995).
        """
        margin, chosen = self._margin(abs(judged.lora.metric)), None
        for point in reversed(found.front):
            loss, se = judged.loss(point)
            if loss + Z * se > margin:
                break
            chosen = point
        if chosen is None:
            loss, se = judged.loss(found.front[-1])
            raise InputError(
                f"--non-inferior {self.non_inferior}: the most exact point loses {loss:.4f} ± {se:.4f}, which may "
                "be more; give higher --ranks"
            )
        return chosen

    def _margin(self, whole: float) -> float:
        assert self.non_inferior is not None
        text = self.non_inferior
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = -1.0
        if not isfinite(value) or value < 0:
            raise InputError(f"--non-inferior {brief(text)}: 0 or more is right, such as 0.01, or 1%")
        return value / 100 * whole if text.endswith("%") else value
