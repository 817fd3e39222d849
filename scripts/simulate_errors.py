"""Does the 95% interval of a difference cover the true one in 95% of cases, for every metric?

Draws parts of 300 and 2,000 examples from populations whose metrics are known, judges two models on each by the
program's own functions, and counts how often the interval of their difference holds the true difference. Beside
it stands the reported over the true standard error. Classes: 5%, 10% and 70% of the positive one, two or four
classes. Numbers: errors of unequal size. Tokens: lengths alike, and wide (log-normal, the longest some hundred
times the shortest). Spans: sentences with none to many, some harder than others. Labels: of 40% to 5% of the
examples, several of which an example may have. Grouped: 100 or 666 groups of 1 to 5 examples that are right or
wrong together.

    python scripts/simulate_errors.py --runs 2000
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from msplora_search.results.noise import LEVEL, difference_interval, difference_se, quantile
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import MeanOfExamples, Metric, Values, metric
from msplora_search.tasks.tallies import LabelF1, SpanF1

POPULATION, SIZES = 2_000_000, (300, 2000)
Draw = np.random.Generator
Sample = tuple[Values, Values, Values, NDArray[np.int64] | None]
"""Truth, predictions of two models, groups."""


@dataclass(frozen=True)
class Case:
    """A metric on a kind of data."""

    name: str
    metric: Metric
    sample: Callable[[Draw, int], Sample]
    """(generator, examples) -> examples of the population."""


def classes(shares: tuple[float, ...], rates: tuple[float, float]) -> Callable[[Draw, int], Sample]:
    """Classes of these shares; two models that are often wrong on the same examples, at these rates."""

    def sample(draw: Draw, count: int) -> Sample:
        truth = draw.choice(len(shares), count, p=shares)
        hard = draw.normal(size=count)
        found = []
        for rate in rates:
            wrong = 0.9 * hard + np.sqrt(1 - 0.81) * draw.normal(size=count) < stats.norm.ppf(rate)
            found.append(np.where(wrong, (truth + draw.integers(1, len(shares), count)) % len(shares), truth))
        return truth, found[0], found[1], None

    return sample


def numbers(draw: Draw, count: int) -> Sample:
    """Skewed values; errors that are larger for larger ones, shared in part, of two models of other scales."""
    truth = draw.gamma(2.0, 1.0, count)
    shared = draw.normal(size=count)
    errors = [0.6 * shared + size * draw.normal(size=count) for size in (0.7, 0.8)]
    return truth, truth + (0.3 + 0.3 * truth) * errors[0], 0.5 * (truth + (0.3 + 0.3 * truth) * errors[1]), None


def tokens(spread: float, right: bool) -> Callable[[Draw, int], Sample]:
    """Examples of many tokens; `right`: shares of right ones, else losses, which are larger in short examples."""

    def sample(draw: Draw, count: int) -> Sample:
        lengths = np.ceil(np.exp(draw.normal(3.0, spread, count)))
        hard = draw.gamma(4.0, 0.25, count) * (20 / lengths) ** 0.2
        own = [hard * np.exp(draw.normal(shift, 0.15, count)) for shift in (0.0, -0.03)]
        if right:
            own = [draw.binomial(lengths.astype(int), np.exp(-loss)) / lengths for loss in own]
        return lengths, lengths * own[0], lengths * own[1], None

    return sample


def spans(draw: Draw, count: int) -> Sample:
    """Sentences of few spans or none; in hard ones two models find fewer, and call more wrong ones."""
    words = np.ceil(np.exp(draw.normal(2.7, 0.6, count))).astype(int)
    truth, hard = draw.binomial(words, 0.1), draw.normal(size=count)
    found = []
    for ease in (1.0, 1.2):
        right = draw.binomial(truth, 1 / (1 + np.exp(hard - ease)))
        wrong = draw.poisson(0.02 * words * np.exp(0.5 * hard) / ease)
        found.append(np.stack([right, right + wrong], axis=1))
    return truth.astype(float), found[0], found[1], None


def labels(draw: Draw, count: int) -> Sample:
    """Four labels, from frequent to rare, that go together; two models wrong on the same hard examples."""
    shared, hard = draw.normal(size=(2, count, 1))
    own = 0.5 * shared + np.sqrt(0.75) * draw.normal(size=(count, 4))
    truth = (own < stats.norm.ppf((0.4, 0.2, 0.1, 0.05))).astype(np.int64)
    found = []
    for rate in (0.5, 0.45):
        wrong = 0.6 * hard + 0.8 * draw.normal(size=(count, 4)) < stats.norm.ppf(
            rate * np.array((0.4, 0.2, 0.1, 0.05))
        )
        found.append(np.where(wrong, 1 - truth, truth))
    return truth, found[0], found[1], None


def whole(draw: Draw, count: int) -> Sample:
    """Answers that are right as a whole or not, by two models."""
    truth, one, other, _ = classes((0.5, 0.5), (0.45, 0.42))(draw, count)
    return np.ones(count), (one == truth).astype(float), (other == truth).astype(float), None


def answers(draw: Draw, count: int) -> Sample:
    """The F1 of answers by two models: right, wrong, or right in part, and often alike."""
    hard = draw.normal(size=count)
    found = []
    for ease in (0.3, 0.38):
        good = 0.9 * hard + np.sqrt(1 - 0.81) * draw.normal(size=count) + ease
        found.append(np.where(good > 1, 1.0, np.where(good < 0, 0.0, np.round(good, 1))))
    return np.ones(count), found[0], found[1], None


def searches(draw: Draw, count: int) -> Sample:
    """Ranks that two models give the right text of each question, of a pool that stays as it is."""
    hard = draw.gamma(1.0, 1.0, count)
    ranks = [1 + draw.poisson(hard * scale) for scale in (1.0, 0.9)]
    return np.arange(count), ranks[0], ranks[1], None


def margins(draw: Draw, count: int) -> Sample:
    """Losses of preferences, whose margins vary alike in two models."""
    hard = draw.normal(1.0, 1.5, count)
    losses = [np.log1p(np.exp(-(hard + shift + 0.5 * draw.normal(size=count)))) for shift in (0.0, 0.1)]
    return np.ones(count), losses[0], losses[1], None


def preferred(draw: Draw, count: int) -> Sample:
    """Of two responses the right one is preferred, or by a few margins neither, by two models."""
    truth, one, other, groups = whole(draw, count)
    equal = draw.random(count) < 0.02
    return truth, np.where(equal, 0.5, one), np.where(equal, 0.5, other), groups


def grouped(draw: Draw, count: int) -> Sample:
    """Examples in groups of 1 to 5 which share most of their difficulty."""
    sizes = draw.integers(1, 6, count // 3)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    hard = draw.normal(size=(2, len(sizes)))[:, groups]
    found = [
        (0.9 * hard[i] + 0.44 * draw.normal(size=len(groups)) > stats.norm.ppf(rate)).astype(np.int64)
        for i, rate in enumerate((0.2, 0.18))
    ]
    return np.ones(len(groups), dtype=np.int64), found[0], found[1], groups


def cases() -> list[Case]:
    """Every metric, on every kind of data that it meets."""
    accuracy, matthews = metric("accuracy"), metric("matthews")
    found = []
    for positive in (0.05, 0.1, 0.7):
        shares = (1 - positive, positive)
        rates = (0.5 * min(shares), 0.4 * min(shares))
        judges = (accuracy, metric("f1", 2), matthews)
        found += [Case(f"{m.name}, {positive:.0%} positive", m, classes(shares, rates)) for m in judges]
    several = classes((0.4, 0.3, 0.2, 0.1), (0.2, 0.18))
    found += [Case(f"{m.name}, 4 classes", m, several) for m in (accuracy, metric("f1", 4), matthews)]
    found += [Case(name, metric(name), numbers) for name in ("pearson", "spearman")]
    for name in ("loss", "token-accuracy"):
        for spread, told in ((0.3, "lengths alike"), (1.2, "wide lengths")):
            found.append(Case(f"{name}, {told}", metric(name), tokens(spread, name != "loss")))
    found.append(Case("f1 of spans", SpanF1(), spans))
    found += [Case(name, LabelF1(name, is_mean=name == "macro-f1"), labels) for name in ("micro-f1", "macro-f1")]
    found += [Case(name, metric(name), searches) for name in ("recall@1", "recall@5")]
    found += [Case("reward-accuracy", metric("reward-accuracy"), preferred)]
    found += [Case("loss of preferences", metric("loss"), margins)]
    found += [Case("exact-match", metric("exact-match"), whole), Case("accuracy, grouped", accuracy, grouped)]
    found += [Case("f1 of answers", MeanOfExamples("f1", is_share=False), answers)]
    return found


@dataclass(frozen=True)
class Outcome:
    """Of many parts of one size."""

    coverage: float
    ratio: float
    """Mean reported over true standard error of the difference."""


def outcome(case: Case, examples: int, runs: int, population: int = POPULATION) -> Outcome:
    """Judge two models on many parts of a population."""
    draw = np.random.default_rng([zlib.crc32(case.name.encode()), examples])
    truth, one, other, _ = case.sample(draw, population)
    true = case.metric.score(truth, one) - case.metric.score(truth, other)
    gaps, ses, covered = [], [], 0
    for _ in range(runs):
        truth, one, other, groups = case.sample(draw, examples)
        judge = Judge(case.metric, truth, groups)
        first, second = judge.measure(one), judge.measure(other)
        gap, se = first.metric - second.metric, difference_se(first, second)
        half = quantile(LEVEL, len(first.influence) - 1) * se
        low, high = difference_interval(gap, half, case.metric.bounds)
        covered += low <= true <= high
        gaps.append(gap)
        ses.append(se)
    return Outcome(covered / runs, float(np.mean(ses) / np.std(gaps)))


def main() -> None:
    """Print a row a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    print(f"| case | {' | '.join(f'n = {n:,}: coverage, reported / true error' for n in SIZES)} |")
    print("|---|" + "---|" * len(SIZES))
    for case in cases():
        found = [outcome(case, size, options.runs) for size in SIZES]
        print(
            f"| {case.name} | " + " | ".join(f"{o.coverage:.1%}, {o.ratio:.2f}" for o in found) + " |", flush=True
        )


if __name__ == "__main__":
    main()
