"""When a trial stops early: where it would hardly become a point of the front.

Optuna itself prunes nothing that has several objectives. Here one of the two, the cost, is known before training,
so what is left is a question about one number: will the metric at the end lie above the envelope at that cost?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from msplora_search.results.records import State, TrialRecord
from msplora_search.search.model.forecast import Forecaster
from msplora_search.settings.models import ProxySettings, PruningSettings

WARM_UPS = 3
"""So many times the warm-up is trained before anything is stopped: until then a metric tells how fast a pyramid
learns, which follows from the number of its levels, and not how well."""


@dataclass(frozen=True)
class Verdict:
    """Whether to stop, and why."""

    stop: bool
    reason: str


def should_stop(
    running: TrialRecord,
    records: Sequence[TrialRecord],
    forecaster: Forecaster,
    rule: PruningSettings,
    proxy: ProxySettings,
) -> Verdict:
    """Judge a trial at its last rung, given the records of all.

    It stops where the probability that it would raise the front, trained to the end, is below `rule.chance`, and
    where what is left of it gains less a step than a new proposal, so that it would not go on at once.
    """
    rung = running.final.rung
    if rule.rule == "none" or rung >= 1.0:
        return Verdict(False, "")
    if rung < WARM_UPS * proxy.warmup_ratio:
        return Verdict(False, f"rung {rung:g} lies within {WARM_UPS} times the warm-up")
    chance = forecaster.chance_to_enter(running, records)
    if chance is None:
        return Verdict(False, "too few trials are measured to judge")
    reason = f"its chance to enter the front is {chance:.0%} at rung {rung:g}"
    if chance >= rule.chance:
        return Verdict(False, reason)
    stopped = replace(running, state=State.PRUNED)
    others = [record for record in records if record.number != running.number]
    return Verdict(forecaster.worth_thawing([*others, stopped]) is not stopped, reason)
