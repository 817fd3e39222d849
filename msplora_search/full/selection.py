"""Rules that pick one point of a front, and say why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from msplora_search.errors import InputError
from msplora_search.results.noise import difference_se, indistinct
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary

RULES = "best, knee, one-se, max-params=N, min-metric=X or trial=N"


@dataclass(frozen=True)
class Pick:
    """A chosen point and the reason."""

    point: Point
    reason: str
    neighbours: tuple[str, ...] = ()
    """What the next smaller and the next larger point of the front would have cost."""


def pick(summary: Summary, rule: str) -> Pick:
    """Choose a front point by `rule` (`trial=N` may name any complete trial).

    Raises InputError for an unknown rule, an empty front, or a bound that no point meets.
    """
    chosen = _choose(summary, rule)
    return replace(chosen, neighbours=_neighbours(summary.front, chosen.point))


def _choose(summary: Summary, rule: str) -> Pick:
    if not summary.front:
        raise InputError(f"--pick {rule}: no trial was measured to the end, so there is no front to pick from")
    name, _, text = rule.partition("=")
    match name:
        case "best" | "knee" | "one-se" if text:
            raise InputError(f"--pick {rule}: {name} takes no value; it must be {RULES}")
        case "best":
            return Pick(summary.front[-1], "the best metric of the front")
        case "knee":
            return Pick(knee(summary.front), "farthest above the chord of the front over log parameters")
        case "one-se":
            return _one_se(summary.front)
        case "max-params":
            return _max_params(summary.front, rule, int(_number(rule, text, whole=True)))
        case "min-metric":
            return _min_metric(summary.front, rule, _number(rule, text))
        case "trial":
            return _trial(summary, rule, int(_number(rule, text, whole=True)))
        case _:
            raise InputError(f"--pick {rule}: is no rule; it must be {RULES}")


def _neighbours(front: Sequence[Point], point: Point) -> tuple[str, ...]:
    smaller = [p for p in front if p.params < point.params][-1:]
    larger = [p for p in front if p.params > point.params][:1]
    return tuple(
        f"the next {word}, trial {p.record.number} ({p.record.pyramid}): {p.params:,} parameters "
        f"({p.params / point.params:.2f} times), {p.metric - point.metric:+.4f} "
        f"± {difference_se(p.record.final, point.record.final):.4f}"
        for word, found in (("smaller", smaller), ("larger", larger))
        for p in found
    )


def knee(front: Sequence[Point]) -> Point:
    """The point farthest above the line through the ends of the front, on log parameters.

    With fewer than three points, or none above the line, the smallest.
    """
    first, last = front[0], front[-1]
    width = math.log10(last.params / first.params) if len(front) > 2 else 0.0
    if width == 0:
        return first
    slope = (last.metric - first.metric) / width

    def height(point: Point) -> float:
        return point.metric - first.metric - slope * math.log10(point.params / first.params)

    # Vertical distance orders points as the distance to the chord does. The last lies on it, as the first does.
    return max(front[:-1], key=height)


def _one_se(front: Sequence[Point]) -> Pick:
    """The report's verdict: noise that both points share does not count against the smaller."""
    best = front[-1]
    point = next(p for p in front if indistinct(p.record, best.record))
    se = difference_se(point.record.final, best.record.final)
    return Pick(
        point,
        f"the smallest within one standard error of the best: {best.metric - point.metric:.4f} below it, "
        f"and the paired difference has a standard error of {se:.4f}",
    )


def _max_params(front: Sequence[Point], rule: str, limit: int) -> Pick:
    affordable = [p for p in front if p.params <= limit]
    if not affordable:
        raise InputError(f"--pick {rule}: the smallest point of the front has {front[0].params:,} parameters")
    return Pick(affordable[-1], f"the best of the front with at most {limit:,} parameters")


def _min_metric(front: Sequence[Point], rule: str, bound: float) -> Pick:
    point = next((p for p in front if p.metric >= bound), None)
    if point is None:
        raise InputError(f"--pick {rule}: the best point of the front has {front[-1].metric:.4f}")
    return Pick(point, f"the smallest of the front that reaches {bound:g}")


def _trial(summary: Summary, rule: str, number: int) -> Pick:
    point = next((p for p in summary.points if p.record.number == number), None)
    if point is None:
        there = ", ".join(str(p.record.number) for p in summary.front)
        raise InputError(f"--pick {rule}: is no completely measured trial; the front has the trials {there}")
    return Pick(point, f"trial {number}, as asked")


def _number(rule: str, text: str, whole: bool = False) -> float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise InputError(f"--pick {rule}: {text!r} is not {kind}; the rules are {RULES}") from None
