"""Are the numbers of a report true? Simulated studies whose truth is known, judged by the program's own functions.

Each study has 36 configurations, trained with one seed, and two of them with two more as `search.noise_repeats`
does. Truths are flat, sloped, saturating or humped in log parameters, with deviations of 0.1, 0.3 and 0.6 points
of each configuration's own; in half of the studies a fifth of the configurations is 1 to 5 points worse, as with a
bad learning rate. The metric is accuracy on 2,000 validation and 2,000 judging examples, right or wrong alike for
similar models as in the quickstart: two of one accuracy differ on some 170 of 2,000 (standard error 0.0065).

    python scripts/simulate_fronts.py --studies 240

prints, for training noise of 0, 0.3 and 0.5 points: stated against true probability of being on the front, by
decile; bias and coverage of what is said against the paper's setting, beside what version 0.1 said (the measured
difference and its paired error); the same of the gain over a ladder of four; how often `min-metric` and
`non-inferior` break their promise.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.selection import pick
from msplora_search.results import pareto
from msplora_search.results.comparing import gain_draws
from msplora_search.results.noise import difference_se
from msplora_search.results.records import Evaluation, State, TrialRecord
from msplora_search.search.points import Point
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Summary, summarise
from msplora_search.settings import load_study
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import Values, metric

CONFIGURATIONS, EXAMPLES, SEEDS = 36, 2000, 3
SHARED = 0.93
"""Correlation of how two models find an example: they differ on 8.5% of the examples at an accuracy of 0.85."""
SHAPES = ("flat", "sloped", "saturating", "humped")
DEVIATIONS = (0.001, 0.003, 0.006)
Floats = pareto.Floats


@dataclass(frozen=True)
class World:
    """A truth: accuracies and sizes of all configurations, by rising size."""

    accuracy: Floats
    sizes: Floats

    @property
    def on_front(self) -> Floats:
        """1 for those on the true front, else 0."""
        return np.isin(np.arange(len(self.sizes)), pareto.front(self.accuracy, self.sizes)).astype(float)


def world(number: int, draw: np.random.Generator) -> World:
    """The `number` says its shape, its deviations, and whether there are bad configurations."""
    sizes = np.sort(np.exp(draw.uniform(np.log(1_500), np.log(300_000), CONFIGURATIONS))).round()
    place = np.log(sizes / 1_500) / np.log(200)
    curve = {
        "flat": 0.85 + 0 * place,
        "sloped": 0.82 + 0.03 * place,
        "saturating": 0.80 + 0.05 * (1 - np.exp(-4 * place)),
        "humped": 0.83 + 0.03 * (1 - (2 * (place - 0.6)) ** 2),
    }[SHAPES[number % 4]]
    accuracy = curve + draw.normal(size=CONFIGURATIONS) * DEVIATIONS[number // 4 % 3]
    if number // 12 % 2:
        accuracy -= (draw.random(CONFIGURATIONS) < 0.2) * draw.uniform(0.01, 0.05, CONFIGURATIONS)
    return World(accuracy, sizes)


def study(truth: World, sd: float, draw: np.random.Generator, judging: bool = True) -> StudyResults:
    """What a search would have recorded, the paper's setting at two thirds of the sizes, LoRA at a third."""
    labels = np.ones(EXAMPLES, dtype=np.int64)
    judge = Judge(metric("accuracy"), labels)
    difficulty = draw.normal(size=(2, EXAMPLES))

    def predictions(accuracy: float, part: int) -> Values:
        found = np.sqrt(SHARED) * difficulty[part] + np.sqrt(1 - SHARED) * draw.normal(size=EXAMPLES)
        return np.asarray(found < stats.norm.ppf(accuracy)).astype(np.int64)

    repeated = {2 * CONFIGURATIONS // 3: "paper", CONFIGURATIONS // 3: "lora-1"}
    named = {**repeated, 18: "lora-2", 28: "lora-4", 34: "lora-8"}
    records: list[TrialRecord] = []
    for place, size in enumerate(truth.sizes):
        for _ in range(SEEDS if place in repeated else 1):
            accuracy = float(np.clip(truth.accuracy[place] + draw.normal() * sd, 0.01, 0.99))
            measured = judge.measure(predictions(accuracy, 0))
            judged = judge.measure(predictions(accuracy, 1)) if judging else None
            final = Evaluation(**vars(measured), rung=1.0, step=1, loss=0.5, judged=judged)
            records.append(
                TrialRecord(
                    number=len(records),
                    state=State.COMPLETE,
                    baseline=named.get(place),
                    pyramid=Pyramid.lora(place + 1, 6, ("query", "value")),
                    learning_rate=1e-3,
                    adapter_params=int(size),
                    trainable_params=int(size),
                    curve=(final,),
                    steps=1,
                    planned_steps=1,
                    seconds=1.0,
                )
            )
    facts = {"reference_point": {"metric": 0.5, "log10_adapter_params": 6.0}, "lora_units": {}}
    return StudyResults(load_study("quickstart"), tuple(records), judge, facts, judging=judge if judging else None)


def place_of(point: Point) -> int:
    """Of a configuration in its world."""
    assert point.record.pyramid is not None
    return point.record.pyramid.groups[0].layer_rank - 1


def compared(summary: Summary) -> Point | None:
    """The point that the report compares with the paper's setting; see `reporting.wording.comparisons`."""
    paper = summary.paper
    assert paper is not None
    for point in summary.front:
        if point.metric >= paper.metric - summary.error(point, paper):
            return None if point is paper or point.params >= paper.params else point
    return None


def statements(summary: Summary, truth: World) -> Iterator[tuple[str, float, float, bool]]:
    """What is said against the paper's: name, error of the estimate, its standard error, if the bound holds."""
    point, paper = compared(summary), summary.paper
    if point is None or paper is None:
        return
    true = float(truth.accuracy[place_of(point)] - truth.accuracy[place_of(paper)])
    difference = point.told - paper.told
    holds = -summary.worse_by_at_most(point, paper) <= true
    yield "reported", float(difference.mean()) - true, float(difference.std()), holds
    se = difference_se(point.record.final, paper.record.final)
    gap = point.record.final.metric - paper.record.final.metric
    yield "version 0.1", gap - true, se, gap - 1.645 * se <= true
    one, other = point.judged, paper.judged
    if one is not None and other is not None:
        se, gap = difference_se(one, other), one.metric - other.metric
        yield "judging part alone", gap - true, se, gap - 1.645 * se <= true


def against_ladder(summary: Summary, truth: World) -> tuple[float, float, bool]:
    """The gain over plain LoRA: error of the estimate, its standard error, whether the interval holds it."""
    gain = summary.gain_over_lora
    assert gain is not None
    low, high = gain.sizes
    front, ladder = true_steps(summary.front, truth), true_steps(summary.lora, truth)
    true = float(gain_draws(*front, *ladder, (float(low), float(high)))[0])
    se = (gain.interval[1] - gain.interval[0]) / (2 * 1.96)
    return gain.metric - true, se, gain.interval[0] <= true <= gain.interval[1]


def true_steps(points: Sequence[Point], truth: World) -> tuple[Floats, Floats]:
    """True metrics (1, n) and sizes (n,) of the points on a front as measured."""
    sizes = np.array([float(point.params) for point in points])
    chosen = pareto.front(np.array([point.metric for point in points]), sizes)
    return truth.accuracy[[place_of(points[i]) for i in chosen]][None], sizes[chosen]


def promises(summary: Summary, truth: World, draw: np.random.Generator) -> Iterator[tuple[str, bool | None]]:
    """Rules and whether they kept what they promised; None where they named no point.

    The metric that is asked for is one that a user would ask for who sees the front: within its range.
    """
    bound = float(draw.uniform(summary.front[0].metric, summary.front[-1].metric))
    try:
        chosen = pick(summary, f"min-metric={bound}").point
        yield "min-metric (90%)", bool(truth.accuracy[place_of(chosen)] >= bound)
    except InputError:
        yield "min-metric (90%)", None
    naive = next((p for p in summary.front if p.metric >= bound), None)
    yield "min-metric of version 0.1", None if naive is None else bool(truth.accuracy[place_of(naive)] >= bound)
    for margin in (0.005, 0.01, 0.02):
        chosen = pick(summary, f"non-inferior={margin}").point
        loss = truth.accuracy[place_of(summary.front[-1])] - truth.accuracy[place_of(chosen)]
        yield f"non-inferior={margin} (95%)", bool(loss <= margin)


def main() -> None:
    """Simulate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=240, help="of each training noise; a multiple of 24")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.3, 0.5], help="of training, in points")
    parser.add_argument("--no-judging", action="store_true", help="without a judging part")
    options = parser.parse_args()
    for sd in (points / 100 for points in options.noise):
        stated, true = [], []
        gains: list[tuple[float, float, bool]] = []
        said: dict[str, list[tuple[float, float, bool]]] = defaultdict(list)
        kept: dict[str, list[bool | None]] = defaultdict(list)
        for number in range(options.studies):
            draw = np.random.default_rng([number, round(sd * 1e4)])
            truth = world(number, draw)
            summary = summarise(study(truth, sd, draw, judging=not options.no_judging))
            by_place = {place_of(point): point.front_probability for point in summary.points}
            stated += [by_place[place] for place in range(1, CONFIGURATIONS)]
            true += list(truth.on_front[1:])
            for name, error, se, holds in statements(summary, truth):
                said[name].append((error, se, holds))
            gains.append(against_ladder(summary, truth))
            for rule, well in promises(summary, truth, draw):
                kept[rule].append(well)
        print(f"training noise {100 * sd:.1f} points, {options.studies} studies")
        tell_front(np.array(stated), np.array(true))
        for name, rows in said.items():
            tell_statement(f"differs from the paper's, {name}", rows)
        tell_statement("gain over plain LoRA", gains)
        for rule, outcomes in kept.items():
            tell_promise(rule, outcomes)
        print(flush=True)


def tell_front(stated: Floats, true: Floats) -> None:
    """Deciles of the stated probability with at least 50 cases."""
    decile = np.minimum(9, (10 * stated).astype(int))
    cells = []
    for tenth in range(10):
        there = decile == tenth
        if there.sum() >= 50:
            cells.append(f"{stated[there].mean():.2f} -> {true[there].mean():.2f} ({there.sum():,})")
    print("  P(front) said -> true (cases): " + ", ".join(cells))


def tell_statement(name: str, rows: list[tuple[float, float, bool]]) -> None:
    """Bias in standard errors, and coverage of the 95% bound or interval, each with its own simulation error."""
    errors, ses, holds = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    bias, unit = errors.mean(), ses.mean()
    print(
        f"  {name} ({len(rows)}): bias {bias:+.5f} = {bias / unit:+.2f} ± "
        f"{errors.std() / np.sqrt(len(rows)) / unit:.2f} of its standard error {unit:.4f}; root mean squared "
        f"error {np.sqrt((errors**2).mean()):.4f}; what is said with 95% holds in {holds.mean():.1%} ± "
        f"{np.sqrt(holds.mean() * (1 - holds.mean()) / len(rows)):.1%}"
    )


def tell_promise(rule: str, outcomes: list[bool | None]) -> None:
    """How often it was broken, of the times that a point was named."""
    named = [well for well in outcomes if well is not None]
    broken = 1 - np.mean(named) if named else float("nan")
    error = np.sqrt(broken * (1 - broken) / max(1, len(named)))
    print(f"  {rule}: names a point in {len(named) / len(outcomes):.0%}, broken in {broken:.1%} ± {error:.1%}")


if __name__ == "__main__":
    main()
