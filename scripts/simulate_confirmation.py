"""Is what `confirm` says true? Simulated confirmations of known truth, judged by the program's own functions.

Each has the paper's pyramid, five other points and a LoRA ladder of two. Models are right or wrong on the same
examples to the degree that trained ones are: at an accuracy of 0.85 two seeds of one configuration differ on some
7% of them, two configurations on some 8.5%. A training's true metric deviates from its configuration's by the
noise of training. Beside the 95% interval of the differences stands that of version 0.1: the variance over seeds
of each pair by itself, with what the choice of examples gives counted twice. Accuracy is measured as exact match:
the same number, sooner.

    python scripts/simulate_confirmation.py --runs 1000

prints, for 1, 2, 3 and 5 seeds, training noise of 0, 0.3, 0.5 and 1.0 points, and 300 and 1,000 test examples: how
often the 95% interval of a difference and of a mean covers the true one; in how many confirmations of five points
that are truly as good as the paper's pyramid any is claimed to differ; in how many any pair is falsely told apart.
Then the same for f1 and matthews with 20% positive, and what tau a perfect proxy reaches. `--two`: of two points
alone, a smaller one and the paper's pyramid, where little is known of the noise of seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from msplora_search.design.pyramid import Pyramid
from msplora_search.full.judgement import Found, compared
from msplora_search.full.ranking import rank, told_apart
from msplora_search.results.noise import LEVEL
from msplora_search.results.pareto import Floats
from msplora_search.results.records import Evaluation, Measure, State, TrialRecord
from msplora_search.results.training_noise import pooled_noise
from msplora_search.search.points import Point, mean_measure
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import Metric, Values, metric

NAMES = ("lora-1", None, None, "lora-2", None, None, None, "paper")
"""By rising size; None for a point of the search."""
SLOPE = np.array([-0.02, -0.01, -0.004, 0.0, 0.002, 0.004, 0.01, 0.0])
"""Of true accuracies about the paper's; for true nulls all are 0."""
TWO = (1, 7)
"""The places of two points alone."""
ACCURACY, POSITIVE = 0.85, 0.2
SHARE = "exact-match"
SHARED = (0.93, 0.02)
"""Shares of how a model finds an example that all models have in common, and all seeds of one configuration."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


@dataclass(frozen=True)
class Setting:
    """What is confirmed, and how."""

    judged_by: Metric
    seeds: int
    sd: float
    """Of the true accuracy over seeds."""
    examples: int
    places: tuple[int, ...] = tuple(range(len(NAMES)))
    """Which of the points are confirmed."""


@dataclass
class Tally:
    """Of many confirmations."""

    differences: list[bool] = field(default_factory=list)
    """Whether the interval of a difference from the paper's pyramid covers the true one."""
    before: list[bool] = field(default_factory=list)
    """The same by version 0.1."""
    means: list[bool] = field(default_factory=list)
    bounds: list[bool] = field(default_factory=list)
    """Whether a point is worse by at most what is said."""
    claims: list[bool] = field(default_factory=list)
    """Whether a confirmation of true nulls claims any difference from the paper's pyramid."""
    unadjusted: list[bool] = field(default_factory=list)
    """Whether it would without Holm's method."""
    pairs: list[bool] = field(default_factory=list)
    """Whether a confirmation of true nulls tells any pair apart."""


def confirmation(setting: Setting, accuracies: Floats, draw: np.random.Generator) -> tuple[list[Found], Judge]:
    """Full trainings of points with these true mean accuracies, by rising size, and a proxy of the same truth."""
    positive = 1.0 if setting.judged_by.name == SHARE else POSITIVE
    truth = (draw.random(setting.examples) < positive).astype(np.int64)
    judge = Judge(setting.judged_by, truth)
    common = draw.normal(size=(2, setting.examples))
    found = []
    for place, accuracy in zip(setting.places, accuracies, strict=True):
        own = draw.normal(size=(2, setting.examples))

        def trained(part: int, mean: float = accuracy, own: Floats = own) -> Measure:
            return judge.measure(
                predictions(truth, (common[part], own[part]), mean + draw.normal() * setting.sd, draw)
            )

        runs = tuple(trained(0) for _ in range(setting.seeds))
        found.append((point(place, NAMES[place], trained(1)), runs))
    return found, judge


def predictions(truth: Values, shared: Sequence[Floats], accuracy: float, draw: np.random.Generator) -> Values:
    """Of two classes, (examples,)."""
    left = 1 - sum(SHARED)
    difficulty = np.sqrt(left) * draw.normal(size=len(truth))
    for part, share in zip(shared, SHARED, strict=True):
        difficulty = difficulty + np.sqrt(share) * part
    right = difficulty < stats.norm.ppf(np.clip(accuracy, 0.01, 0.99))
    return np.asarray(np.where(right, truth, 1 - truth))


def point(place: int, name: str | None, final: Measure) -> Point:
    """A point of the search; its size rises with its place."""
    record = TrialRecord(
        number=place,
        state=State.COMPLETE,
        baseline=name,
        pyramid=Pyramid.lora(place + 1, 6, ("query", "value")),
        learning_rate=1e-3,
        adapter_params=1000 * 2**place,
        trainable_params=1000 * 2**place,
        curve=(Evaluation(**vars(final), rung=1.0, step=1, loss=0.5),),
        steps=1,
        planned_steps=1,
        seconds=1.0,
    )
    return Point((record,))


def true_metrics(setting: Setting, accuracies: Floats) -> Floats:
    """Of the population, the mean over seeds: (points,)."""
    wrong = 1 - np.clip(accuracies[:, None] + setting.sd * NODES, 0.01, 0.99)
    match setting.judged_by.name:
        case "exact-match":
            told = 1 - wrong
        case "f1":
            told = 2 * POSITIVE * (1 - wrong) / (POSITIVE + POSITIVE * (1 - wrong) + (1 - POSITIVE) * wrong)
        case _:
            said = POSITIVE * (1 - wrong) + (1 - POSITIVE) * wrong  # the share that is called positive
            covariance = POSITIVE * (1 - wrong) - POSITIVE * said
            told = covariance / np.sqrt(POSITIVE * (1 - POSITIVE) * said * (1 - said))
    return np.asarray(told @ WEIGHTS / WEIGHTS.sum())


def tally(setting: Setting, runs: int) -> Tally:
    """Confirm with unequal points and with true nulls."""
    found, draw = Tally(), np.random.default_rng([setting.seeds, round(setting.sd * 1e4), setting.examples])
    for _ in range(runs):
        own = SLOPE[list(setting.places)]
        for slope in (own, 0 * own):
            accuracies = ACCURACY + slope
            trained, judge = confirmation(setting, accuracies, draw)
            noise = pooled_noise([of_point for _, of_point in trained])
            judged = compared(trained, noise, judge)
            true = true_metrics(setting, accuracies)
            paper = judged[-1]
            against = [c.comparisons[0] for c in judged[:-1]]
            if slope.any():
                for i, (one, versus) in enumerate(zip(judged, against, strict=False)):
                    gap = true[i] - true[-1]
                    found.differences.append(versus.interval[0] <= gap <= versus.interval[1])
                    found.bounds.append(-versus.worse_by_at_most <= gap)
                    found.before.append(abs(versus.difference - gap) <= half_before(one.runs, paper.runs))
                for i, one in enumerate(judged):
                    found.means.append(one.interval[0] <= true[i] <= one.interval[1])
                continue
            of_search = [c for c, place in zip(against, setting.places, strict=False) if NAMES[place] is None]
            found.claims.append(any(c.p_adjusted < 1 - LEVEL for c in of_search))
            found.unadjusted.append(any(c.p_value < 1 - LEVEL for c in of_search))
            found.pairs.append(told_apart([(c.point, c.measure) for c in judged], noise, setting.seeds)[0] > 0)
    return found


def half_before(one: Sequence[Measure], other: Sequence[Measure]) -> float:
    """Half the interval of version 0.1."""
    of_examples = np.var(mean_measure(one).influence - mean_measure(other).influence, ddof=1) / len(
        one[0].influence
    )
    seeds = len(one)
    gaps = [a.metric - b.metric for a, b in zip(one, other, strict=True)]
    of_seeds = np.var(gaps, ddof=1) / seeds if seeds > 1 else 0.0
    total, units = of_examples + of_seeds, len(one[0].influence)
    degrees = total**2 / (of_examples**2 / (units - 1) + (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0))
    return float(stats.t.ppf(0.975, degrees) * np.sqrt(total))


def tell(setting: Setting, found: Tally) -> None:
    """A row of the table."""
    cells = [f"{np.mean(of):.1%}" for of in (
        found.differences, found.bounds, found.means, found.before, found.claims, found.unadjusted, found.pairs,
    )]  # fmt: skip
    print(
        f"| {setting.judged_by.name} | {setting.examples:,} | {setting.seeds} | {100 * setting.sd:.1f} | "
        + " | ".join(cells) + " |",
        flush=True,
    )  # fmt: skip


def taus(setting: Setting, runs: int) -> tuple[float, float]:
    """The median tau of a proxy that is perfect but for its noise, and the mean of what is said of such a one."""
    draw, found = np.random.default_rng(setting.seeds), []
    for _ in range(runs):
        trained, _judge = confirmation(setting, ACCURACY + SLOPE, draw)
        noise = pooled_noise([of_point for _, of_point in trained])
        ranking = rank([(of, mean_measure(of_point)) for of, of_point in trained], noise, setting.seeds)
        found.append((ranking.tau, ranking.perfect_tau))
    reached, said = np.array(found).T
    return float(np.median(reached)), float(np.mean(said))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="confirmations of each setting, of either truth")
    parser.add_argument("--two", action="store_true", help="of two points alone")
    options = parser.parse_args()
    print(
        "| metric | examples | seeds | noise, points | difference covered | bound holds | mean covered | "
        "difference covered, version 0.1 | any false claim | unadjusted | any pair falsely told apart |"
    )
    print("|---" * 11 + "|")
    accuracy = metric(SHARE)
    settings = [
        Setting(accuracy, seeds, sd, examples)
        for examples in (300, 1000)
        for seeds in (1, 2, 3, 5)
        for sd in (0.0, 0.003, 0.005, 0.01)
    ]
    others = (metric("f1", 2), metric("matthews"))
    settings += [Setting(of, seeds, 0.005, 1000) for of in others for seeds in (2, 3)]
    if options.two:
        settings = [replace(setting, places=TWO) for setting in settings if setting.examples == 1000]
    for setting in settings:
        tell(setting, tally(setting, options.runs))
    for examples in () if options.two else (300, 1000, 4000):
        reached, said = taus(Setting(accuracy, 2, 0.0, examples), options.runs // 10)
        print(f"tau of a perfect proxy, {examples:,} examples, 2 seeds: {reached:.2f} reached, {said:.2f} said")


if __name__ == "__main__":
    main()
