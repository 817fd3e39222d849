"""How well what was found in one study holds in another: of other models, tasks or depths.

Each configuration of study A is carried over to what is nearest in the space of B, boundaries by their fraction of
the depth, targets by role (`design.nearest`), and is there stood for by the nearest that B has trained. How far
they are apart is told by log2 of (1 + rank), of learning rate and of alpha, so that a doubling is 1, and
by the share of pairs of layers that only one has in a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from msplora_search.adapters.roles import counterpart
from msplora_search.analysis.updates import Floats
from msplora_search.design.nearest import nearest_choice, nearest_rate
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.results.posterior import RESAMPLES
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary
from msplora_search.text import several

NEAR = 0.75
"""Configurations no farther apart than this are taken to be alike: less than one doubling of one level."""
FEWEST = 6
"""Configurations in common from which on anything is said: of 5, ranks agree by chance too often."""


@dataclass(frozen=True)
class Interval:
    """An estimate, and what 95% of the draws of true metrics give."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> Interval:
        """Of draws, (resamples,)."""
        low, high = np.quantile(draws, [0.025, 0.975])
        return cls(float(draws.mean()), float(low), float(high))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"mean": self.mean, "interval_95": [self.low, self.high]}


@dataclass(frozen=True, eq=False)
class Transfer:
    """From study A to study B."""

    names: tuple[str, str]
    metrics: tuple[str, str]
    matched: int
    """Configurations of B that stand for one of A."""
    carried: int
    """Configurations of A."""
    why_not: str | None
    """Why nothing is said; None where something is."""
    correlation: Interval | None = None
    """Spearman's, of the metrics of what is in common."""
    chance_correlation: float | None = None
    """What 95% of shuffles stay below."""
    regret: Interval | None = None
    """Mean over A's front: how far B's envelope lies above it at no more parameters, in units of B's metric."""
    random_regret: float | None = None
    """The same of as many configurations of B picked at random, the mean."""
    as_good_by_chance: float | None = None
    """Share of such random choices whose regret is no larger."""
    pairs: tuple[tuple[float, float, float, float, bool], ...] = ()
    """Of what is in common: the metric in A and in B, the errors of both, and whether it is of A's front."""
    front: tuple[tuple[str, str, float, float], ...] = ()
    """Of A's front: its pyramid, that of B which stands for it, how far apart they are, and the regret."""

    def to_json(self) -> dict[str, Any]:
        """`transfer` of `analysis.json`."""
        return {
            "from": self.names[0],
            "to": self.names[1],
            "metrics": list(self.metrics),
            "matched": self.matched,
            "configurations": self.carried,
            "why_not": self.why_not,
            "rank_correlation": self.correlation and self.correlation.to_json(),
            "rank_correlation_95_by_chance": self.chance_correlation,
            "regret": self.regret and self.regret.to_json(),
            "regret_of_random_choice": self.random_regret,
            "random_choices_as_good": self.as_good_by_chance,
            "pairs": [list(pair) for pair in self.pairs],
            "front": [
                {"pyramid": a, "stood_for_by": b, "apart": apart, "regret": regret}
                for a, b, apart, regret in self.front
            ],
        }


def transfer(one: Summary, other: Summary) -> Transfer:
    """How well the first study tells what is good in the second. The same for the same studies."""
    names = _names(one, other)
    metric = one.results.settings.task.metric_label, other.results.settings.task.metric_label
    mine = [p for p in one.points if p.record.pyramid is not None]
    theirs = [p for p in other.points if p.record.pyramid is not None]
    stands = _stand_ins(mine, theirs, other) if theirs else []
    pairs = _one_each(stands)
    if len(pairs) < FEWEST:
        why = (
            f"{several(len(pairs), 'configuration')} of {names[1]} can stand for one of {names[0]}; {FEWEST} are "
            "needed. Search both in one space, or let the second begin with search.warm_start"
        )
        return Transfer(names, metric, len(pairs), len(mine), why)
    kept = [stand for stand in stands if any(mine[stand[0]] is point for point in one.front)]
    if not kept:
        why = f"nothing trained in {names[1]} is near to the front of {names[0]}; use search.warm_start"
        return Transfer(names, metric, len(pairs), len(mine), why)
    front = [place for _, place, _ in kept]
    a_draws, b_draws = draws_of(one, mine), draws_of(other, theirs, seed=1)
    regrets = regrets_of(b_draws, np.array([float(p.cost) for p in theirs]))
    by_chance = _random_choices(regrets, len(set(front)))
    regret = Interval.of(regrets[:, sorted(set(front))].mean(axis=1))
    in_a, in_b = a_draws[:, [i for i, _ in pairs]], b_draws[:, [j for _, j in pairs]]
    correlation, chance = _correlation(in_a, in_b)
    on_front = [j in front for _, j in pairs]
    told_of = [of.tolist() for of in (in_a.mean(axis=0), in_b.mean(axis=0), in_a.std(axis=0), in_b.std(axis=0))]
    means = tuple(zip(*told_of, on_front, strict=True))
    told = tuple(
        (str(mine[i].record.pyramid), str(theirs[j].record.pyramid), apart, float(regrets[:, j].mean()))
        for i, j, apart in kept
    )
    return Transfer(
        names, metric, len(pairs), len(mine), None, correlation, chance, regret, float(by_chance.mean()),
        float((by_chance <= regret.mean + 1e-12).mean()), means, told,
    )  # fmt: skip


def apart(one: Pyramid, one_rate: float, other: Pyramid, other_rate: float) -> float:
    """How far two configurations of equal depth are apart; infinite for other targets."""
    if one.layers != other.layers or one.targets != other.targets:
        return math.inf
    found = abs(math.log2((1 + one.global_rank) / (1 + other.global_rank))) + abs(math.log2(one_rate / other_rate))
    for a, b in zip(one.alpha.levels, other.alpha.levels, strict=True):
        found += abs(math.log2(a / b)) if a is not None and b is not None else 0.0
    for layer in range(one.layers):
        g, h = one.groups[one.group_of(layer)], other.groups[other.group_of(layer)]
        step = math.log2((1 + g.mid_rank) / (1 + h.mid_rank)), math.log2((1 + g.layer_rank) / (1 + h.layer_rank))
        found += sum(map(abs, step)) / one.layers
    return found + _apart_in_groups(one, other)


def _apart_in_groups(one: Pyramid, other: Pyramid) -> float:
    """The share of pairs of layers that one has in a group, and the other has not (Rand, 1971)."""
    a, b = (np.array([pyramid.group_of(layer) for layer in range(pyramid.layers)]) for pyramid in (one, other))
    differ = np.equal.outer(a, a) != np.equal.outer(b, b)
    return float(differ.sum()) / max(1, len(a) * (len(a) - 1))


def draws_of(summary: Summary, points: Sequence[Point], seed: int = 0) -> Floats:
    """Draws of true metrics, (resamples, points); of what lies far below the front, about its measured metric."""
    generator = np.random.default_rng(seed)
    sd = summary.noise.sd if summary.noise else 0.0
    columns = []
    for point in points:
        spread = math.hypot(point.measure.metric_se, sd / math.sqrt(len(point.trainings)))
        plain = point.metric + spread * generator.normal(size=RESAMPLES)
        columns.append(point.told if len(point.told) == RESAMPLES else plain)
    return np.stack(columns, axis=1)


def regrets_of(draws: Floats, params: Floats) -> Floats:
    """How far the envelope of all lies above each at its own size, in each draw: (resamples, points)."""
    order = np.argsort(params, kind="stable")
    best = np.maximum.accumulate(draws[:, order], axis=1)
    last = np.searchsorted(params[order], params, side="right") - 1
    return np.asarray(best[:, last] - draws)


def _names(one: Summary, other: Summary) -> tuple[str, str]:
    """Of the studies; where they are equal, told apart."""
    mine, theirs = one.results.settings.name, other.results.settings.name
    return (mine, theirs) if mine != theirs else (f"{mine} (first)", f"{theirs} (second)")


def _stand_ins(mine: Sequence[Point], theirs: Sequence[Point], other: Summary) -> list[tuple[int, int, float]]:
    """Place in A, place in B, and how far apart, for each of A that something of B is near to."""
    settings, layers = other.results.settings, int(other.results.facts["layers"])
    names = tuple(dict.fromkeys(p.record.pyramid.targets for p in theirs if p.record.pyramid is not None))
    space = settings.space.for_depth(layers, settings.proxy.learning_rate)
    found = []
    for i, point in enumerate(mine):
        pyramid = point.record.pyramid
        assert pyramid is not None
        # by the names in B's model, as its space may speak of roles
        carried = _carried(point, space, counterpart(pyramid.targets, names))
        distances = [
            min(apart(*one, p.record.pyramid, p.record.learning_rate) for one in carried)
            if p.record.pyramid
            else math.inf
            for p in theirs
        ]
        j = int(np.argmin(distances))
        if distances[j] <= NEAR:
            found.append((i, j, distances[j]))
    return found


def _carried(point: Point, space: SearchSpace, targets: tuple[str, ...]) -> list[tuple[Pyramid, float]]:
    """A configuration in another space; and, where it fits the depth, as it is, as baselines are in no space."""
    pyramid, rate = point.record.pyramid, point.record.learning_rate
    assert pyramid is not None
    found = [(nearest_choice(pyramid, space, targets).pyramid(), nearest_rate(rate, space))]
    with suppress(ValueError):  # more groups than layers
        moved = pyramid.at_depth(space.layers)
        found.append((Pyramid(moved.global_rank, moved.groups, targets, moved.alpha, moved.scaling), rate))
    return found


def _one_each(stands: Sequence[tuple[int, int, float]]) -> list[tuple[int, int]]:
    """For each of B the nearest of A: nothing counts twice."""
    found: dict[int, tuple[float, int]] = {}
    for i, j, distance in stands:
        found[j] = min(found.get(j, (math.inf, -1)), (distance, i))
    return [(i, j) for j, (_, i) in found.items()]


def _correlation(one: Floats, other: Floats) -> tuple[Interval, float]:
    """Spearman's, draw by draw; and the 95% quantile of what shuffles give."""
    a, b = (_ranks(draws) for draws in (one, other))
    generator = np.random.default_rng(0)
    shuffled = generator.permuted(b, axis=1)
    return Interval.of(_row_correlation(a, b)), float(np.quantile(_row_correlation(a, shuffled), 0.95))


def _ranks(draws: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(draws, axis=1), dtype=np.float64)


def _row_correlation(one: Floats, other: Floats) -> Floats:
    a, b = (of - of.mean(axis=1, keepdims=True) for of in (one, other))
    norms = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    return np.asarray((a * b).sum(axis=1) / np.where(norms > 0, norms, 1.0))


def _random_choices(regrets: Floats, count: int) -> Floats:
    """Mean regret of so many configurations picked at random, (choices,)."""
    each, generator = regrets.mean(axis=0), np.random.default_rng(0)
    picks = (generator.choice(len(each), size=count, replace=False) for _ in range(RESAMPLES))
    return np.array([each[pick].mean() for pick in picks])
