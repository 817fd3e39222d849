"""When a trial of a multi-objective study stops early: a pure function of what was measured.

The cost of a trial, its parameter count, is known before training. So a trial competes only with
peers that spend no more, and the question at a rung is one of a single number: does the metric lie
below the envelope of those peers by more than noise explains?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msplora_search.results.noise import difference_se
from msplora_search.results.pareto import ranks
from msplora_search.results.records import Evaluation
from msplora_search.settings.models import PruningSettings


@dataclass(frozen=True)
class Peer:
    """A trial as others see it: its adapter parameters and its measurements so far."""

    params: int
    curve: tuple[Evaluation, ...]

    def at(self, rung: float) -> Evaluation | None:
        """The measurement at `rung`; None where the trial was not measured there."""
        return next((e for e in self.curve if e.rung == rung), None)


@dataclass(frozen=True)
class Verdict:
    """Whether to stop, and what was compared."""

    stop: bool
    reason: str


def should_stop(trial: Peer, peers: Sequence[Peer], rule: PruningSettings, training: float = 0.0) -> Verdict:
    """Judge `trial` at its latest rung against `peers`; their order does not matter.

    With rule `envelope` a trial stops when all of these hold:

    - at least `min_peers` peers with no more parameters were measured at this rung;
    - it lies below the best of them by more than `margin_se` standard errors of the difference,
      taken pair by pair over the common validation examples, and over seeds: `training` is the
      variance of the metric over these, at this rung;
    - it is not among the best `keep_share` of all trials at this rung by non-domination rank of
      (metric, parameters), so that a cheap corner of the front is never emptied.
    """
    if rule.rule == "none" or not trial.curve:
        return Verdict(False, "")
    own = trial.curve[-1]
    if own.rung >= 1.0:
        return Verdict(False, "")
    measured = [(peer.params, at) for peer in peers if (at := peer.at(own.rung)) is not None]
    affordable = [at for params, at in measured if params <= trial.params]
    if len(affordable) < rule.min_peers:
        return Verdict(False, f"{len(affordable)} peers at no more parameters are too few to judge")
    highest = max(e.metric for e in affordable)
    best = max((e for e in affordable if e.metric == highest), key=lambda e: difference_se(own, e))
    margin = rule.margin_se * math.sqrt(difference_se(own, best) ** 2 + 2 * training)
    gap = best.metric - own.metric
    if gap <= margin:
        return Verdict(False, f"{gap:.4f} below the envelope, within the margin of {margin:.4f}")
    if _among_best(trial.params, own.metric, measured, rule.keep_share):
        return Verdict(False, "among the best non-dominated share")
    return Verdict(True, f"{gap:.4f} below the envelope at rung {own.rung:g}, margin {margin:.4f}")


def _among_best(params: int, metric: float, measured: list[tuple[int, Evaluation]], share: float) -> bool:
    metrics = np.array([metric, *(e.metric for _, e in measured)])
    costs = np.array([params, *(cost for cost, _ in measured)], dtype=float)
    rank = ranks(metrics, costs)
    return int((rank <= rank[0]).sum()) <= share * len(rank)
