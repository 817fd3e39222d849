"""What decides the metric: how much of its differences over the space each factor explains, and how surely.

See `model.effects` for the shares, and `model.additive` for what the measurements leave possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.comparing import Range
from msplora_search.results.noise import LEVEL
from msplora_search.results.pareto import Floats
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.model.additive import AdditiveProcess, parts_of
from msplora_search.search.model.candidates import Ground
from msplora_search.search.model.effects import Effects
from msplora_search.search.model.features import Candidate, Features
from msplora_search.search.model.measurements import Measurements, candidate_of
from msplora_search.search.model.surrogate import Scaler, Widths, cut_off
from msplora_search.search.repeats import training_variance
from msplora_search.search.results import StudyResults

FEWEST, MOST = 12, 200
"""Configurations trained to the end before anything is said; and measured ones that are looked at, at random."""
SEED = 0
WIDTHS: Widths = {"boundaries": 0.5, "targets": 0.5}
"""Nothing that a search takes for granted of rate and size: what decides is the question."""


@dataclass(frozen=True)
class Share:
    """Of the variance of the metric over the space, by one factor."""

    factor: str
    share: float
    """That the factor explains alone: the median of what is possible."""
    interval: Range
    """The central 95% of that."""
    total: float
    """With all that it does together with others."""

    @classmethod
    def of(cls, factor: str, alone: Floats, total: Floats) -> Share:
        """From draws, (draws,) each."""
        low, high = np.quantile(alone, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(factor, float(np.median(alone)), (float(low), float(high)), float(np.median(total)))

    def to_json(self) -> dict[str, Any]:
        """One of `importance` of `front.json`."""
        return {
            "factor": self.factor,
            "share": self.share,
            "interval_95": list(self.interval),
            "total": self.total,
        }


@dataclass(frozen=True)
class Importance:
    """What decides the metric of a study."""

    shares: tuple[Share, ...]
    """Of every factor that the space varies, the largest first."""
    ordered: int
    """How many of the first stand in this order before all others, with 95%: 0 where none can be told apart."""
    pair: bool
    """Whether, with 95%, the first two explain more than any other, where their own order cannot be told."""
    size: Share | None
    """What the number of parameters explains; it follows from the factors. None where it is always the same."""
    together: float
    """The share that no factor explains alone, the median."""
    chance: float
    """How often metrics that no factor changes would look as if one did (`AdditiveProcess.chance`)."""
    measured: int
    """Configurations, of which those that were stopped count as they are expected to end."""

    @property
    def explains(self) -> bool:
        """Whether what is searched explains more than noise does."""
        return self.chance <= 1 - LEVEL

    @property
    def told(self) -> tuple[Share, ...]:
        """What leads: in order, or two side by side if `pair`; empty where nothing can be told apart."""
        return self.shares[: 2 if self.pair else self.ordered] if self.explains else ()


def importance_of(results: StudyResults) -> Importance | None:
    """None where fewer than `FEWEST` configurations were trained to the end, or storage does not know the space.

    What failed is left out, and so is what differs from the space in something that the space does not vary.
    Metrics far below the others are cut off, as for the model that proposes: how bad a failure is decides nothing.
    """
    if len({record.configuration for record in results.in_state(State.COMPLETE)}) < FEWEST:
        return None
    ground = _ground(results)
    effects = None if ground is None else Effects.of(ground, SEED)
    if ground is None or effects is None or not effects.factors:
        return None
    measured = _measured(results.records, ground, effects)
    if measured.complete < FEWEST or not np.ptp(_cut(measured)[: measured.complete]):
        return None
    return importance_by(measured, ground, effects)


def importance_by(measured: Measurements, ground: Ground, effects: Effects, seed: int = SEED) -> Importance:
    """By measurements of which those to the end are not all equal."""
    scaler = _scaler(ground, effects)
    known = scaler.scaled(ground.features.of_all(measured.configurations))
    factors = ground.features.factors
    parts = parts_of([name for name, kept in zip(factors, scaler.kept, strict=True) if kept])
    metrics = _cut(measured)
    whole = slice(measured.complete)  # what was stopped tells how fast it learns, too, which is another matter
    draws = AdditiveProcess(known, metrics, measured.variances, parts).draws(
        scaler.scaled(ground.features.of_all(effects.configurations)), seed
    )
    chance = AdditiveProcess(known[whole], metrics[whole], measured.variances[whole], parts).chance(seed)
    return _judged(effects, draws, chance, len(metrics))


def _judged(effects: Effects, draws: Floats, chance: float, measured: int) -> Importance:
    """By the metric of each configuration of `effects` in draws of what is possible, (draws, configurations)."""
    found = effects.shares(draws)
    order = np.argsort(-np.median(found.alone, axis=0), kind="stable")
    alone, total = found.alone[:, order], found.total[:, order]
    names = [effects.factors[i] for i in order]
    varies = effects.classes["size"].max() > 0
    ordered = _ordered(alone)
    return Importance(
        shares=tuple(map(Share.of, names, alone.T, total.T)),
        ordered=ordered,
        pair=not ordered and len(names) > 2 and _surely(alone[:, :2].min(axis=1) >= alone[:, 2:].max(axis=1)),
        size=Share.of("parameters", found.size, found.size) if varies else None,
        together=float(np.median(np.clip(1 - alone.sum(axis=1), 0, 1))),
        chance=chance,
        measured=measured,
    )


def _ordered(alone: Floats) -> int:
    """How many of the first columns, each the largest from its place on, are that in 95% of the rows together."""
    kept, found = np.ones(len(alone), dtype=bool), 0
    for place in range(alone.shape[1] - 1):
        kept &= alone[:, place] >= alone[:, place:].max(axis=1)
        if not _surely(kept):
            return found
        found = place + 1
    return found if alone.shape[1] > 1 else 1


def _surely(rows: Floats) -> bool:
    return bool(np.mean(rows) >= LEVEL)


def _ground(results: StudyResults) -> Ground | None:
    """The space, with sizes as where all sites of a target are alike; None where the facts of it are missing."""
    settings, facts = results.settings, results.facts
    units: dict[tuple[str, ...], Any] = {tuple(sorted(n.split())): of for n, of in facts["lora_units"].items()}
    if not units or not all(names and isinstance(of, int) and of > 0 for names, of in units.items()):
        return None
    try:
        space = settings.space.for_depth(facts["layers"], settings.proxy.learning_rate, tuple(units))
    except ValueError:
        return None

    def count(pyramid: Pyramid) -> int:
        return max(1, round(pyramid.rank_units * int(units[pyramid.targets]) / space.layers))

    return Ground(space, count, Features.of(space.targets), settings.search.max_params)


def _cut(measured: Measurements) -> Floats:
    return cut_off(measured.metrics, measured.variances)


def _scaler(ground: Ground, effects: Effects) -> Scaler:
    return Scaler.of(ground.features.of_all(effects.configurations), ground.features.factors, WIDTHS)


def _measured(records: Sequence[TrialRecord], ground: Ground, effects: Effects) -> Measurements:
    """Of configurations that differ from each other only in what the space varies; `MOST` of them."""
    kept = [record for record in records if record.state in (State.COMPLETE, State.PRUNED) and record.pyramid]
    features = ground.features.of_all([candidate_of(record) for record in kept])
    alike = _scaler(ground, effects).holds(features)
    kept = [record for record, holds in zip(kept, alike, strict=True) if holds]
    there = list(dict.fromkeys(map(candidate_of, kept)))
    if len(there) > MOST:
        places = np.random.default_rng(SEED).choice(len(there), MOST, replace=False)
        chosen: set[Candidate] = {there[i] for i in places}
        kept = [record for record in kept if candidate_of(record) in chosen]
    return Measurements.of(kept, training_variance(records, 1.0))
