"""What trainings say of the learning rates that they had."""

from __future__ import annotations

from collections.abc import Sequence

from msplora_search.reporting.wording import learned_nothing, listed
from msplora_search.results.noise import LEVEL, difference_se, quantile
from msplora_search.results.records import Measure
from msplora_search.search.points import Point
from msplora_search.search.summary import Summary

APART = 5.0
"""Standard errors between two seeds of one configuration, from which on no choice of examples explains it."""


def edge_sentence(summary: Summary) -> list[str]:
    """One sentence on the baselines whose best learning rate is the lowest or the highest that was tried."""
    if not summary.edges or learned_nothing(summary):
        return []
    (side, rate), names = next(iter(summary.edges.items()))
    parts = [f"The best learning rate of {listed(names)} is the {side} tried, {rate:g}"]
    for (other, rate), names in list(summary.edges.items())[1:]:
        parts.append(f"that of {listed(names)} the {other}, {rate:g}")
    beyond = "a lower one" if side == "lowest" else "a higher one"
    return [f"{listed(parts, ', and ')}: {beyond if len(parts) == 1 else 'rates beyond'} may do better."]


def collapse_sentence(summary: Summary) -> list[str]:
    """One sentence on a configuration of which one seed learned nothing, and another far more."""
    floor = summary.results.reference_point[0]
    broken = {point.name: (point, fallen) for point in summary.points if (fallen := _fallen(point, floor))}
    if not broken:
        return []
    point, fallen = next(iter(broken.values()))
    best, several = max(record.final.metric for record in point.trainings), len(point.trainings)
    others = f", and so with {listed(list(broken)[1:])}" if len(broken) > 1 else ""
    return [
        f"{len(fallen):,} of the {several:,} trainings of {point.name} ended at {fallen[0].metric:.4f}, no better "
        f"than {summary.results.facts['chance_is']} ({floor:.4f}), another at {best:.4f}{others}: a learning rate "
        f"of {point.record.learning_rate:g} may be too high."
    ]


def _fallen(point: Point, floor: float) -> Sequence[Measure]:
    """Of trainings that may be no better than the floor, with 95% confidence, where another is far better."""
    finals = [record.final for record in point.trainings]
    best = max(finals, key=lambda measure: measure.metric)

    def fell(measure: Measure) -> bool:
        sure = quantile(2 * LEVEL - 1, len(measure.influence) - 1) * measure.metric_se
        apart = best.metric - measure.metric > APART * difference_se(best, measure)
        return apart and measure.metric - floor <= sure

    return [measure for measure in finals if fell(measure)]
