"""Is what a report names as deciding what decides? Simulated studies whose truth is known, judged by the program.

Each study has 24 or 60 configurations of a space of 5 factors (`spaces/tiny.yaml`, 6 layers) or of 7
(`spaces/all_linear.yaml`, 12 layers), trained once: half of them anywhere, half near the front, where a search
proposes. The true metric depends on one factor, on two, on size, on the rate that suits a size, or on nothing. Its
standard deviation over the space is 1 point, the noise of a measurement 0.55 points, of which 0.45 are known.

    python scripts/simulate_importance.py --studies 20

prints how often one factor is named as what decides the most, and in how many of these cases it is; how often two
are named side by side, and in how many of these they are the first two; how often a 95% interval holds the share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from msplora_search.results import pareto
from msplora_search.search.importance import Importance, importance_by
from msplora_search.search.model.candidates import Ground
from msplora_search.search.model.effects import Effects
from msplora_search.search.model.features import Candidate, Features
from msplora_search.search.model.measurements import Measurements
from msplora_search.settings import load_study

NOISE, KNOWN, SIGNAL = 0.0055, 0.0045, 0.01
ALL = ("down", "key", "out", "query", "up", "value")
TARGETS = {
    "tiny": (("query", "value"),),
    "all_linear": (("query", "value"), ("key", "out", "query", "value"), ALL),
}
LAYERS = {"tiny": 6, "all_linear": 12}
NEAREST = 0.3
"""Share of the configurations of which a search's proposals are."""
Floats = pareto.Floats
Level = Callable[[Candidate], float]


@dataclass(frozen=True, eq=False)
class World:
    """A space with its truths, by name: the metric of each configuration of `effects`."""

    ground: Ground
    effects: Effects
    truths: dict[str, Floats]


def world(space: str) -> World:
    """Of a shipped space."""
    targets = TARGETS[space]
    found = load_study("quickstart", [f"space={space}"]).space.for_depth(LAYERS[space], 2e-3, targets)
    ground = Ground(found, lambda p: 768 * len(p.targets) * p.rank_units, Features.of(found.targets))
    effects = Effects.of(ground)
    assert effects is not None
    return World(ground, effects, {name: scaled(of, effects) for name, of in shapes(effects).items()})


def shapes(effects: Effects) -> dict[str, Floats]:
    """Truths of any unit."""

    def level(of: Level) -> Floats:
        return np.array([of(one) for one in effects.configurations])

    def over_depth(name: str) -> Floats:
        return level(
            lambda one: sum(
                g.layers / one.pyramid.layers * np.log2(1 + getattr(g, name)) for g in one.pyramid.groups
            )
        )

    mid, layer = over_depth("mid_rank"), over_depth("layer_rank")
    top = level(lambda one: np.log2(1 + one.pyramid.global_rank))
    groups = level(lambda one: len(one.pyramid.groups))
    size = level(lambda one: np.log(one.params))
    size = (size - size.min()) / np.ptp(size)
    found = {
        "global rank": top,
        "mid rank": mid,
        "layer rank": 1 - np.exp(-1.5 * layer),
        "global and layer rank": top / 3 + 0.6 * layer,
        "groups": -np.log2(groups),
        "size, saturating": 1 - np.exp(-4 * size),
    }
    if "rate" in effects.factors:
        rate = level(lambda one: np.log2(one.rate))
        targets = level(lambda one: len(one.pyramid.targets))
        found["targets and layer rank"] = targets / 6 + 0.3 * layer
        found["the rate that suits a size"] = -((rate - rate.mean() + size - 0.6) ** 2)
    return {**found, "nothing": np.zeros(len(size))}


def scaled(truth: Floats, effects: Effects) -> Floats:
    """With `SIGNAL` as standard deviation over the space, unless it is constant."""
    sd = truth[effects.drawn].std()
    return np.asarray(0.85 + SIGNAL * truth / sd if sd else 0.85 + truth)


def judged(of: World, truth: Floats, trials: int, draw: np.random.Generator) -> Importance:
    """What is said of one study."""
    configurations = of.effects.configurations
    costs = np.array([float(one.params) for one in configurations])
    gap = pareto.envelope(truth, costs, costs) - truth + draw.normal(size=len(costs)) * NOISE
    near = np.argsort(gap)[: round(NEAREST * len(gap))]
    first = draw.choice(np.unique(of.effects.drawn), trials // 2, replace=False)
    rest = draw.choice(np.setdiff1d(near, first), trials - len(first), replace=False)
    chosen = np.concatenate([first, rest])
    metrics = truth[chosen] + draw.normal(size=trials) * NOISE
    measured = Measurements(
        tuple(configurations[i] for i in chosen), metrics, np.full(trials, KNOWN**2), trials, KNOWN**2, KNOWN**2
    )
    return importance_by(measured, of.ground, of.effects)


@dataclass(frozen=True)
class Row:
    """What was said in some studies of one truth, as shares of the cases."""

    named: float
    rightly: float
    paired: float
    paired_rightly: float
    held: float
    """Of the true shares, by the intervals, whose ends are rounded to points."""

    @classmethod
    def of(cls, found: Sequence[Importance], true: dict[str, float]) -> Row:
        """`true`: the share of each factor; empty where nothing decides."""
        order = sorted(true, key=lambda name: -true[name])
        single = [one.told[0].factor in order[:1] for one in found if one.told and not one.pair]
        paired = [{s.factor for s in one.told} == set(order[:2]) for one in found if one.told and one.pair]
        shares = [share for one in found for share in one.shares if true]
        held = [s.interval[0] - 0.01 <= true[s.factor] <= s.interval[1] + 0.01 for s in shares]
        return cls(len(single) / len(found), mean(single), len(paired) / len(found), mean(paired), mean(held))


def mean(cases: Sequence[bool]) -> float:
    return float(np.mean(cases)) if cases else float("nan")


def row(of: World, name: str, trials: int, studies: int) -> Row:
    """Of one truth."""
    truth = of.truths[name]
    shares = of.effects.shares(truth[None]).alone[0] if np.ptp(truth) else []
    true = dict(zip(of.effects.factors, shares, strict=False))
    found = [judged(of, truth, trials, np.random.default_rng([i, trials, len(name)])) for i in range(studies)]
    return Row.of(found, true)


def main() -> None:
    """Simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=8, help="of each truth and number of trials")
    parser.add_argument("--trials", type=int, nargs="+", default=[24, 60])
    parser.add_argument("--only", help="one of the truths, such as nothing")
    options = parser.parse_args()
    print("space       decided by                trials   named rightly  paired rightly  intervals hold")
    for space in TARGETS:
        of = world(space)
        for name in of.truths if options.only is None else (options.only,):
            for trials in options.trials:
                cells = "".join(f"{share:8.0%}" for share in astuple(row(of, name, trials, options.studies)))
                print(f"{space:11s} {name:25s} {trials:6d}{cells}", flush=True)


if __name__ == "__main__":
    main()
