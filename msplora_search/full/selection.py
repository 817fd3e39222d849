"""Rules that pick one point of a front, and say why."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.full import rules
from msplora_search.results.pareto import Floats
from msplora_search.search.points import Point, resampled
from msplora_search.search.summary import Summary
from msplora_search.text import amount

RULES = (
    "best, knee, one-se, non-inferior=D, max-params=N, max-cost=N, min-metric=X, "
    "fastest, smallest-export or trial=N"
)
CONFIDENCE = {"min-metric": 0.9, "non-inferior": 0.95}
STABILITY_RESAMPLES = 300


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
    return replace(chosen, neighbours=_neighbours(summary, chosen.point))


def _choose(summary: Summary, rule: str) -> Pick:
    if not summary.front:
        raise InputError(f"--pick {rule}: no trial was measured to the end, so there is no front to pick from")
    name, _, text = rule.partition("=")
    if name in ALONE:
        if text:
            raise InputError(f"--pick {rule}: {name} takes no value; it must be {RULES}")
        return ALONE[name](summary)
    if name not in WITH_VALUE:
        raise InputError(f"--pick {rule}: is no rule; it must be {RULES}")
    return WITH_VALUE[name](summary, rule, text)


def advised(summary: Summary) -> Point:
    """What is to be taken unless a user has a reason of their own: the point of `one-se`."""
    return _by(summary, rules.one_se)


def _neighbours(summary: Summary, point: Point) -> tuple[str, ...]:
    smaller = [p for p in summary.front if p.cost < point.cost][-1:]
    larger = [p for p in summary.front if p.cost > point.cost][:1]
    return tuple(
        f"the next {word}, trial {p.record.number} ({p.record.pyramid}): {p.record.size} "
        f"({p.cost / point.cost:.2f} times), {p.metric - point.metric:+.4f} ± {summary.error(p, point):.4f}"
        for word, found in (("smaller", smaller), ("larger", larger))
        for p in found
    )


def _by(summary: Summary, rule: rules.Rule) -> Point:
    return summary.front[rule(*_arrays(summary, summary.front))]


def _arrays(summary: Summary, points: Sequence[Point]) -> tuple[Floats, Floats, Floats]:
    """Metrics, costs, and errors of differences."""
    errors = np.array([[summary.error(one, other) for other in points] for one in points])
    return np.array([p.metric for p in points]), np.array([float(p.cost) for p in points]), errors


def _stability(summary: Summary, rule: rules.Rule) -> str:
    """In what share of resamples a rule chooses the same."""
    points = [point for point in summary.candidates if len(point.draws)]
    _, costs, errors = _arrays(summary, points)
    metrics = resampled(points, summary.noise, STABILITY_RESAMPLES)
    share = rules.share_of(rule, metrics, costs, errors, points.index(_by(summary, rule)))
    return f"with other examples and seeds the rule would choose it in {share:.0%} of cases"


def _best(summary: Summary) -> Pick:
    return Pick(summary.front[-1], f"the best metric of the front; {_stability(summary, rules.best)}")


def _knee(summary: Summary) -> Pick:
    why = f"farthest above the chord of the front over log {summary.cost_is.unit}"
    return Pick(_by(summary, rules.knee), f"{why}; {_stability(summary, rules.knee)}")


def _one_se(summary: Summary) -> Pick:
    """The report's advice: noise that both points share does not count against the smaller."""
    point, best = advised(summary), summary.front[-1]
    stability = _stability(summary, rules.one_se)
    if point is best:
        return Pick(point, f"the best: no smaller point is within one standard error of it; {stability}")
    return Pick(
        point,
        f"the smallest within one standard error of the best: {best.metric - point.metric:.4f} below it, "
        f"and the difference has a standard error of {summary.error(point, best):.4f}; {stability}",
    )


def _non_inferior(summary: Summary, rule: str, text: str) -> Pick:
    best, bounds = summary.front[-1], summary.results.metric.bounds
    percent = text.endswith("%")
    asked = _number(rule, text.removesuffix("%"))
    if asked < 0:
        raise InputError(f"--pick {rule}: {text!r} is below 0; it must be how much worse than the best is allowed")
    most = asked / 100 * abs(best.metric) if percent else asked
    point, chance = _smallest_sure(summary, lambda p: p.draws >= best.draws - most, CONFIDENCE["non-inferior"])
    assert point is not None  # the best is no worse than itself
    said = f"at most {amount(most, bounds)} worse than the best, trial {best.record.number}"
    return Pick(point, f"the smallest of the front that is {said}, with a probability of {chance:.0%}")


def _min_metric(summary: Summary, rule: str, text: str) -> Pick:
    bound = _number(rule, text)
    level = CONFIDENCE["min-metric"]
    point, chance = _smallest_sure(summary, lambda p: p.draws >= bound, level)
    if point is None:
        surest = max(summary.front, key=lambda p: (float(np.mean(p.draws >= bound)), p.metric))
        raise InputError(
            f"--pick {rule}: no point of the front reaches {bound:g} with a probability of {level:.0%}; trial "
            f"{surest.record.number} does with {np.mean(surest.draws >= bound):.0%} (it was measured at "
            f"{surest.metric:.4f}, which the choice among many flatters)"
        )
    return Pick(
        point, f"the smallest of the front that truly reaches {bound:g} with a probability of {chance:.0%}"
    )


def _smallest_sure(
    summary: Summary, holds: Callable[[Point], NDArray[np.bool_]], level: float
) -> tuple[Point | None, float]:
    """The smallest point of the front for which something holds in at least such a share of its draws.

    Asked from the largest down to the first for which it does not: so a lucky small point below one that fails is
    not taken, and the confidence is that of a single question (Maurer, Hothorn and Lehmacher, 1995).
    """
    found: tuple[Point | None, float] = (None, 0.0)
    for point in reversed(summary.front):
        share = float(np.mean(holds(point)))
        if share < level:
            break
        found = point, share
    return found


def _max_params(summary: Summary, rule: str, text: str) -> Pick:
    front = summary.front
    limit = int(_number(rule, text, whole=True))
    affordable = [p for p in front if p.params <= limit]
    if not affordable:
        least = min(p.params for p in front)
        raise InputError(f"--pick {rule}: the smallest point of the front has {least:,} parameters")
    return Pick(affordable[-1], f"the best of the front with at most {limit:,} parameters")


def _max_cost(summary: Summary, rule: str, text: str) -> Pick:
    """By what the search makes small, whatever that is."""
    front, cost = summary.front, summary.cost_is
    limit = int(_number(rule, text, whole=True))
    affordable = [p for p in front if p.cost <= limit]
    if not affordable:
        raise InputError(f"--pick {rule}: the smallest point of the front has {cost.told(front[0].cost)}")
    return Pick(affordable[-1], f"the best of the front with at most {cost.told(limit)}")


def _within_one_se(summary: Summary) -> list[Point]:
    best = summary.front[-1]
    return [p for p in summary.front if best.metric - p.metric <= summary.error(p, best)]


def _fastest(summary: Summary) -> Pick:
    """By the seconds of the proxy's own steps, evaluations included: as measured, on a machine that others use."""

    def pace(point: Point) -> float:
        return float(np.min([r.seconds / max(1, r.steps) for r in point.trainings]))

    among = _within_one_se(summary)
    point = min(among, key=lambda p: (pace(p), p.cost))
    others = f" (the {len(among)} have {pace(point):.3f} to {max(map(pace, among)):.3f})" if len(among) > 1 else ""
    why = f"the fastest to train within one standard error of the best: {pace(point):.3f} s a step{others}"
    return Pick(point, why)


def _smallest_export(summary: Summary) -> Pick:
    """By the numbers of the stock PEFT adapter, in which sharing is unrolled and all sites have one rank."""
    units = summary.results.facts["lora_units"]

    def unrolled(point: Point) -> int:
        pyramid = point.record.pyramid
        assert pyramid is not None
        return int(units[" ".join(pyramid.targets)]) * pyramid.unrolled_rank

    among = _within_one_se(summary)
    if any(" ".join(p.record.pyramid.targets) not in units for p in among if p.record.pyramid):
        raise InputError(
            "--pick smallest-export: this study was run by a version that did not keep the sizes of exports"
        )
    point = min(among, key=lambda p: (unrolled(p), p.params))
    size = f"{unrolled(point):,} numbers"
    return Pick(point, f"the smallest as a stock PEFT adapter, {size}, within one standard error of the best")


def _trial(summary: Summary, rule: str, text: str) -> Pick:
    number = int(_number(rule, text, whole=True))
    point = next((p for p in summary.points if number in {r.number for r in p.trainings}), None)
    if point is None:
        there = ", ".join(str(p.record.number) for p in summary.front)
        raise InputError(f"--pick {rule}: is no completely measured trial; the front has the trials {there}")
    return Pick(point, f"trial {number}, as asked")


def _number(rule: str, text: str, whole: bool = False) -> float:
    try:
        found = int(text) if whole else float(text)
    except ValueError:
        found = math.nan
    if math.isnan(found):
        kind = "a whole number" if whole else "a number"
        raise InputError(f"--pick {rule}: {text!r} is not {kind}; the rules are {RULES}")
    return found


ALONE: dict[str, Callable[[Summary], Pick]] = {
    "best": _best, "knee": _knee, "one-se": _one_se, "fastest": _fastest, "smallest-export": _smallest_export,
}  # fmt: skip
"""Rules that take no value."""
WITH_VALUE: dict[str, Callable[[Summary, str, str], Pick]] = {
    "non-inferior": _non_inferior, "max-params": _max_params, "max-cost": _max_cost,
    "min-metric": _min_metric, "trial": _trial,
}  # fmt: skip
